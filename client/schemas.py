"""Checks values against JSON Schemas in bounded time, whoever wrote the schema and the value.

Regular expressions are matched by the engine of pydantic, whose time is linear. It knows no lookaround and no
backreferences: a pattern with them is not checked. In Python's engine a pattern such as `(a+)+$` takes years, and no
other thread runs meanwhile.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import jsonschema
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator, core_schema
from referencing import Registry
from referencing.exceptions import Unresolvable

from core.conversation import JsonSchema

MAX_S = 2.0  # of computing; alternatives that refer to themselves can take exponential time

_OPEN = {"additionalProperties", "unevaluatedProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"}
_DEADLINE: ContextVar[float] = ContextVar("_DEADLINE")  # of the thread's own time
_CHECKS: Mapping[str, Any] = jsonschema.Draft202012Validator.VALIDATORS


def schema_fault(schema: JsonSchema, value: object) -> str:
    """Return why a value does not fit a schema, or "" if it fits.

    A property that the schema does not declare is a fault, even if the schema does not set `additionalProperties` to
    false.
    """
    _DEADLINE.set(time.thread_time() + MAX_S)
    try:
        for fault in _validator(json.dumps(schema)).iter_errors(value):
            return f"{fault.json_path}: {fault.message}"
    except (Unresolvable, jsonschema.SchemaError, re.error, ValueError, OverflowError, RecursionError) as error:
        return f"the schema cannot be used: {error}"
    except TimeoutError:
        return f"it takes more than {MAX_S:g} s to check them"
    return ""


@lru_cache(1024)
def _validator(schema: str) -> Any:
    parsed: JsonSchema = json.loads(schema, object_hook=_without_dialect)
    closed = parsed if _OPEN & parsed.keys() else {**parsed, "additionalProperties": False}
    kind = _Patterned if "patternProperties" in schema else _Validator
    return kind(closed, registry=Registry())  # no URL of a `$ref` is fetched


def _without_dialect(schema: JsonSchema) -> JsonSchema:
    """Remove `$schema`, which makes jsonschema go on with its own validator."""
    return {key: value for key, value in schema.items() if key != "$schema" or not isinstance(value, str)}


@lru_cache(1024)
def _matcher(pattern: str) -> SchemaValidator | None:
    """Return what matches a pattern, or None if it cannot be matched in linear time. Raises re.error."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:
        re.compile(pattern)
        return None


def _pattern(_: Any, pattern: str, value: Any, __: JsonSchema) -> Iterator[Any]:
    if isinstance(value, str) and (matcher := _matcher(pattern)) and not matcher.isinstance_python(_whole(value)):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: JsonSchema, value: Any, _: JsonSchema) -> Iterator[Any]:
    for pattern, schema in patterns.items():
        matcher = _matcher(pattern)
        for name, member in value.items() if isinstance(value, dict) else ():
            if matcher and matcher.isinstance_python(_whole(name)):
                yield from validator.descend(member, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, other: Any, value: Any, schema: JsonSchema) -> Iterator[Any]:
    matchers = [_matcher(pattern) for pattern in schema.get("patternProperties", ())]
    if matchers and isinstance(value, dict):
        others = {
            name for name in value if not any(one is None or one.isinstance_python(_whole(name)) for one in matchers)
        }
        value = {name: value[name] for name in value if name in others}
        schema = {key: held for key, held in schema.items() if key != "patternProperties"}
    yield from _CHECKS["additionalProperties"](validator, other, value, schema)


def _unique_items(_: Any, is_unique: Any, value: Any, __: JsonSchema) -> Iterator[Any]:
    """Compare the items by their JSON: comparing each with each takes minutes for some thousand objects."""
    if is_unique and isinstance(value, list):
        texts = {json.dumps(_equal(item), sort_keys=True) for item in value}
        if len(texts) < len(value):
            yield jsonschema.ValidationError(f"{value!r} has non-unique elements")


def _timed(keyword: str) -> Callable[..., Iterator[Any]]:
    def check(validator: Any, held: Any, value: Any, schema: JsonSchema) -> Iterator[Any]:
        if time.thread_time() > _DEADLINE.get():
            raise TimeoutError
        yield from _CHECKS[keyword](validator, held, value, schema)

    return check


def _equal(value: Any) -> Any:
    """Write 5.0 as 5, which is the same in JSON Schema."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_equal(item) for item in value]
        case dict():
            return {name: _equal(item) for name, item in value.items()}
    return value


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which the engine cannot read."""
    return text.encode("utf-8", "replace").decode()


_Validator = extend(
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
        "$ref": _timed("$ref"),
        "$dynamicRef": _timed("$dynamicRef"),
    },
)
# `unevaluatedProperties` would match patterns by Python's engine.
_Patterned = extend(_Validator, {"unevaluatedProperties": lambda *_: iter(())})
