"""Walk through a request and its published schema together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

Json = dict[str, Any]
Path = tuple[str | int, ...]

SAMPLES: tuple[object, ...] = (None, True, 7, 0.5, "~", [], [[{}]], {"~": [{}]})  # values of every JSON type


@dataclass(frozen=True)
class Place:
    """A value in a request, and the schemas that may describe the value.

    `owner` is the name of the component that has the value as a field.
    """

    path: Path
    value: Any
    schemas: tuple[Json, ...]
    owner: str = ""

    @property
    def param(self) -> str:
        return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path).removeprefix(".")


class Published:
    """The schemas of one OpenAPI document."""

    def __init__(self, document: Json) -> None:
        self.components: dict[str, Json] = document["components"]["schemas"]
        self._validators: dict[
            int, Draft202012Validator
        ] = {}  # by id of the schema; a validator reads all components at its first use

    def places(self, value: object, component: str) -> Iterator[Place]:
        """Yield the place of every value inside `value`, which is described by the component."""
        yield from self._fields(value, self.components[component], component, ())

    def _fields(self, value: Any, schema: Json, owner: str, path: Path) -> Iterator[Place]:
        for key, item in value.items():
            if key in schema.get("properties", {}):
                yield from self._below(item, schema["properties"][key], owner, (*path, key))

    def _below(self, value: Any, schema: Json, owner: str, path: Path) -> Iterator[Place]:
        schemas = tuple(self._branches(schema))
        yield Place(path, value, schemas, owner)
        fitting = [(name, one) for name, one in self._named(schema) if self._fits(value, one)]
        for name, one in fitting:
            if isinstance(value, dict):
                yield from self._fields(value, one, name, path)
            if isinstance(value, list) and "items" in one:
                for index, item in enumerate(value):
                    yield from self._below(item, one["items"], "", (*path, index))

    def _branches(self, schema: Json) -> Iterator[Json]:
        return (one for _, one in self._named(schema))

    def _named(self, schema: Json, name: str = "") -> Iterator[tuple[str, Json]]:
        """Resolve unions and references. Yield each schema with the name of its component."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            yield from self._named(self.components[name], name)
        elif unions := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
            for one in unions:
                yield from self._named(one, name)
        else:
            yield name, schema

    def takes(self, body: Json, component: str, key: str | int) -> bool:
        """Return whether the schema of the component accepts the value of the field `key` in the body."""
        return self._fits(body[str(key)], self.components[component]["properties"][key])

    def _fits(self, value: object, schema: Json) -> bool:
        if id(schema) not in self._validators:
            whole = {**schema, "components": {"schemas": self.components}}
            self._validators[id(schema)] = Draft202012Validator(whole)
        return bool(self._validators[id(schema)].is_valid(value))


def put(document: Json, path: Path, value: object) -> Json:
    """Return a copy of the document with another value at the path."""
    changed, target = _opened(document, path)
    target[path[-1]] = value
    return changed


def without(document: Json, path: Path) -> Json:
    """Return a copy of the document without the field at the path."""
    changed, target = _opened(document, path)
    del target[path[-1]]
    return changed


def _opened(document: Json, path: Path) -> tuple[Json, Any]:
    # Not deepcopy, which preserves sharing: an object that occurs in two places would still be changed in both.
    changed = json.loads(json.dumps(document))
    target: Any = changed
    for key in path[:-1]:
        target = target[key]
    return changed, target


def bounds(schema: Json, value: Any) -> Iterator[tuple[object, object]]:
    """For each bound of a schema, yield a value at the bound and one just beyond it.

    Longer lists and objects are made from the items of `value`.
    """
    step = 1 if schema.get("type") == "integer" else 0.001
    for key, sign in (("minimum", -1), ("maximum", 1)):
        if key in schema:
            yield schema[key], schema[key] + sign * step
    if "maxLength" in schema:
        yield "x" * schema["maxLength"], "x" * (schema["maxLength"] + 1)
    if "minLength" in schema:
        yield "x" * schema["minLength"], ""
    if "maxItems" in schema and isinstance(value, list) and value:
        yield value[:1] * schema["maxItems"], value[:1] * (schema["maxItems"] + 1)
    if "minItems" in schema and isinstance(value, list):
        yield value[: schema["minItems"]], []
    if "maxProperties" in schema and isinstance(value, dict) and value:
        entry = next(iter(value.values()))
        yield _entries(schema["maxProperties"], entry), _entries(schema["maxProperties"] + 1, entry)
    for word in schema.get("enum", [schema["const"]] if "const" in schema else []):
        yield word, "~"


def _entries(num: int, value: object) -> Json:
    return {str(number): value for number in range(num)}
