"""Rewriting schemas before they are printed: equal meanings have equal texts, and no schema takes long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.conversation import Function, JsonSchema
from core.errors import RequestError
from json_schema.check import check_parameters
from json_schema.normalise import ROOT, Budget, Normaliser
from schema import flat_typescript, typescript
from tests.support.printed_schemas import printed, property_lines
from tests.support.work import num_lines

REFS = ["#/$defs/A", "#/$defs/B", "#/$defs/C", "#/properties/p", "#"]
VALUES = st.sampled_from(["x", "y", 1, 2.5, None, True, [1], {"k": "v"}])
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["string", "integer", "object", "array", "null", ["string", "null"], ["array", "null"]]),
    "description": st.sampled_from(["", "What it is", "two\nlines"]),
    "title": st.sampled_from(["T", "U"]),
    "default": VALUES,
    "enum": st.lists(VALUES, max_size=3),
    "const": VALUES,
    "nullable": st.booleans(),
    "required": st.lists(st.sampled_from("pq"), max_size=2),
    "format": st.just("date"),
    "pattern": st.just("^x"),
    "minimum": st.integers(0, 3),
    "exclusiveMinimum": st.booleans() | st.integers(0, 3),
    "maxItems": st.integers(0, 3),
    "examples": st.lists(VALUES, max_size=2),
    "$ref": st.sampled_from(REFS),
    "discriminator": st.fixed_dictionaries(
        {"propertyName": st.just("p")}, optional={"mapping": st.just({"a": REFS[0], "b": REFS[1]})}
    ),
}


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    schemas = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from("pqr"), inner, max_size=2)
    nested: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("properties", "patternProperties"), named),
        **dict.fromkeys(("prefixItems", "anyOf", "oneOf", "allOf"), schemas),
        **dict.fromkeys(("additionalProperties", "propertyNames", "not"), inner),
        "items": inner | schemas,
    }
    return with_some(nested) | with_some({**nested, **LEAVES})


def with_some(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[JsonSchema]:
    """Return schemas with up to four of the keywords."""
    chosen = st.lists(st.sampled_from(list(keywords)), max_size=4, unique=True)
    return chosen.flatmap(lambda keys: st.fixed_dictionaries({key: keywords[key] for key in keys}))


SCHEMA = st.recursive(st.booleans() | with_some(LEAVES), composed, max_leaves=5)
DEFINITIONS = st.fixed_dictionaries({"A": SCHEMA, "B": SCHEMA, "C": SCHEMA})
PARAMETERS = st.fixed_dictionaries(
    {"$defs": DEFINITIONS}, optional={"properties": st.dictionaries(st.just("p"), SCHEMA)}
)


def roots(draw: st.DrawFn) -> JsonSchema:
    root = draw(SCHEMA)
    return {**(root if isinstance(root, dict) else {}), **draw(PARAMETERS)}


ROOTS = st.composite(roots)()


def is_accepted(parameters: JsonSchema) -> bool:
    try:
        check_parameters(parameters, owner="function 'f'", param="tools")
    except RequestError:
        return False
    return True


@given(ROOTS)
@settings(max_examples=150, deadline=None)
def test_every_accepted_schema_is_printed(parameters: JsonSchema) -> None:
    """Whatever schema the server accepts, it can print, twice the same, and without changing it."""
    assume(is_accepted(parameters))
    before = repr(parameters)
    function = Function("f", "Does it", parameters)
    text = typescript([function])
    assert text == typescript([function])
    assert flat_typescript([function]) == flat_typescript([function])
    assert repr(parameters) == before
    assert ": ," not in text or "[]" in before  # only an empty enum prints no type


@given(ROOTS)
@settings(max_examples=150, deadline=None)
def test_a_rewritten_schema_is_not_rewritten_again(parameters: JsonSchema) -> None:
    assume(is_accepted(parameters))
    normaliser = Normaliser(Function("f", "", parameters), Budget())
    node = normaliser.normal(parameters, ROOT)
    again = normaliser.normal(node.schema, node.seen)
    assert (again.schema, again.is_nullable) == (node.schema, False)
    assert node.schema.keys().isdisjoint({"allOf", "const"})


# Forms that mean the same

LEAF = st.sampled_from(
    [
        {"type": "string", "minLength": 1, "default": "x"},
        {"type": "integer", "description": "How many", "minimum": 0},
        {"enum": ["x", 2]},
        {"type": "array", "items": {"type": "string", "description": "A word"}},
        {"type": "object", "properties": {"k": {"type": "boolean"}}, "required": ["k"], "description": "It"},
        {"type": "object", "additionalProperties": {"type": "number"}},
        {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"k": {}}}]},
        {"type": "array", "prefixItems": [{"type": "string"}, {"const": 1}]},
    ]
)


@given(LEAF)
@settings(deadline=None)
def test_an_optional_property_that_may_be_null_is_printed_like_one_that_may_not(schema: JsonSchema) -> None:
    """The model leaves the property out instead of writing null.

    Regression test: every optional parameter of pydantic and zod was printed as `any`.
    """
    null = {"type": "null"}
    expected = printed({"properties": {"a": schema}})
    assert printed({"properties": {"a": {"anyOf": [schema, null]}}}) == expected
    assert printed({"properties": {"a": {"anyOf": [null, schema]}}}) == expected
    assert printed({"properties": {"a": {"allOf": [{"anyOf": [schema, null]}]}}}) == expected


@given(LEAF)
@settings(deadline=None)
def test_a_combiner_of_one_schema_is_that_schema(schema: JsonSchema) -> None:
    for combined in (
        {"allOf": [schema]},
        {"anyOf": [schema]},
        {"oneOf": [schema]},
        {"allOf": [{}, {"anyOf": [schema]}]},
    ):
        assert property_lines(combined) == property_lines(schema)
    assert property_lines({"$ref": "#/$defs/X"}, **{"$defs": {"X": {"allOf": [schema]}}}) == property_lines(schema)


def test_a_required_property_says_that_it_may_be_null() -> None:
    null = {"type": "null"}
    assert property_lines({"anyOf": [{"type": "integer"}, null]}) == ["a: number | null,"]
    assert property_lines({"type": ["array", "null"], "items": {"type": "integer"}}) == ["a: number[] | null,"]


def test_what_stands_beside_a_ref_wins() -> None:
    """Regression test: the description of a property was lost if its type was a `$ref`."""
    target = {"type": "string", "description": "Any colour", "enum": ["red"], "default": "red"}
    lines = property_lines({"$ref": "#/$defs/C", "description": "The wall"}, **{"$defs": {"C": target}})
    assert lines == ['// The wall. Default="red".', 'a: "red",']


def test_merged_schemas_have_the_properties_of_all() -> None:
    base = {"type": "object", "properties": {"id": {"type": "integer"}, "kind": {"type": "string"}}, "required": ["id"]}
    schema = {
        "allOf": [{"$ref": "#/$defs/B"}, {"properties": {"kind": {"const": "x"}, "next": {"$ref": "#/$defs/B"}}}],
        "required": ["kind"],
    }
    lines = property_lines(schema, **{"$defs": {"B": base}})
    assert lines == ["a: {", "    id: number,", '    kind: "x",', "    next?: {", *[f"    {x}" for x in NEXT], "},"]


NEXT = ["    id: number,", "    kind?: string,", "},"]


# Functions without parameters


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"additionalProperties": False}, {"allOf": [{}]}])
def test_what_declares_no_properties_takes_nothing(schema: JsonSchema) -> None:
    assert printed(schema) == ["// Does it", "type f = () => any;"]


@pytest.mark.parametrize("schema", [{"additionalProperties": True}, {"patternProperties": {"^x": {}}}])
def test_what_takes_any_property_says_so(schema: JsonSchema) -> None:
    assert "[key: string]: any," in printed(schema)


# Limits


def laughs(levels: int, twice: Any) -> JsonSchema:
    """Return definitions that expand to 2**levels schemas; `twice` makes a schema that uses another one twice."""
    definitions = {f"d{level}": twice({"$ref": f"#/$defs/d{level + 1}"}) for level in range(levels)}
    return {**definitions, f"d{levels}": {"type": "string"}}


@pytest.mark.parametrize(
    "twice",
    [
        lambda ref: {"anyOf": [ref, {"type": "object", "properties": {"a": ref}}]},
        lambda ref: {"allOf": [ref, {"properties": {"a": ref}}]},
        lambda ref: {"type": "object", "properties": {"a": {"oneOf": [ref, {"type": "null"}]}, "b": {"anyOf": [ref]}}},
        lambda ref: {"type": "object", "additionalProperties": {"type": "array", "prefixItems": [ref, ref]}},
        lambda ref: {"properties": {"a": ref, "b": ref}},
    ],
)
def test_refs_that_double_each_other_in_combiners_end_in_names(twice: Any) -> None:
    """What was printed as `any` before it was rewritten is never an error, and neither slow nor long."""
    definitions = {"$defs": laughs(40, twice)}

    def print_both() -> None:
        for schema in (
            {**definitions, "$ref": "#/$defs/d0"},
            {**definitions, "properties": {"a": twice({"$ref": "#/$defs/d0"})}},
        ):
            assert len(typescript([Function("f", "", schema)])) < 300_000

    assert num_lines(print_both) < 1_000_000


def test_a_chain_of_unions_ends() -> None:
    chain = {f"c{i}": {"anyOf": [{"$ref": f"#/$defs/c{i + 1}"}, {"type": "null"}]} for i in range(500)}
    lines = property_lines({"$ref": "#/$defs/c0"}, **{"$defs": chain})
    assert lines == ["a: c63 | null,"]


def test_merging_wide_schemas_is_bounded() -> None:
    wide = {f"p{i}": {"type": "string"} for i in range(1_000)}
    schema = {"type": "object", "properties": wide, "anyOf": [{"properties": {f"q{i}": {}}} for i in range(1_000)]}

    def print_it() -> None:
        typescript([Function("f", "", {"properties": {"a": schema}})])

    assert num_lines(print_it) < 1_000_000


def test_a_long_property_of_a_union_at_the_root_is_compared_once() -> None:
    long = {"type": "object", "properties": {f"p{i}": {"type": "string", "description": "x" * 900} for i in range(300)}}
    definition = {"type": "object", "properties": {"a": long}, "required": ["a"]}
    schema = {"anyOf": [{"$ref": "#/$defs/X"} for _ in range(900)], "$defs": {"X": definition}}
    normaliser = Normaliser(Function("f", "", schema), Budget())
    assert normaliser.parameters(ROOT).schema["required"] == ["a"]
    assert len(normaliser.texts) == 1


def test_long_enums_are_merged_in_linear_time() -> None:
    """Each value was searched for in the whole other list: two enums of 20,000 values took 5 s to print."""
    first, second = [f"a{number}" for number in range(20_000)], [f"b{number}" for number in range(20_000)]
    assert property_lines({"allOf": [{"enum": first}, {"enum": [*second, "a7"]}]}) == ['a: "a7",']


def test_merged_enums_keep_only_equal_json_values() -> None:
    """In Python, true equals 1: an enum of 1 kept the true of another one. In JSON they differ."""
    assert property_lines({"allOf": [{"enum": [True, 1, 2.0]}, {"enum": [1, 2]}]}) == ["a: 1 | 2.0,"]


def test_a_long_key_pattern_is_left_out_like_a_long_pattern() -> None:
    """A pattern of 5,000 characters for the keys of a map was printed in full, at the cost of the context."""
    lines = property_lines({"type": "object", "patternProperties": {"a" * 101: {"type": "integer"}}})
    assert not any("pattern" in line for line in lines)
