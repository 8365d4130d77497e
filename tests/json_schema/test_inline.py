"""`$ref`s replaced by their targets, for prompts that show schemas as JSON."""

from __future__ import annotations

import json
from typing import Any

from core.conversation import Function
from json_schema.inline import MAX_INLINED, inline
from schema import inlined


def test_references_become_their_targets() -> None:
    """The keys beside a `$ref` are lost and `$defs` stay, as in the published formats."""
    place = {"type": "string", "description": "A place"}
    schema = {
        "properties": {"from": {"$ref": "#/$defs/place"}, "to": {"$ref": "#/$defs/pair", "description": "lost"}},
        "$defs": {"place": place, "pair": {"items": {"$ref": "#/definitions/place"}}},
        "definitions": {"place": place},
    }
    assert inline(schema) == {
        "properties": {"from": place, "to": {"items": place}},
        "$defs": {"place": place, "pair": {"items": place}},
        "definitions": {"place": place},
    }


def test_a_recursive_reference_stays() -> None:
    node = {"properties": {"next": {"$ref": "#/$defs/node"}}}
    schema = {"properties": {"list": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    assert inline(schema)["properties"] == {"list": node}


def test_a_reference_without_a_schema_stays() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/none"}, "b": {"$ref": "https://example.com/a.json"}}}
    assert inline(schema) == schema


def test_references_that_expand_without_end_are_limited() -> None:
    """Definitions that each use the next one twice would expand to 2**40 schemas and fill the memory."""
    definitions: dict[str, Any] = {
        f"d{n}": {"properties": {side: {"$ref": f"#/$defs/d{n + 1}"} for side in ("left", "right")}} for n in range(40)
    }
    schema = {"properties": {"root": {"$ref": "#/$defs/d0"}}, "$defs": definitions | {"d40": {"type": "string"}}}
    assert len(json.dumps(inline(schema))) < len(json.dumps(schema)) + 2 * MAX_INLINED


def test_a_long_chain_of_references_does_not_overflow_the_stack() -> None:
    nested: dict[str, Any] = {"$ref": "#/$defs/d1"}
    for _ in range(30):
        nested = {"items": nested}
    definitions = {f"d{n}": json.loads(json.dumps(nested).replace("d1", f"d{n + 1}")) for n in range(200)}
    assert "$ref" in json.dumps(inline({"properties": {"root": {"$ref": "#/$defs/d0"}}, "$defs": definitions}))


def test_a_function_without_references_is_the_same_object() -> None:
    function = Function("f", parameters={"type": "object", "properties": {"a": {"type": "string"}}})
    assert inlined(function) is function
    assert inlined(Function("f")) == Function("f")
