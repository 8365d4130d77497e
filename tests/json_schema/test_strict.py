"""`strict: true` has OpenAI's rules and error texts. Schemas that openai-python makes of pydantic models pass."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from openai import pydantic_function_tool
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field

from core.conversation import JsonSchema
from core.errors import RequestError
from json_schema.strict import check_strict


def error_of(schema: object, *, strict_openai: bool = True) -> str:
    """Return the error for `schema`, or "" if the schema is valid."""
    param = "tools[0].function.parameters"
    try:
        check_strict(schema, owner="function 'f'", param=param, strict_openai=strict_openai)
    except RequestError as error:
        assert error.code == "invalid_function_parameters"
        assert len(error.message) <= 500
        return error.message.removeprefix("Invalid schema for function 'f': ")
    return ""


def closed(properties: JsonSchema, **around: Any) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **around,
    }


class Color(Enum):
    red = "red"
    green = "green"


class Address(BaseModel):
    """Where someone lives."""

    street: str
    number: int | None = None


class Person(BaseModel):
    name: str = Field(description="First and last", pattern="^[A-Z][a-z]+$")
    age: int = Field(ge=0, le=150)
    color: Color
    mood: Literal["good", "bad"]
    home: Address = Field(description="A $ref with a description, which openai-python writes out")
    others: list[Address] | None
    friends: list[Person]
    best: Person | None
    anything: Any
    either: Address | Color


class Nothing(BaseModel):
    pass


@pytest.mark.parametrize("model", [Person, Address, Nothing])
def test_pydantic_models_of_openai_python(model: type[BaseModel]) -> None:
    function: Any = pydantic_function_tool(model)["function"]
    assert error_of(function["parameters"]) == ""
    assert error_of(to_strict_json_schema(model)) == ""


@pytest.mark.parametrize(
    "schema",
    [
        closed({}),
        {"type": "object", "additionalProperties": False},
        closed({"a": {"type": ["string", "null"], "default": None}}),
        closed({"a": {"allOf": [{"type": "string", "format": "date"}]}}),
        closed({"a": {"anyOf": [{"type": "null"}, {"const": 1}]}, "b": {"enum": [1, "x"], "title": "B"}}),
        closed({"a": {"type": "array", "items": {"$ref": "#"}, "maxItems": 3}}),
        closed(
            {"a": {"$ref": "#/$defs/A"}},
            **{"$defs": {"A": closed({"b": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}})}},
        ),
        {"$ref": "#/$defs/A", "$defs": {"A": closed({"b": {"type": "number", "multipleOf": 0.5}})}},
    ],
)
def test_legal_schemas(schema: JsonSchema) -> None:
    assert error_of(schema) == ""


NO_EXTRA = "'additionalProperties' is required to be supplied and to be false."
EVERY = "'required' is required to be supplied and to be an array including every key in properties."


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object", "properties": {}}, f"In context=(), {NO_EXTRA}"),
        (closed({}, additionalProperties={"type": "string"}), f"In context=(), {NO_EXTRA}"),
        (closed({"a": {"type": "object"}}), f"In context=('properties', 'a'), {NO_EXTRA}"),
        (closed({"a": {"type": ["object", "null"]}}), f"In context=('properties', 'a'), {NO_EXTRA}"),
        (closed({"a": {"items": {"properties": {}}}}), f"In context=('properties', 'a', 'items'), {NO_EXTRA}"),
        (
            closed({"a": {"anyOf": [{}, {"type": "object"}]}}),
            f"In context=('properties', 'a', 'anyOf', '1'), {NO_EXTRA}",
        ),
        (closed({}, **{"$defs": {"A": {"type": "object"}}}), f"In context=('$defs', 'A'), {NO_EXTRA}"),
        (closed({"x": {}, "y": {}}, required=["y"]), f"In context=(), {EVERY} Missing 'x'."),
        (
            {"type": "object", "properties": {"x": {}}, "additionalProperties": False},
            f"In context=(), {EVERY} Missing 'x'.",
        ),
        (closed({}, required=["z"]), f"In context=(), {EVERY} Extra required key 'z' supplied."),
        ({"properties": {}}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
        ({"anyOf": [closed({})]}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
        (closed({}, anyOf=[{}]), "In context=(), 'anyOf' is not permitted."),
        (closed({"a": {"oneOf": [{}]}}), "In context=('properties', 'a'), 'oneOf' is not permitted."),
        (closed({"a": {"allOf": [{}, {}]}}), "In context=('properties', 'a'), 'allOf' is not permitted."),
        (closed({"a": {"not": {}}}), "In context=('properties', 'a'), 'not' is not permitted."),
        (closed({"a": {"if": {}, "then": {}}}), "In context=('properties', 'a'), 'if' is not permitted."),
        (closed({}, patternProperties={}), "In context=(), 'patternProperties' is not permitted."),
        (closed({}, dependentRequired={}), "In context=(), 'dependentRequired' is not permitted."),
    ],
)
def test_what_strict_does_not_permit(schema: JsonSchema, message: str) -> None:
    assert error_of(schema) == message


WHAT_HELPERS_MEND = (
    {"type": "object", "properties": {}},
    closed({"a": {"type": "object"}}),
    {"type": "object", "properties": {"x": {"type": "string"}}},
    closed({"x": {}, "y": {}}, required=["y"]),
    closed({"a": {"default": 0, "type": "integer"}}),
    closed({"a": {"type": "object", "additionalProperties": {"type": "string"}}}),
    closed({"a": {"allOf": [{"type": "string"}, {"minLength": 1}]}}),
    closed({"a": {"oneOf": [{"type": "string"}, {"type": "null"}]}}),
    {"type": "object", "patternProperties": {"^x-": {"type": "string"}}},
)


def test_what_openai_s_helpers_mend_is_no_error_by_default(subtests: pytest.Subtests) -> None:
    """The openai client, zod and langchain rewrite a schema before they send it; other clients send it as it is.

    Every failure of real clients here came from a rule that only costs the caller.
    """
    for schema in WHAT_HELPERS_MEND:
        with subtests.test(schema=schema):
            assert error_of(schema, strict_openai=False) == ""


@pytest.mark.parametrize("model", [Person, Address, Nothing])
def test_pydantic_models_as_they_are(model: type[BaseModel]) -> None:
    assert error_of(model.model_json_schema(), strict_openai=False) == ""


def test_default_is_permitted() -> None:
    """OpenAI takes `default` since 2026. Its own helpers, openai-agents and langchain write it."""
    assert error_of(closed({"a": {"default": 0, "type": "integer"}})) == ""


def test_openai_s_sizes_hold_only_for_openai_s_rules(subtests: pytest.Subtests) -> None:
    sizes = {
        "'enum' has 1001 values, the limit is 1000.": {"enum": [f"v{number}" for number in range(1_001)]},
        "'pattern' has 513 characters, the limit is 512.": {"type": "string", "pattern": "x" * 513},
    }
    for message, schema in sizes.items():
        with subtests.test(message):
            assert error_of(closed({"a": schema})) == f"In context=('properties', 'a'), {message}"
            assert error_of(closed({"a": schema}), strict_openai=False) == ""


def test_what_cannot_be_guaranteed_is_an_error_with_its_place() -> None:
    """Strict is a guarantee: a keyword that the grammar cannot enforce was ignored silently."""
    unique = {"type": "array", "items": {"type": "array", "uniqueItems": True}}
    assert error_of({"type": "object", "properties": {"a": unique}}, strict_openai=False) == (
        "In context=('properties', 'a', 'items'), 'uniqueItems' cannot be enforced here. "
        "Leave it out, or ask for no guarantee."
    )


def test_a_malformed_schema_is_reported_first() -> None:
    assert error_of(closed({"a": {"type": "odd"}})).startswith("In context=('properties', 'a'), 'type' must be one of")


def test_legal_patterns(subtests: pytest.Subtests) -> None:
    for pattern in (
        "",
        "^x$",
        r"\d{3}-\d{4}",
        "(a|b)+c?",
        "(?:a)(?P<n>b)(?<m>c)",
        "[^]()*+?]",
        r"[\]]",
        "[[]",
        r"\p{L}+",
        "(?i)a",
        "a{2,}?",
        "a*?",
    ):
        with subtests.test(pattern=pattern):
            assert error_of(closed({"a": {"type": "string", "pattern": pattern}})) == ""


def test_lookaround_and_backreferences_are_errors(subtests: pytest.Subtests) -> None:
    """Lookaround and backreferences are errors, since no automaton can represent them.

    One of these patterns crashed the grammar compiler of another server.
    """
    for pattern in ("a(?=b)", "(?!b)a", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?P<n>a)(?P=n)", r"(?<n>a)\k<n>"):
        with subtests.test(pattern=pattern):
            assert "lookaround and backreferences are not permitted" in error_of(closed({"a": {"pattern": pattern}}))


def test_a_broken_pattern_is_refused(subtests: pytest.Subtests) -> None:
    for pattern in ("(", "a)", "[a", "*a", "(+)", "a|*", "a\\", "(a))(", "x[^", "((a)"):
        with subtests.test(pattern=pattern):
            assert "'pattern' is not a regular expression" in error_of(closed({"a": {"pattern": pattern}}))


def test_a_default_is_accepted() -> None:
    """OpenAI takes `default` since 2026. The openai client, zod's helpers and langchain write it in strict schemas."""
    assert error_of(closed({"a": {"type": "integer", "default": 0}})) == ""


@pytest.mark.parametrize(
    "schema", [{"type": "object", "properties": {"a": {"type": "object"}}}, closed({}, required=[])]
)
def test_only_openai_needs_closed_objects_in_which_all_is_required(schema: JsonSchema) -> None:
    check_strict(schema, owner="function 'f'", param="tools[0].function.parameters")
