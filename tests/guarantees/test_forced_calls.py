"""A forced call is valid by its schema. Each test is one kind of schema for which it was not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.forced_calls import walked
from bench.generated_schemas import schemas
from core.conversation import JsonSchema
from core.errors import RequestError
from tests.support.forced import allowed, allows


def an(schema: Any, **others: Any) -> JsonSchema:
    """Return the schema of an object whose only property has the given schema."""
    return {"type": "object", "properties": {"x": schema}, "required": ["x"], **others}


def values(*texts: str) -> list[str]:
    return [f'{{"x": {text}}}' for text in texts]


def of(schema: Any, *texts: str, strict: bool = False, **others: Any) -> list[str]:
    """Return those of `texts` that the grammar allows as the value of a property with the given schema."""
    found = allowed(an(schema, **others), *values(*texts), strict=strict)
    return [text for text in texts if f'{{"x": {text}}}' in found]


def error_of(schema: JsonSchema, *, strict: bool = True) -> str:
    with pytest.raises(RequestError) as caught:
        allows(schema, "{}", strict=strict)
    return caught.value.message.removeprefix("Invalid schema for function 'f': ")


def test_random_values_of_generated_schemas_are_valid() -> None:
    """60 schemas as pydantic, zod and TypeBox write them; `python -m bench.forced_calls --generated 800` has more."""
    report = walked(schemas(60), 2)
    assert not report.invalid and not report.errors, str(report)
    assert report.num_values > 90


# What stands beside a `$ref`

NODE: JsonSchema = {
    "type": "object",
    "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/N"}},
    "required": ["v"],
}


@pytest.mark.parametrize(
    "beside",
    [
        {"x-go-name": "Next", "xml": {"name": "n"}, "markdownDescription": "The *next*."},
        {"type": "object"},
        {"format": "node", "discriminator": {"propertyName": "v"}},
        {"nullable": True},
        {"description": "The next.", "default": None, "deprecated": True},
    ],
)
def test_a_recursive_reference_keeps_its_type_whatever_stands_beside_it(beside: JsonSchema) -> None:
    """Any unknown keyword beside a recursive `$ref` made the compiler fail. The `$ref` was then dropped everywhere."""
    node = {**NODE, "properties": {**NODE["properties"], "next": {"$ref": "#/$defs/N", **beside}}}
    schema = {**an({"$ref": "#/$defs/N"}), "$defs": {"N": node}}
    right = ['{"x": {"v": 1, "next": {"v": 2}}}']
    assert allowed(schema, *right, '{"x": {"v": 1, "next": {"v": "2"}}}', '{"x": {"v": 1, "next": 3}}') == right
    assert allows(schema, '{"x": {"v": 1, "next": null}}') == ("nullable" in beside)


def test_one_place_that_does_not_compile_changes_no_other() -> None:
    """One pattern with a lookahead took the patterns, formats and types of all other places with it."""
    schema = an({"type": "string", "pattern": "^(?=a)b", "maxLength": 3})
    schema["properties"] |= {f"p{number}": {"type": "string", "pattern": "^[0-9]$"} for number in range(40)}
    schema["properties"]["last"] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert allowed(schema, '{"x": "zzz", "p39": "1", "last": 5}', '{"x": "zzz", "p39": "1", "last": null}')
    assert not allowed(
        schema, '{"x": "zzzz"}', '{"x": "", "p0": "a"}', '{"x": "", "p39": "12"}', '{"x": "", "last": "5"}'
    )


def test_lengths_are_dropped_before_the_pattern() -> None:
    """Large lengths beside a pattern exceed a limit of the compiler. The pattern went, although it says more."""
    pattern = r"^\w+([\.-]?\w+)*@\w+([\.-]?\w+)*(\.\w{2,})+$"
    assert of({"type": "string", "pattern": pattern, "maxLength": 60_000}, '"a@b.co"', '"no address"') == ['"a@b.co"']


# Objects


def test_a_required_property_that_only_a_combiner_describes_keeps_its_type() -> None:
    """`required` beside one combiner whose target does not list the property left the value without a type."""
    base = {"type": "object", "properties": {"a": {"type": "integer"}}}
    schema = {"$defs": {"B": base}, "type": "object", "allOf": [{"$ref": "#/$defs/B"}], "required": ["a", "b"]}
    assert allowed(schema, '{"a": 1, "b": [2]}', '{"a": "1", "b": 2}', '{"a": 1}') == ['{"a": 1, "b": [2]}']
    schema = {"type": "object", "properties": base["properties"], "anyOf": [{"required": ["a"]}, {"maxProperties": 0}]}
    assert allowed(schema, '{"a": 1}', '{"a": "1"}', "{}") == ['{"a": 1}', "{}"]


def test_merged_objects_are_closed() -> None:
    """Members of `allOf` stayed open, since each would forbid the properties of the others: names were invented."""
    members = [{"type": "object", "properties": {name: {"type": "null"}}, "required": [name]} for name in "ab"]
    assert allowed({"allOf": members}, '{"a": null, "b": null}', '{"a": null, "b": null, "c": 1}', '{"a": null}') == [
        '{"a": null, "b": null}'
    ]


def test_objects_that_only_say_their_type_stay_maps_unless_strict() -> None:
    assert of({"type": "object"}, '{"any": [1]}', "{}") == ['{"any": [1]}', "{}"]
    assert of({"type": "object"}, '{"any": [1]}', "{}", strict=True) == ["{}"]
    assert of({"type": "object", "additionalProperties": True}, '{"any": [1]}', strict=True) == ['{"any": [1]}']


def test_not_anything_as_additional_properties_is_false() -> None:
    """Go's schema libraries write `false` as {"not": {}}. It was ignored."""
    schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": {"not": {}}}
    assert allowed(schema, '{"a": 1}', '{"b": 1}', strict=True) == ['{"a": 1}']
    assert allowed({"type": "object", "additionalProperties": {"not": {}}}, '{"b": 1}', "{}") == ["{}"]


