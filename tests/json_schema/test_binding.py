"""The rewriting of a schema takes bounded work and says what it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from core.conversation import JsonSchema
from core.errors import RequestError
from core.generation import JsonRule
from json_schema.binding.bind import TooLarge, bind
from json_schema.grammar_rules import body, bounded
from tests.support.work import num_lines


def bound(schema: JsonSchema, *, is_strict: bool = False) -> JsonSchema:
    return bind(schema, is_strict=is_strict).schema


def test_a_schema_is_written_with_few_forms() -> None:
    schema = {
        "title": "Order",
        "type": "object",
        "properties": {
            "item": {"$ref": "#/$defs/Item[str]", "description": "What.", "x-order": 1},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "unit": {"allOf": [{"enum": ["kg", "g", 1]}, {"type": "string"}]},
        },
        "required": ["item", "more"],
        "$defs": {"Item[str]": {"type": "object", "properties": {"id": {"type": "string", "format": "path"}}}},
    }
    written = bound(schema)
    assert written["properties"] == {
        "item": {"$ref": "#/$defs/0"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "unit": {"enum": ["kg", "g"]},
        "more": {"$ref": "#/$defs/any"},
    }
    assert written["additionalProperties"] is False
    assert written["$defs"]["0"] == {
        "type": "object",
        "properties": {"id": {"type": "string"}},
        "additionalProperties": False,
    }


def test_a_caller_s_options_for_the_compiler_are_dropped() -> None:
    """`x-guidance` at the root is read by the compiler. A caller could have set its separators."""
    rule = JsonRule({"type": "object", "x-guidance": {"item_separator": "x*"}}, False, "function 'f'", "tools")
    assert "x*" not in body(bounded(rule))


def test_what_is_unbound_has_its_place() -> None:
    schema = {"type": "object", "properties": {"a": {"items": {"contains": {}, "uniqueItems": True}, "contains": {}}}}
    found = bind(schema, is_strict=False).unbound
    assert [(unbound.keyword, unbound.context) for unbound in found] == [
        ("contains", ("properties", "a")),
        ("contains", ("properties", "a", "items")),
        ("uniqueItems", ("properties", "a", "items")),
    ]


def test_a_keyword_that_cannot_matter_is_not_reported() -> None:
    for schema in ({"type": "string", "uniqueItems": True}, {"type": "array", "uniqueItems": True, "maxItems": 1}):
        assert not bind({"type": "object", "properties": {"a": schema}}, is_strict=True).unbound


def chain(num: int) -> JsonSchema:
    """Each definition refers to the next and adds a property: the first is all of them merged."""
    links = {f"c{i}": {"$ref": f"#/$defs/c{i + 1}", "properties": {f"p{i}": {}}} for i in range(num)}
    return {"$ref": "#/$defs/c0", "$defs": {**links, f"c{num}": {"type": "object"}}}


def references(num: int) -> JsonSchema:
    """Every property refers to a chain of references."""
    links = {f"c{i}": {"$ref": f"#/$defs/c{i + 1}"} for i in range(num)}
    properties = {f"p{i}": {"$ref": f"#/$defs/c{i}"} for i in range(num)}
    return {"properties": properties, "$defs": {**links, f"c{num}": {"type": "object"}}}


def doubling(num: int) -> JsonSchema:
    """Every definition has two alternatives that contain two of the next one."""
    defs: JsonSchema = {f"d{num}": {"type": "null"}}
    for i in range(num):
        inner = {
            "type": "object",
            "properties": {name: {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}, {}]} for name in "ab"},
        }
        defs[f"d{i}"] = {"required": [], "anyOf": [inner, {**inner, "required": ["a"]}]}
    return {"$ref": "#/$defs/d0", "$defs": defs}


def in_place(num: int) -> JsonSchema:
    """Schemas for the same value that lead back to themselves."""
    members = [{"$ref": f"#/$defs/m{i}"} for i in range(num)]
    return {"$ref": "#/$defs/m0", "$defs": {f"m{i}": {"anyOf": members, "type": "object"} for i in range(num)}}


def exclusive(num: int) -> JsonSchema:
    """A `oneOf` of two trees whose definitions each require two of the next one."""
    defs: JsonSchema = {"x40": {"type": "string"}, "y40": {"type": "string"}}
    for i in range(min(num, 40)):
        for tree in "xy":
            inner = {"$ref": f"#/$defs/{tree}{i + 1}"}
            defs[f"{tree}{i}"] = {"type": "object", "properties": {"l": inner, "r": inner}, "required": ["l", "r"]}
    return {"properties": {"a": {"oneOf": [{"$ref": "#/$defs/x0"}, {"$ref": "#/$defs/y0"}]}}, "$defs": defs}


@pytest.mark.parametrize("build", [chain, references, doubling, in_place, exclusive])
def test_the_work_is_bounded(build: Callable[[int], JsonSchema]) -> None:
    """Merging chains of definitions took 10 s, comparing two trees in a `oneOf` hours. What takes long is given up."""

    def attempt() -> None:
        with suppress(TooLarge):
            bind(build(300), is_strict=False)

    assert num_lines(attempt) < 3_000_000


def test_what_is_too_large_is_reduced_to_its_type_or_an_error() -> None:
    for strict in (False, True):
        rule = JsonRule({"type": "object", **chain(1_500)}, strict, "function 'f'", "tools")
        if not strict:
            assert '"additionalProperties": {"$ref": "#/$defs/any"}' in body(bounded(rule))
            continue
        with pytest.raises(RequestError, match="too many to compile"):
            body(bounded(rule))
