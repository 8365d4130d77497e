"""Schemas as pydantic, zod and TypeBox write them, drawn at random but always the same for the same number."""

from __future__ import annotations

import datetime
import enum
import random
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, Field, create_model

from core.conversation import JsonSchema

_WORDS = ("city", "limit", "unit", "query", "user_id", "tags", "filters", "address", "lines", "note", "when", "status")
_PATTERNS = ("^[A-Z]{2,3}-[0-9]{1,4}$", "^[a-z0-9_-]+$", "^#[0-9a-fA-F]{6}$", "[aeiou]", r"^\d{4}-\d{2}$")
_DEPTH = 3


def schemas(count: int) -> Iterator[tuple[str, JsonSchema]]:
    """Yield `count` named schemas, in turn as pydantic, zod and TypeBox write them."""
    writers: tuple[tuple[str, Callable[[random.Random], JsonSchema]], ...] = (
        ("pydantic", _pydantic),
        ("zod", _zod),
        ("typebox", _typebox),
    )
    for number in range(count):
        name, writer = writers[number % len(writers)]
        yield f"{name} {number}", writer(random.Random(number))


# pydantic


class _Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class _Level(enum.IntEnum):
    LOW = 1
    HIGH = 3


class _Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, ge=0, le=9)


class _Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str | None = None


class _Tree(BaseModel):
    value: int
    children: list[_Tree] = []
    parent: Optional[_Tree] = Field(None, description="The tree above.")  # noqa: UP045 - a shape of older models


_PYDANTIC: tuple[Any, ...] = (
    *(str, int, float, bool, Any, _Colour, _Level, _Tree, uuid.UUID, datetime.date, datetime.datetime, Decimal),
    Annotated[str, Field(min_length=1, max_length=12)],
    Annotated[int, Field(ge=1, le=100)],
    Annotated[float, Field(gt=0, lt=1)],
    Annotated[int, Field(multiple_of=5, ge=0)],
    Literal["a", "b", 3],
    Annotated[Union[_Cat, _Dog], Field(discriminator="kind")],  # noqa: UP007 - of two classes
    dict[str, int],
    dict[Literal["x", "y"], float],
    dict[Annotated[str, Field(pattern="^k_")], str],
    tuple[int, str],
    list[tuple[float, float]],
    set[str],
    Annotated[list[str], Field(min_length=1, max_length=3)],
)


def _pydantic(drawing: random.Random) -> JsonSchema:
    return _pydantic_model(drawing, _DEPTH).model_json_schema()


def _pydantic_model(drawing: random.Random, depth: int) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name in drawing.sample(_WORDS, drawing.randint(1, 4)):
        kind: Any = drawing.choice(_PYDANTIC)
        if depth and drawing.random() < 0.3:
            kind = _pydantic_model(drawing, depth - 1)
        wrapped = drawing.choice((kind, kind, list[kind], kind | None, dict[str, kind]))
        description = Field(description="A field.")
        fields[name] = (wrapped, drawing.choice((..., ..., None, description)))
    return create_model(f"Model{drawing.randrange(10**6)}", **fields)


# zod


def _zod(drawing: random.Random) -> JsonSchema:
    schema = _zod_object(drawing, _DEPTH)
    if drawing.random() < 0.2:
        schema["properties"]["self"] = {"type": "array", "items": {"$ref": "#"}}
    if drawing.random() < 0.2:
        name = drawing.choice(list(schema["properties"]))
        schema["properties"]["again"] = {"$ref": f"#/properties/{name}", "description": "As before."}
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}


def _zod_object(drawing: random.Random, depth: int) -> JsonSchema:
    names = drawing.sample(_WORDS, drawing.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: _zod_value(drawing, depth) for name in names},
        "required": [name for name in names if drawing.random() < 0.6],
        "additionalProperties": False,
    }


