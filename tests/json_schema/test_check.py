"""Which JSON Schemas a request may have.

An error says where and why a schema is rejected. Schemas that OpenAI accepts are accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.conversation import Function, JsonSchema
from core.errors import RequestError
from json_schema.check import check_parameters
from schema import typescript
from tests.support.work import num_lines

PARAM = "tools[0].function.parameters"


def error_of(schema: object) -> str:
    """Return the error for `schema` without the beginning that all errors share, or "" if the schema is valid."""
    try:
        check_parameters(schema, owner="function 'f'", param=PARAM)
    except RequestError as error:
        assert error.param == PARAM
        assert error.code == "invalid_function_parameters"
        assert len(error.message) <= 500
        assert error.message.startswith("Invalid schema for function 'f': ")
        return error.message.removeprefix("Invalid schema for function 'f': ")
    return ""


def property_error(schema: object) -> str:
    """Return the error for `schema` as the schema of a property `a`, without the words that name the property."""
    message = error_of({"type": "object", "properties": {"a": schema}})
    return message.removeprefix("In context=('properties', 'a'), ")


def nested(levels: int, keyword: str = "items") -> JsonSchema:
    schema: JsonSchema = {"type": "string"}
    for _ in range(levels - 1):
        schema = {keyword: schema} if keyword != "anyOf" else {keyword: [schema]}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": ["object"]},
        {"properties": {"a": True, "b": False, "c": {}}},
        {"properties": {"a": {"type": ["string", "null"], "enum": ["x", None]}}},
        {"properties": {"a": {"type": "array", "items": False, "prefixItems": [{"type": "string"}, True]}}},
        {"properties": {"a": {"items": [{"type": "string"}], "additionalItems": False}}},
        {"properties": {"a": {"anyOf": [{"const": 1}, {"not": {"type": "null"}}], "default": {"type": "odd"}}}},
        {"properties": {"a": {"type": "number", "minimum": -1.5, "exclusiveMaximum": 3, "multipleOf": 0.1}}},
        {"properties": {"a": {"minimum": 1, "exclusiveMinimum": True, "maxLength": 2.0, "minItems": 0}}},
        {"properties": {"a": {"pattern": "(?=broken", "format": "nobody-knows", "x-odd": {"type": "odd"}}}},
        {"properties": {"__proto__": {"type": "string"}, "type": {"type": "string"}}, "required": ["nobody"]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://x.org/y", "additionalProperties": {}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"again": {"$ref": "#/$defs/A"}}}}},
        {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/definitions/B%20b"}}, "definitions": {"B b": True}},
        {"properties": {"a": {"if": True, "then": {}, "else": False, "patternProperties": {"^x": {}}}}},
    ],
)
def test_legal_schemas(schema: JsonSchema) -> None:
    assert error_of(schema) == ""


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (None, "In context=(), a schema must be an object or a boolean, got null."),
        (True, "In context=(), a schema must be an object or a boolean, got a boolean."),
        ([], "In context=(), a schema must be an object or a boolean, got an array."),
        ({"type": "array"}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'."),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}},
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"string\"'.",
        ),
        (
            {"$defs": {"A": {"anyOf": [{}, {"type": "int"}]}}},
            "In context=('$defs', 'A', 'anyOf', '1'), 'type' must be one of string, number, integer, boolean, object, "
            "array, null, or a list of these, got 'int'.",
        ),
    ],
)
def test_an_error_says_where_and_why(schema: object, message: str) -> None:
    assert error_of(schema) == message


WRONG: dict[str, list[Any]] = {
    "type": ["float", "", None, 3, True, {}, [], ["string", "str"], [["string"]]],
    "properties": [[], "x", None, 1, True],
    "required": ["a", {}, None, True, ["a", 1]],
    "enum": ["a", {}, None, 1],
    "items": [None, 1, "string", [1]],
    "additionalProperties": ["no", None, 0],
    "anyOf": [{}, [], [None], "x"],
    "allOf": [{}, [1]],
    "not": [[], None],
    "$defs": [[], {"A": None}],
    "description": [5, None, []],
    "pattern": [1, None, {}],
    "minimum": ["0", None, True],
    "maxLength": ["8", -1, 1.5, True],
    "multipleOf": [0, -1, "x"],
    "uniqueItems": ["true", 1],
    "$ref": [5, None, {}],
}


@pytest.mark.parametrize("keyword", WRONG)
def test_a_value_of_the_wrong_shape_is_an_error(keyword: str, subtests: pytest.Subtests) -> None:
    """A keyword's value of the wrong type is an error. A previous version of the server often answered with 500."""
    for value in WRONG[keyword]:
        with subtests.test(value=value):
            assert keyword in error_of({"properties": {"a": {keyword: value}}})


@pytest.mark.parametrize("value", [None, 5, "string", ["string"]])
def test_a_property_must_be_a_schema(value: Any) -> None:
    assert property_error(value).startswith("a schema must be an object or a boolean, got")


# References


@pytest.mark.parametrize("ref", ["http://127.0.0.1/x", "file:///etc/passwd", "other.json#/A", "//host/x", ""])
def test_a_reference_to_elsewhere_is_an_error_and_never_fetched(ref: str) -> None:
    message = f"'$ref' '{ref}' is not local; only references into the same schema are followed."
    assert property_error({"$ref": ref}) == message


