"""Constraints on the tokens of real tokenizers: even the output of a random model satisfies them."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import jsonschema
import pytest

from core.conversation import JsonSchema
from core.errors import EngineError, RequestError
from core.generation import Constraint, JsonRule, Lark
from tests.support.random_model import RandomModel, byte_level

NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["value", "next"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"name": {"enum": ["a", "b"]}, "children": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}},
    "required": ["name"],
}


def an(schema: Any, **others: Any) -> JsonSchema:
    """Return the schema of an object whose only property has the given schema."""
    return {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False, **others}


SCHEMAS: dict[str, JsonSchema] = {
    "enum": an({"type": "string", "enum": ["celsius", "fahrenheit", ""]}),
    "enum of all kinds": an({"enum": ["a", 1, 2.5, None, True, {"k": [1]}]}),
    "enum, not ASCII": an(
        {"enum": ["Zürich", "北京", "😀😀", 'say "hi"', "back\\slash", "line\nbreak", "tab\t", "</s>"]}
    ),
    "const": an({"const": {"deep": [1, {"er": "é"}]}}),
    "string": an({"type": "string"}),
    "string length": an({"type": "string", "minLength": 3, "maxLength": 5}),
    "integer range": an({"type": "integer", "minimum": -3, "maximum": 117}),
    "number range": an({"type": "number", "exclusiveMinimum": 0.5, "maximum": 10}),
    "multiple": an({"type": "integer", "multipleOf": 7}),
    "boolean": an({"type": "boolean"}),
    "null or string": an({"anyOf": [{"type": "string"}, {"type": "null"}]}),
    "type list": an({"type": ["integer", "null", "boolean"]}),
    "array": an({"type": "array", "items": {"type": "integer"}}),
    "array length": an({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}),
    "prefix items": an(
        {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "b"}], "items": False, "minItems": 2}
    ),
    "nested": an(an(an({"type": "string", "maxLength": 9}))),
    "many keys": {
        "type": "object",
        "properties": {key: {"type": "integer"} for key in "zyxabc"},
        "required": ["a", "z"],
    },
    "no keys": {"type": "object", "properties": {}},
    "any object": {"type": "object"},
    "additional": {"type": "object", "additionalProperties": {"type": "integer"}},
    "required only": {"type": "object", "required": ["b", "a"]},
    "$ref": {**an({"$ref": "#/$defs/size"}), "$defs": {"size": {"enum": ["s", "m"]}}},
    "definitions": {**an({"$ref": "#/definitions/size"}), "definitions": {"size": {"type": "integer"}}},
    "recursive list": {**an({"$ref": "#/$defs/node"}), "$defs": {"node": NODE}},
    "recursive tree": TREE,
    "pydantic": {
        "title": "Order",
        "type": "object",
        "$defs": {
            "Item": {"title": "Item", "type": "object", "properties": {"id": {"title": "Id", "type": "integer"}}}
        },
        "properties": {
            "items": {"title": "Items", "type": "array", "items": {"$ref": "#/$defs/Item"}},
            "main": {"allOf": [{"$ref": "#/$defs/Item"}], "description": "The first."},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Note"},
        },
        "required": ["items"],
    },
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "allOf of $refs": {
        "type": "object",
        "$defs": {
            "a": {"type": "object", "properties": {"a": {"type": "integer"}}},
            "b": {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
        },
        "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
    },
    "union of objects": an({"anyOf": [an({"const": "cat"}), an({"const": "dog"}, title="Dog")]}),
    "discriminator": an(
        {"oneOf": [an({"const": "cat"}), an({"const": "dog"})], "discriminator": {"propertyName": "x"}}
    ),
    "pattern": an({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{1,3}$"}),
    "pattern, unanchored": an({"type": "string", "pattern": "[a-z]"}),
    "pattern, unicode": an({"type": "string", "pattern": "^[äöü]+$"}),
    **{name: an({"type": "string", "format": name}) for name in ("date", "time", "date-time", "uuid", "ipv4")},
    "unknown format": an({"type": "string", "format": "path"}),
    "pattern properties": {
        "type": "object",
        "patternProperties": {"^n_": {"type": "integer"}},
        "additionalProperties": False,
    },
    "dependent": an({"type": "integer"}, dependentRequired={"x": []}),
    "not": an({"type": "string", "not": {"const": "\0"}}),
    "unevaluated": an({"type": "string"}, unevaluatedProperties=False),
    "no type": an({}),
    "true": an(True),
    "false beside": {"type": "object", "properties": {"never": False, "ever": {"type": "null"}}, "required": ["ever"]},
    "array at the root": {"type": "array", "items": {"type": "integer"}, "maxItems": 4},
    "string at the root": {"type": "string"},
}


def of(schema: JsonSchema, model: RandomModel, *, strict: bool = False) -> Constraint:
    rule = JsonRule(schema, strict, "function 'f'", "tools[0].function.parameters", "invalid_function_parameters")
    return Constraint(turn=Lark(f"start: json <[{model.tokenizer.token_id('</s>')}]>\n", {"json": rule}))


def decoded(model: RandomModel, ids: list[int]) -> str:
    return b"".join(map(model.tokenizer.token_bytes, ids)).decode().removesuffix("</s>")


def values(schema: JsonSchema, model: RandomModel, *, strict: bool = False, num: int = 6) -> list[Any]:
    stop_ids = [model.tokenizer.token_id("</s>") or 0]
    walks = [model.walk(of(schema, model, strict=strict), stop_ids, seed) for seed in range(num)]
    texts = [decoded(model, ids) for ids, is_cut in walks if not is_cut]
    assert len(texts) >= num - 2
    return [json.loads(text) for text in texts]


def test_a_random_model_obeys(model: RandomModel, subtests: pytest.Subtests) -> None:
    for name, schema in SCHEMAS.items():
        with subtests.test(name):
            for value in values(schema, model):
                jsonschema.validate(value, schema)


def test_keys_are_in_schema_order_and_declared(model: RandomModel) -> None:
    for value in values(SCHEMAS["many keys"], model, num=20):
        assert [key for key in "zyxabc" if key in value] == list(value)


def test_spacing_is_as_trained(bytes_model: RandomModel) -> None:
    constraint = of(
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}, bytes_model
    )
    assert bytes_model.allows(constraint, '{"a": [1, 2]}</s>')
    for text in ('{"a":', '{ "a"', '{"a": [1,2', '{"a": [1, 2 ', "{\n", " {", '{"a": [1, 2]} '):
        assert not bytes_model.allows(constraint, text), text


def test_strings_have_no_unicode_escapes(bytes_model: RandomModel) -> None:
    """The grammar does not allow \\u escapes in strings.

    If a grammar allows them, models write such escapes where they otherwise never would (vllm#46308).
    """
    constraint = of(an({"type": "string"}), bytes_model)
    assert bytes_model.allows(constraint, '{"x": "é北😀 \\" \\\\ \\n \\u0001"}</s>')
    assert not bytes_model.allows(constraint, '{"x": "\\u00e9')


def test_control_tokens_are_not_allowed_in_strings(bytes_model: RandomModel) -> None:
    assert not bytes_model.allows(of(an({"type": "string"}), bytes_model), '{"x": "</s>')


def test_the_stop_token_is_allowed_exactly_at_the_end(bytes_model: RandomModel) -> None:
    matcher = bytes_model.constraints.matcher(of(SCHEMAS["enum"], bytes_model))
    stop_id = bytes_model.tokenizer.token_id("</s>")
    for token_id in bytes_model.tokenize('{"x": "celsius"}'):
        mask = matcher.mask()
        assert mask is not None and not mask[stop_id] and not matcher.is_done
        matcher.accept(token_id)
    mask = matcher.mask()
    assert mask is not None and mask.nonzero()[0].tolist() == [stop_id]
    matcher.accept(stop_id or 0)
    assert matcher.is_done and matcher.mask() is None


def test_masks_are_as_wide_as_the_logits(bytes_model: RandomModel) -> None:
    mask = bytes_model.constraints.matcher(of(an({"type": "string"}), bytes_model)).mask()
    assert mask is not None and mask.shape == (bytes_model.vocab_size,) and mask.dtype == bool
    assert not mask[-7:].any()


def test_a_token_against_the_mask_fails_the_request(bytes_model: RandomModel) -> None:
    matcher = bytes_model.constraints.matcher(of(SCHEMAS["enum"], bytes_model))
    with pytest.raises(EngineError):
        matcher.accept(bytes_model.tokenize("x")[0])


# Schemas that the compiler rejects

HARD: dict[str, Any] = {
    "lookahead": {"type": "string", "pattern": "^(?=a)b"},
    "backreference": {"type": "string", "pattern": "(a)\\1"},
    "broken pattern": {"type": "string", "pattern": "(a"},
    "not": {"type": "string", "not": {"pattern": "^a"}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "contains": {"type": "array", "contains": {"type": "integer"}},
    "if": {"if": {"minLength": 2}, "then": {"pattern": "^a"}},
    "propertyNames": {"type": "object", "properties": {"b": {}}, "propertyNames": {"pattern": "^a"}},
    "patternProperties that meet": {"type": "object", "patternProperties": {"^a": {}, "^ab": {"type": "integer"}}},
    "unsatisfiable": {"type": "string", "minLength": 5, "maxLength": 2},
    "bounds beyond 64 bits": {"type": "integer", "minimum": 10**19},
    "huge multiple": {"type": "integer", "multipleOf": 10_000_003},
    "multiples that multiply": {"type": "integer", "allOf": [{"multipleOf": 9973}, {"multipleOf": 9967}]},
    "multiple of nothing": {"type": "integer", "multipleOf": 0},
    "ref to nowhere": {"$ref": "#/$defs/nowhere"},
    "remote ref": {"$ref": "http://127.0.0.1:9/schema.json"},
    "file ref": {"$ref": "file:///etc/passwd"},
    "lone surrogate": {"enum": ["\ud800"]},
    "not a number": {"type": "number", "minimum": float("nan")},
    "false": False,
}


@pytest.mark.parametrize("name", HARD)
def test_a_strict_schema_that_does_not_compile_is_an_error(name: str, bytes_model: RandomModel) -> None:
    began = time.monotonic()
    with pytest.raises(RequestError) as caught:
        bytes_model.constraints.matcher(of(an(HARD[name]), bytes_model, strict=True))
    assert time.monotonic() - began < 10  # 0.2 s on an idle machine
    assert caught.value.message.startswith("Invalid schema for function 'f': ") and len(caught.value.message) < 500
    assert (caught.value.param, caught.value.code) == ("tools[0].function.parameters", "invalid_function_parameters")


@pytest.mark.parametrize("name", HARD)
def test_without_strict_only_the_keywords_in_the_way_are_dropped(name: str, bytes_model: RandomModel) -> None:
    """Only keywords that the compiler rejects are dropped. Other properties keep their keywords."""
    schema = an(HARD[name])
    schema["properties"] |= {"colour": {"enum": ["red", "green"]}, "plate": {"type": "string", "pattern": "^[A-Z]{2}$"}}
    schema["required"] = ["colour", "plate"]
    for value in values(schema, bytes_model):
        assert (
            value["colour"] in ("red", "green") and len(value["plate"]) == 2 and set(value) <= {"x", "colour", "plate"}
        )


def test_unknown_formats_are_no_error(bytes_model: RandomModel) -> None:
    """An unknown `format` is no error.

    pydantic writes "format": "path" or "binary", and openai-python sends such schemas with strict.
    """
    assert values(an({"type": "string", "format": "path"}), bytes_model, strict=True)


# Bounds

EVIL = {
    "nested repeats": {"type": "string", "pattern": "^(a+)+$"},
    "repeats of repeats": {"type": "string", "pattern": "^((a{0,100}){0,100}){0,100}$"},
    "far apart": {"type": "string", "pattern": ".*a.{200}$"},
    "counting": {"type": "string", "pattern": "(a.{0,40}b.{0,40}c)|(d.{0,40}e.{0,40}f)|(b.{0,50}c)"},
    "huge repeat": {"type": "string", "pattern": "^[a-z]{1000000000}$"},
    "maxLength": {"type": "string", "maxLength": 10**9},
    "minLength": {"type": "string", "minLength": 10**9},
    "maxItems": {"type": "array", "maxItems": 10**9},
    "minItems": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    "huge maxLength": {"type": "string", "maxLength": 10**30},
    "enum": {"enum": [f"value {number}" for number in range(1000)]},
    "properties": {
        "type": "object",
        "properties": {f"property_{number}": {"type": "string"} for number in range(1000)},
    },
    "huge bounds": {"type": "number", "minimum": -1.5, "maximum": 1e300},
}


@pytest.mark.parametrize("name", EVIL)
def test_no_schema_takes_long(name: str, bytes_model: RandomModel) -> None:
    began = time.monotonic()
    stop_ids = [bytes_model.tokenizer.token_id("</s>") or 0]
    ids, _ = bytes_model.walk(of(an(EVIL[name]), bytes_model), stop_ids, 3, patience=100)
    assert time.monotonic() - began < 20 and ids  # 1.5 s on an idle machine


def test_a_pattern_with_too_many_states_fails_only_where_strict(bytes_model: RandomModel) -> None:
    """A pattern may compile but need too many states during generation.

    Without `strict` the pattern is dropped. With `strict` the request fails, and the next request is not affected.
    """
    schema, stop_ids = an(EVIL["far apart"]), [bytes_model.tokenizer.token_id("</s>") or 0]
    drawing = random.Random(1)
    for _ in range(2):
        script = '{"x": "' + "".join(drawing.choices("ab", k=2000))
        ids, _ = bytes_model.walk(of(schema, bytes_model), stop_ids, 0, script=script)
        assert json.loads(decoded(bytes_model, ids))
    with pytest.raises(EngineError, match="too complex"):
        bytes_model.walk(of(schema, bytes_model, strict=True), stop_ids, 0, script=script)


def test_deep_schemas_never_reach_native_code(bytes_model: RandomModel) -> None:
    schema: JsonSchema = {"type": "string"}
    for _ in range(3000):
        schema = an(schema)
    with pytest.raises(RequestError, match="nests deeper"):
        bytes_model.constraints.matcher(of(schema, bytes_model, strict=True))
    assert all(isinstance(value, dict) for value in values(schema, bytes_model))


def test_schemas_that_share_parts_are_counted_as_trees(bytes_model: RandomModel) -> None:
    schema: JsonSchema = {"type": "string"}
    for _ in range(30):
        schema = {"type": "object", "properties": {"a": schema, "b": schema}}
    with pytest.raises(RequestError, match="more than"):
        bytes_model.constraints.matcher(of(schema, bytes_model, strict=True))


def test_compiled_grammars_are_cached_up_to_a_limit(bytes_model: RandomModel) -> None:
    constraints = RandomModel(byte_level()).constraints
    turn = of(an({"const": 1}), bytes_model).turn
    assert turn is not None and constraints._compiled_turn(turn) is constraints._compiled_turn(turn)
    for number in range(60):
        big = {
            "type": "object",
            "properties": {f"property_{number}_{index}": {"type": "string"} for index in range(500)},
        }
        constraints.matcher(of(big, bytes_model))
    assert constraints._num_cached_bytes <= 128 << 20 and len(constraints._cache) < 60
    for number in range(140):
        constraints.matcher(of(an({"type": "string", "pattern": f"^a{number}$"}), bytes_model))
    assert constraints._num_cached_bytes <= 128 << 20 and len(constraints._cache) < 130


def test_matchers_of_one_grammar_are_independent(bytes_model: RandomModel) -> None:
    one, other = (bytes_model.constraints.matcher(of(SCHEMAS["enum"], bytes_model)) for _ in range(2))
    for token_id in bytes_model.tokenize('{"x": "fahr'):
        one.accept(token_id)
    mask = other.mask()
    assert mask is not None and mask[bytes_model.tokenize('{"')[0]]