def _zod_value(drawing: random.Random, depth: int) -> JsonSchema:
    if depth and drawing.random() < 0.4:
        inner, other = _zod_value(drawing, depth - 1), _zod_value(drawing, depth - 1)
        one, two = _zod_object(drawing, depth - 1), _zod_object(drawing, depth - 1)
        tagged = [_with_tag(one, "a"), _with_tag(two, "b")]
        return drawing.choice(
            (
                one,
                {"type": "array", "items": inner, "minItems": 1},
                {"anyOf": [inner, {"type": "null"}], "default": None},
                {"anyOf": [inner, other]},
                {"anyOf": tagged},
                {"oneOf": tagged, "discriminator": {"propertyName": "type"}},
                {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": inner},
                {"type": "object", "propertyNames": {"enum": ["p", "q"]}, "additionalProperties": inner},
                {"type": "array", "prefixItems": [inner, other], "items": False, "minItems": 2},
                {"allOf": [_open(one), _open(two)]},
            )
        )
    return drawing.choice(
        (
            {"type": "string", "description": "A text."},
            {"type": "string", "minLength": 1, "maxLength": drawing.choice((5, 200))},
            {"type": "string", "pattern": drawing.choice(_PATTERNS)},
            {"type": "string", "pattern": drawing.choice(_PATTERNS), "maxLength": 40},
            {"type": "string", "format": drawing.choice(("email", "uuid", "uri", "date-time", "cuid"))},
            {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
            {"type": "string", "const": "fixed"},
            {"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1},
            {"type": "integer", "exclusiveMinimum": 0, "maximum": 2**53 - 1},
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "number", "multipleOf": 0.01},
            {"type": "boolean", "default": False},
            {"type": ["string", "null"]},
            {"type": "number", "enum": [1, 2.5]},
            {"not": {}} if depth < 0 else {},
        )
    )


def _open(schema: JsonSchema) -> JsonSchema:
    return {key: value for key, value in schema.items() if key != "additionalProperties"}


def _with_tag(schema: JsonSchema, tag: str) -> JsonSchema:
    properties = {"type": {"type": "string", "const": tag}, **schema["properties"]}
    return {**schema, "properties": properties, "required": ["type", *schema["required"]]}


# TypeBox


def _typebox(drawing: random.Random) -> JsonSchema:
    schema = _typebox_object(drawing, _DEPTH)
    if drawing.random() < 0.3:
        node: JsonSchema = {"$id": "T0", "type": "object", "required": ["nodes"]}
        node["properties"] = {"nodes": {"type": "array", "items": {"$ref": "T0"}}, "id": {"type": "string"}}
        schema["properties"]["tree"] = node
    return schema


def _typebox_object(drawing: random.Random, depth: int) -> JsonSchema:
    names = drawing.sample(_WORDS, drawing.randint(1, 4))
    schema: JsonSchema = {"type": "object", "properties": {name: _typebox_value(drawing, depth) for name in names}}
    required = [name for name in names if drawing.random() < 0.6]
    return {**schema, "required": required} if required else schema


def _typebox_value(drawing: random.Random, depth: int) -> JsonSchema:
    if depth and drawing.random() < 0.4:
        inner, one, two = (_typebox_value(drawing, depth - 1), *(_typebox_object(drawing, depth - 1) for _ in "ab"))
        return drawing.choice(
            (
                one,
                {"type": "array", "items": inner, "maxItems": 2},
                {"anyOf": [{"const": "on", "type": "string"}, {"const": "off", "type": "string"}]},
                {"type": "object", "patternProperties": {"^(.*)$": inner}},
                {"type": "object", "patternProperties": {"^(0|[1-9][0-9]*)$": inner}, "additionalProperties": False},
                {"type": "array", "items": [inner, {"type": "null"}], "additionalItems": False, "minItems": 2},
                {"type": "object", "allOf": [one, two], "unevaluatedProperties": False},
                {"anyOf": [one, {"type": "null"}]},
                {"type": "object", "additionalProperties": inner, "minProperties": 1, "maxProperties": 3},
                {**one, "dependentRequired": {next(iter(one["properties"])): list(one["properties"])}},
            )
        )
    return drawing.choice(
        (
            {"type": "string"},
            {"type": "string", "pattern": drawing.choice(_PATTERNS)},
            {"type": "integer", "minimum": 1},
            {"type": "integer", "multipleOf": 3},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {"const": 7, "type": "number"},
            {"enum": ["x", "y", None]},
            {"type": "string", "not": {"const": "forbidden"}, "enum": ["forbidden", "allowed"]},
            {"type": "string", "nullable": True, "xml": {"name": "n"}, "x-order": 3},
            {"type": "array", "items": {"type": "number"}, "uniqueItems": drawing.random() < 0.3},
        )
    )