@pytest.mark.parametrize(
    "ref", ["#/$defs/Nobody", "#nobody", "#/properties/a/anyOf/9", "#/properties/a/type/x", "#/~1"]
)
def test_a_reference_to_nothing_is_an_error(ref: str) -> None:
    assert property_error({"type": "string", "$ref": ref}) == f"'$ref' '{ref}' points to nothing."


def test_references_that_only_lead_to_each_other_are_an_error() -> None:
    loop = {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": loop}
    assert error_of(schema) == "In context=('properties', 'a'), '$ref' '#/$defs/A' leads back to itself."
    assert error_of({"$ref": "#"}) == "In context=(), '$ref' '#' leads back to itself."


def test_schemas_reached_only_by_reference_are_checked() -> None:
    """Regression test: a `$ref` can point to a schema under an unknown keyword. Such schemas were not checked."""
    schema = {"properties": {"a": {"$ref": "#/x-shared/A"}}, "x-shared": {"A": {"type": "odd"}}}
    assert error_of(schema).startswith("In context=('x-shared', 'A'), 'type' must be one of")


# Schemas that no value satisfies


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "enum": [1, 2]}, "'enum' has no value of the schema's 'type'."),
        ({"enum": []}, "'enum' is empty, so no value is valid."),
        (False, "no value is valid here."),
        ({"not": {}}, "no value is valid here."),
        ({"anyOf": [{"enum": []}, {"type": "null", "enum": ["x"]}]}, "'enum' is empty, so no value is valid."),
    ],
)
def test_a_required_argument_without_values_is_an_error(schema: Any, message: str) -> None:
    """The argument vanished from the calls of a forced function, although it was required."""
    asked = {"type": "object", "properties": {"a": schema, "b": {}}}
    assert error_of(asked) == ""
    error = error_of({**asked, "required": ["b", "a"]})
    assert error.startswith("In context=('properties', 'a'") and error.endswith(f"no value satisfies it: {message}")


# Limits: the error names the limit, and a schema just below the limit passes

LIMITS: dict[str, tuple[Callable[[int], JsonSchema], int, str]] = {
    "properties": (
        lambda n: {"properties": {f"p{i}": {} for i in range(n)}},
        1_000,
        "'properties' has 1001 properties, the limit is 1000.",
    ),
    "required": (lambda n: {"required": ["x"] * n}, 1_000, "'required' has 1001 names, the limit is 1000."),
    "description": (
        lambda n: {"description": "x" * n},
        20_000,
        "'description' has 20001 characters, the limit is 20000.",
    ),
    "depth": (lambda n: nested(n - 1), 64, "it nests deeper than 64 levels."),
    "depth of anyOf": (lambda n: nested(n - 1, "anyOf"), 64, "it nests deeper than 64 levels."),
    "schemas": (lambda n: {"anyOf": [{} for _ in range(n - 2)]}, 20_000, "it has more than 20000 schemas inside."),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name: str) -> None:
    build, limit, message = LIMITS[name]
    assert property_error(build(limit)) == ""
    assert property_error(build(limit + 1)) == message


@pytest.mark.parametrize("keyword", ["items", "not", "anyOf"])
def test_a_nest_deeper_than_pythons_stack_is_an_error(keyword: str) -> None:
    assert property_error(nested(30_000, keyword)) == "it nests deeper than 64 levels."


def test_the_largest_schemas_are_checked_in_linear_time() -> None:
    """Checking takes linear time even if chains of references overlap."""

    def overlapping(num: int) -> None:
        chain: JsonSchema = {f"c{i}": {"$ref": f"#/$defs/c{i + 1}"} for i in range(num)}
        many = [{"$ref": "#/$defs/c0"} for _ in range(num)]
        assert error_of({"properties": {"a": {"anyOf": many}}, "$defs": {**chain, f"c{num}": {}}}) == ""

    assert num_lines(partial(overlapping, 9_000)) < 10 * num_lines(partial(overlapping, 1_000))


def test_a_huge_input_is_never_echoed() -> None:
    for odd in ({"x" * 10_000: {"type": "y" * 10_000}}, {"a": {"$ref": "z" * 10_000}}):
        assert 0 < len(error_of({"properties": odd})) < 500
    with pytest.raises(RequestError) as caught:
        check_parameters(None, owner="function '" + "f" * 10_000, param=PARAM)
    assert len(caught.value.message) <= 500


def test_an_error_names_the_response_format_and_has_no_code() -> None:
    with pytest.raises(RequestError) as caught:
        check_parameters({"type": "array"}, owner="response_format 'x'", param="response_format", code=None)
    assert caught.value.message.startswith("Invalid schema for response_format 'x': ")
    assert (caught.value.param, caught.value.code) == ("response_format", None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["string", "object", "array", "#", "#/properties/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WRONG, "a"]), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
@settings(max_examples=500, deadline=None)
def test_accepted_schemas_can_be_printed(schema: Any) -> None:
    """Any JSON as parameters is either printed or rejected with an error message."""
    for candidate in (schema, {"properties": {"a": schema}}):
        if error_of(candidate) == "":
            typescript([Function("f", "", candidate)])