@pytest.mark.parametrize(
    "names", [{"enum": ["ab", "ac"]}, {"pattern": "^a[bc]$"}, {"$ref": "#/$defs/K"}, {"maxLength": 2}], ids=str
)
def test_property_names_bind_keys(names: JsonSchema) -> None:
    """pydantic writes dict[Literal["ab", "ac"], int] with `propertyNames`, which was ignored."""
    schema = {"type": "object", "propertyNames": names, "additionalProperties": {"type": "integer"}}
    schema["$defs"] = {"K": {"enum": ["ab", "ac"], "type": "string"}}
    right = ['{"ab": 1}', '{"ab": 1, "ac": 2}', "{}"]
    assert allowed(schema, *right, '{"abd": 1}', '{"ab": "1"}', strict=True) == right


def test_dependent_properties_are_bound() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}}
    for dependency in ({"dependentRequired": {"a": ["b"]}}, {"dependencies": {"a": ["b"]}}):
        bound = {**schema, **dependency}
        assert allowed(bound, "{}", '{"a": null}', '{"b": null}', '{"a": null, "b": null}', strict=True) == [
            *("{}", '{"b": null}', '{"a": null, "b": null}')
        ]


def test_a_condition_on_a_listed_value_is_bound() -> None:
    """`if` on one value of an enum is how unions are written without `oneOf`. It was ignored."""
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["card", "cash"]}, "number": {"type": "integer"}},
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "card"}}},
        "then": {"required": ["number"]},
        "else": {"properties": {"number": False}},
    }
    right = ['{"kind": "card", "number": 1}', '{"kind": "cash"}']
    assert allowed(schema, *right, '{"kind": "card"}', '{"kind": "cash", "number": 1}', strict=True) == right


def test_both_cases_of_a_condition_that_is_not_bound_are_possible() -> None:
    """The properties of `then` were forbidden as undeclared, although `then` requires them."""
    schema = {
        "type": "object",
        "properties": {"kind": {"type": "string"}},
        "required": ["kind"],
        "if": {"properties": {"kind": {"pattern": "^c"}}},
        "then": {"properties": {"number": {"type": "integer"}}, "required": ["number"]},
    }
    right = ['{"kind": "card", "number": 1}', '{"kind": "else"}']
    assert allowed(schema, *right, '{"kind": "card", "number": "1"}', '{"other": 1}') == right


# Unions


