"""What serializers write in a schema for "nothing". Prompt and grammar get the schema without it."""

from __future__ import annotations

from typing import Any

import pytest

from apis.rules.schemas import cleaned
from core.conversation import Function
from json_schema.walk import MAX_DEPTH
from tests.support.request_examples import PARAMETERS, chat, error_of, strict_error_of, tool

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ([], {}),
        ({"type": "object", "required": None, "properties": None}, {"type": "object"}),
        ({"type": "object", "properties": []}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {**TEXT, "enum": None, "description": None}}}, {"properties": {"a": TEXT}}),
        ({"properties": {"a": None, "b": []}}, {"properties": {"a": {}, "b": {}}}),
        ({"items": []}, {"items": {}}),
        ({"items": [[], {"title": None}]}, {"items": [{}, {}]}),
        ({"additionalProperties": [], "$defs": []}, {"additionalProperties": {}, "$defs": {}}),
        ({"additionalProperties": {"properties": []}}, {"additionalProperties": {"properties": {}}}),
        ({"anyOf": [{"required": None}, {"properties": []}]}, {"anyOf": [{}, {"properties": {}}]}),
        ({"$defs": {"a": {"format": None}}}, {"$defs": {"a": {}}}),
        ({"dependencies": {"a": [], "b": {"title": None}}}, {"dependencies": {"a": [], "b": {}}}),
    ],
)
def test_nulls_and_empty_lists(schema: Any, expected: Any) -> None:
    """C#, Java and Go serializers write null for every absent keyword, and PHP writes `[]` for an empty object."""
    assert cleaned(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"const": None, "default": None, "example": None},  # null is a value here
        {"enum": [None, []], "default": [], "required": [], "x-note": None},
        {"properties": {"required": {"type": "null"}, "properties": {}}},  # names, not keywords
        {"anyOf": []},  # an error: PHP writes lists as lists
        {"anyOf": [None, {}]},  # an error: which schema is meant?
        {"type": "object", "additionalProperties": False},
    ],
)
def test_what_says_something_stays(schema: Any) -> None:
    assert cleaned(schema) == schema


def test_a_request_keeps_its_own_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"required": None}}}
    cleaned(schema)
    assert schema == {"type": "object", "properties": {"a": {"required": None}}}


def test_a_schema_that_holds_itself_ends() -> None:
    """JSON has no cycles, but a dictionary given to `inference.generate` can have one; it is an error, not a hang."""
    loop: dict[str, Any] = {"type": "object"}
    loop["properties"] = {"a": loop}
    cleaned(loop)
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH + 40):
        deep = {"items": deep}
    assert "nests deeper than 64 levels" in error_of(tools=[tool(parameters={"properties": {"a": deep}})])[0]


PHP: dict[str, Any] = {"type": "object", "properties": [], "required": None}


def test_schemas_of_every_field_are_cleaned() -> None:
    """Tools, functions and response formats pass through the one place that cleans."""
    assert chat(tools=[tool("f", parameters=PHP)]).tools == (Function("f", "", {"type": "object", "properties": {}}),)
    assert chat(functions=[{"name": "f", "parameters": []}]).tools == (Function("f", "", {}),)
    json_schema = {"name": "x", "schema": PHP}
    wanted = {"type": "json_schema", "json_schema": json_schema}
    assert chat(response_format=wanted).response_format.schema == {"type": "object", "properties": {}}
    assert strict_error_of(response_format=wanted)[1] == "response_format"


@pytest.mark.parametrize("wrong", [[1], [[]], "x", 1, True])
def test_other_values_are_still_errors(wrong: object) -> None:
    assert error_of(tools=[tool(parameters=wrong)])[1] == "tools[0].function.parameters"
    broken = {**PARAMETERS, "properties": wrong}
    assert error_of(tools=[tool(parameters=broken)])[2] == "invalid_function_parameters"
