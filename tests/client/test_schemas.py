"""Values are checked against schemas in bounded time, whoever wrote them."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.schemas import MAX_S, schema_fault

Json = dict[str, Any]

EVIL = "^(a+)+$"
WORD = "a" * 40 + "b"
TEXT = {"type": "string", "pattern": EVIL}


def an_object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (an_object(x=TEXT), {"x": WORD}),
        (an_object(x=TEXT | {"$schema": "http://json-schema.org/draft-07/schema#"}), {"x": WORD}),
        ({"type": "object", "propertyNames": TEXT}, {WORD: 1}),
        (an_object(x={"patternProperties": {EVIL: False}, "additionalProperties": False}), {"x": {WORD: 1}}),
        (
            an_object(x={"$ref": "#/$defs/x", "unevaluatedProperties": False})
            | {"$defs": {"x": {"patternProperties": {EVIL: {}}}}},
            {"x": {WORD: 1}},
        ),
    ],
)
def test_no_pattern_takes_exponential_time(schema: Json, value: Json) -> None:
    """A document's pattern and a long argument stopped the server: Python's engine holds the lock of all threads."""
    started = time.thread_time()
    schema_fault(schema, value)
    assert time.thread_time() - started < 5


def test_patterns_are_checked() -> None:
    schema = an_object(x={"type": "string", "pattern": r"^[\w.-]+/\d{2}$"})
    assert schema_fault(schema, {"x": "a-b/12"}) == ""
    assert schema_fault(schema, {"x": "a-b/1"}) == r"$.x: 'a-b/1' does not match '^[\\w.-]+/\\d{2}$'"
    assert "does not match" in schema_fault(schema, {"x": "\ud800"})


def test_a_pattern_with_lookaround_is_not_checked_and_a_broken_one_is_a_fault() -> None:
    assert schema_fault(an_object(x={"pattern": "^(?=a)b"}), {"x": "c"}) == ""
    assert "the schema cannot be used" in schema_fault(an_object(x={"pattern": "(?<n>a"}), {"x": "c"})


def test_names_by_patterns() -> None:
    inner = {"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False}
    schema = an_object(x=inner)
    assert schema_fault(schema, {"x": {"x-a": 1}}) == ""
    assert "is not of type 'integer'" in schema_fault(schema, {"x": {"x-a": "1"}})
    assert "'y-a' was unexpected" in schema_fault(schema, {"x": {"y-a": 1}})


def test_many_items_that_must_differ() -> None:
    """Each object was compared with each: 4,000 of them took a minute and a half."""
    schema = an_object(x={"type": "array", "uniqueItems": True})
    items: list[Any] = [{"id": number} for number in range(4_000)]
    started = time.thread_time()
    assert schema_fault(schema, {"x": items}) == ""
    assert "non-unique" in schema_fault(schema, {"x": [*items, {"id": 7.0}]})
    assert time.thread_time() - started < 10


@given(st.lists(st.recursive(st.sampled_from([0, 1, 1.0, 2.5, "1", True, False, None]), st.lists, max_leaves=4)))
def test_equal_items_are_those_of_jsonschema(items: list[Any]) -> None:
    schema = {"uniqueItems": True}
    is_unique = jsonschema.Draft202012Validator(schema).is_valid(items)
    assert (schema_fault(an_object(x=schema), {"x": items}) == "") == is_unique


def test_alternatives_that_refer_to_themselves_end() -> None:
    node = {"anyOf": [{"$ref": "#/$defs/list"}] * 3}
    nested: Json = {}
    for _ in range(30):
        nested = {"x": nested}
    defs = {"node": node, "list": {"properties": {"x": {"$ref": "#/$defs/node"}, "y": {}}, "required": ["x"]}}
    started = time.thread_time()
    told = schema_fault(an_object(a={"$ref": "#/$defs/node"}) | {"$defs": defs}, {"a": nested})
    assert told == f"it takes more than {MAX_S:g} s to check them"
    assert time.thread_time() - started < 10 * MAX_S