def test_the_tag_of_a_discriminated_union_decides() -> None:
    """pydantic's tagged unions have a default for the tag, so it is not required. Without it, both members fit."""
    cat = {"type": "object", "properties": {"kind": {"const": "cat", "default": "cat"}, "lives": {"type": "integer"}}}
    dog = {"type": "object", "properties": {"kind": {"const": "dog", "default": "dog"}, "name": {"type": "string"}}}
    union = {"discriminator": {"propertyName": "kind"}, "oneOf": [{"$ref": "#/$defs/C"}, {"$ref": "#/$defs/D"}]}
    schema = an(union, **{"$defs": {"C": cat, "D": dog}})
    right = values('{"kind": "cat", "lives": 9}', '{"kind": "dog"}')
    wrong = values("{}", '{"lives": 9}', '{"kind": "cat", "name": "x"}', '{"kind": "cow"}')
    assert allowed(schema, *right, *wrong, strict=True) == right


def test_a_mapping_gives_the_tag_its_value() -> None:
    """OpenAPI lets the tag be any string and names the schemas in `mapping`, by their `$ref` or by their name alone."""
    defs = {name: {"type": "object", "properties": {"t": {"type": "string"}}} for name in "AB"}
    mapping = {"first": "#/$defs/A", "second": "B"}
    union: JsonSchema = {
        "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
        "discriminator": {"propertyName": "t", "mapping": mapping},
    }
    right = values('{"t": "first"}', '{"t": "second"}')
    assert allowed(an(union, **{"$defs": defs}), *right, *values('{"t": "third"}', "{}"), strict=True) == right


def test_exactly_one_of_two_properties() -> None:
    """A `oneOf` of `required` alone admits both properties as an `anyOf`."""
    schema: JsonSchema = {"type": "object", "properties": {name: {"type": "null"} for name in "ab"}}
    schema["oneOf"] = [{"required": ["a"]}, {"required": ["b"]}]
    right = ['{"a": null}', '{"b": null}']
    assert allowed(schema, *right, "{}", '{"a": null, "b": null}', strict=True) == right


def test_unevaluated_properties_allow_no_others() -> None:
    """A required property that no schema lists was written with any value, although nothing else is allowed."""
    base = {"type": "object", "properties": {"a": {"type": "null"}}}
    sealed = {"allOf": [base], "unevaluatedProperties": False}
    assert of(sealed, '{"a": null}', '{"b": 1}', strict=True) == ['{"a": null}']
    assert "no value satisfies it" in error_of(an({**sealed, "required": ["b"]}))


@pytest.mark.parametrize("combiner", ["allOf", "anyOf"])
def test_unevaluated_properties_in_a_member_are_unbound(combiner: str) -> None:
    """A strict call had the properties of both: the sealed member does not see those of the schemas beside it."""
    beside = {"type": "object", "properties": {"b": {"type": "null"}}}
    sealed = {"type": "object", "properties": {"a": {"type": "null"}}, "unevaluatedProperties": False}
    for schema in ({**beside, combiner: [sealed]}, {"allOf": [sealed, beside]}):
        assert "'unevaluatedProperties' cannot be enforced" in error_of(an(schema))
        assert of(schema, '{"a": null}', '{"c": 1}') == ['{"a": null}']


def test_members_of_one_of_that_overlap_are_unbound() -> None:
    union = {"oneOf": [{"type": "integer"}, {"type": "number"}]}
    assert of(union, "1.5", "2") == ["1.5", "2"]
    assert error_of(an(union)) == (
        "In context=('properties', 'x'), 'oneOf' cannot be enforced here. Leave it out, or ask for no guarantee."
    )


# Listed values


def test_a_list_of_values_is_reduced_to_those_of_the_type() -> None:
    assert of({"type": ["string", "null"], "enum": ["a", None, 3]}, '"a"', "null", "3") == ['"a"', "null"]
    assert of({"type": "string", "nullable": True, "enum": [None]}, "null", '"a"') == ["null"]
    assert of({"enum": [1, 2.5, 5, 7.5, 10], "multipleOf": 2.5, "maximum": 7.5}, *["1", "2.5", "5", "7.5", "10"]) == [
        *("2.5", "5", "7.5")
    ]
    assert of({"enum": ["forbidden", "b"], "not": {"const": "forbidden"}}, '"forbidden"', '"b"') == ['"b"']


@pytest.mark.parametrize("empty", [{"type": "string", "enum": [1, 2]}, {"enum": []}, False], ids=str)
def test_an_argument_without_values_is_an_error_only_if_it_is_required(empty: Any) -> None:
    """A required argument whose `enum` has no value of its `type` vanished from the call."""
    for strict in (False, True):
        assert error_of(an(empty), strict=strict).startswith("In context=('properties', 'x'), no value satisfies it: ")
        assert allowed({**an(empty), "required": []}, "{}", '{"x": 1}', '{"x": "1"}', strict=strict) == ["{}"]


def test_a_value_that_contains_itself_without_end_is_an_error() -> None:
    schema = {**an({"$ref": "#/$defs/N"}), "$defs": {"N": {**NODE, "required": ["next"]}}}
    assert "no value satisfies it: it contains itself without end." in error_of(schema, strict=False)


def test_more_values_than_openai_permits_are_kept() -> None:
    """1,001 values and a pattern of 603 characters were errors, though only OpenAI has these limits."""
    assert of({"enum": [f"v{number}" for number in range(1_001)]}, '"v1000"', '"v1001"', strict=True) == ['"v1000"']
    text = "a" * 601
    assert of({"type": "string", "pattern": f"^{text}$"}, f'"{text}"', '"a"', strict=True) == [f'"{text}"']


# References


@pytest.mark.parametrize(
    ("ref", "target"),
    [
        ("#/$defs/Box[int]", {"$defs": {"Box[int]": {"type": "integer"}}}),
        ("#/$defs/Box%5Bint%5D", {"$defs": {"Box[int]": {"type": "integer"}}}),
        ("#/$defs/a b«c»", {"$defs": {"a b«c»": {"type": "integer"}}}),
        ("#box", {"$defs": {"B": {"$anchor": "box", "type": "integer"}}}),
        ("T0", {"$defs": {"B": {"$id": "T0", "type": "integer"}}}),
        ("https://x.org/s#/$defs/B", {"$id": "https://x.org/s", "$defs": {"B": {"type": "integer"}}}),
    ],
)
def test_every_local_reference_resolves(ref: str, target: JsonSchema) -> None:
    """The compiler knows only percent-encoded pointers: generic models, anchors and TypeBox's `$id`s were untyped."""
    assert of({"$ref": ref}, "1", '"1"', strict=True, **target) == ["1"]


# Numbers


def test_numbers_are_not_endless() -> None:
    """A small model repeated a digit for 178 s. Numbers end after 24 digits at the latest and after 10 decimals."""
    digits = "1234567890" * 4
    for schema in (
        {"type": "integer"},
        {"type": "number"},
        {},
        {"type": ["string", "integer"]},
        {"type": "integer", "minimum": 1},
    ):
        assert of(schema, "7000", digits[:20], digits[:30]) == ["7000", digits[:20]]
    assert of({"type": "integer", "multipleOf": 1_000}, str(7 * 10**20), str(7 * 10**30)) == [str(7 * 10**20)]
    for multiple in (7, 9, 13, 250):
        short, long = str(multiple * 101), str(10**30 + -(10**30) % multiple)
        # A model that repeated the zeros never met a multiple, and went on to its token limit.
        assert of({"type": "integer", "multipleOf": multiple, "minimum": 100}, short, long) == [short]
    assert of({"type": "integer"}, str(10**20)) and not of({"type": "number"}, "1e9", "1E400")
    assert of({"type": "number"}, f"0.{digits[:10]}", f"0.{digits[:11]}") == [f"0.{digits[:10]}"]


def test_digits_in_strings_and_long_numbers_of_a_schema_are_not_limited() -> None:
    digits = "1234567890" * 4
    quoted = [f'"{digits}"', f'"no: {digits}"', f'"\\"{digits}"']
    assert of({"type": "string"}, *quoted) == quoted
    assert of({"enum": [10**22, 7]}, str(10**22), "7") == [str(10**22), "7"]
    assert of({"type": ["string", "integer"]}, f'"\\"{digits}\\\\"', f"{digits}") == [f'"\\"{digits}\\\\"']


def test_a_schema_that_says_more_gets_more_decimals() -> None:
    assert of({"type": "number", "exclusiveMinimum": 1e-12, "maximum": 1}, "0.000000000002") == ["0.000000000002"]


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, "1", "0"),
        ({"type": "integer", "minimum": 0.5, "maximum": 1.5}, "1", "0"),
        ({"type": "integer", "maximum": 2**53 + 1}, str(2**53), str(2**53 + 2)),
        ({"type": "integer", "maximum": 2**64 - 1}, str(9 * 10**18), "-1e3"),
        ({"type": "number", "multipleOf": 0.01}, "1.25", "1.255"),
        ({"type": "integer", "multipleOf": 0.5}, "3", "3.5"),
        ({"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6}]}, "12", "6"),
    ],
)
def test_bounds_hold(schema: JsonSchema, right: str, wrong: str) -> None:
    assert of(schema, right, wrong, strict=True) == [right]


# What is not bound, and errors

UNBOUND: dict[str, JsonSchema] = {
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "contains": {"type": "array", "contains": {"type": "integer"}},
    "if": {"if": {"minLength": 3}, "then": {"pattern": "^a"}},
    "not": {"type": "string", "not": {"pattern": "a"}},
    "oneOf": {"oneOf": [{"type": "string", "minLength": 2}, {"type": "string"}]},
    "patternProperties": {"type": "object", "patternProperties": {"^a": {"type": "null"}, "b$": {"type": "integer"}}},
    "propertyNames": {"type": "object", "properties": {"a": {}}, "propertyNames": {"pattern": "^b"}},
    "multipleOf": {"type": "integer", "multipleOf": 10_007},
    "minimum": {"type": "integer", "minimum": 10**19},
    "pattern": {"type": "string", "pattern": "^(?!a)"},
    "minProperties": {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2},
}


@pytest.mark.parametrize("keyword", UNBOUND)
def test_strict_refuses_what_is_not_bound_and_says_where(keyword: str) -> None:
    message = error_of({**an(UNBOUND[keyword]), "required": []})
    assert message.startswith("In context=('properties', 'x'), ") and f"'{keyword}' cannot be enforced here" in message


@pytest.mark.parametrize("keyword", UNBOUND)
def test_without_strict_the_types_are_bound_all_the_same(keyword: str) -> None:
    kind = UNBOUND[keyword].get("type", "string")
    others = {"string": "[1]", "array": '"a"', "object": '"a"', "integer": '"a"'}
    assert not of(UNBOUND[keyword], others[kind]) or keyword == "if"


def test_no_error_shows_the_inside_of_the_compiler() -> None:
    """Errors quoted the compiler's own reports, such as "(And (SearchRegex ..."."""
    for pattern in (r"^(a|b)\1$", "^(?=x)", "[", r"^\w+([\.-]?\w+)*@\w+([\.-]?\w+)*(\.\w{2,})+$"):
        for lengths in ({}, {"minLength": 40_000, "maxLength": 50_000}):
            schema = an({"type": "string", "pattern": pattern, **lengths})
            try:
                allows(schema, "{}", strict=True)
            except RequestError as error:
                assert "In context=('properties', 'x')" in error.message
                assert not any(word in error.message for word in ("Regex", "regex", "%json", "failed to", "at 1("))


def test_an_answer_of_a_million_combinations_is_bounded() -> None:
    many = [{"anyOf": [{"required": [f"a{number}"]}, {"required": [f"b{number}"]}]} for number in range(20)]
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "allOf": many}
    assert "anyOf' cannot be enforced here (has too many combinations)" in error_of(schema)
    assert not allows(schema, json.dumps({"x": "1"}))


def test_a_long_chain_of_references_does_not_end_the_process() -> None:
    """The compiler follows references recursively: a chain of 1,000 definitions overflowed its stack, a crash."""
    defs: JsonSchema = {
        f"d{i}": {"type": "object", "properties": {"x": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(2_000)
    }
    schema = an({"$ref": "#/$defs/d0"}, **{"$defs": {**defs, "d2000": {"type": "string"}}})
    assert allows(schema, "{}", strict=False)
    assert "too many to compile" in error_of(schema)
