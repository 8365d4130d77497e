"""JSON Schemas as trees: their nodes, and what they leave unsaid that decoding should know."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from core.conversation import JsonSchema
from json_schema.types import lookup

_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"])
_ANNOTATIONS = frozenset(
    ["title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$comment"]
)
_COMBINERS = ("allOf", "anyOf", "oneOf", "$ref", "if", "then", "else", "not", "dependentSchemas")
_ONE_SCHEMA = frozenset(
    [
        "items",
        "additionalProperties",
        "additionalItems",
        "unevaluatedItems",
        "unevaluatedProperties",
        "propertyNames",
        "contains",
        "not",
        "if",
        "then",
        "else",
    ]
)
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})
_SCHEMA_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})


def nodes(schema: object) -> Iterator[JsonSchema]:
    """Every schema object within `schema`, in document order. Data (`enum`, `default`, ...) is not looked into."""
    todo: list[object] = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            yield node
            todo += reversed(list(_children(node)))


def _children(node: JsonSchema) -> Iterator[object]:
    for key, value in node.items():
        if key in _SCHEMA_LISTS and isinstance(value, list):
            yield from value
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            yield from value.values()
        elif key in _ONE_SCHEMA:
            yield value


def bare(schema: JsonSchema) -> JsonSchema:
    """A copy without what is for readers only."""
    schema = deepcopy(schema)
    for node in nodes(schema):
        for key in _ANNOTATIONS & node.keys():
            del node[key]
    return schema


def without_unknown_formats(schema: JsonSchema) -> JsonSchema:
    """`format` is an annotation in JSON Schema; those that the compiler knows bind, others (pydantic's "path") pass."""
    schema = deepcopy(schema)
    for node in nodes(schema):
        if node.get("format") not in _FORMATS:
            node.pop("format", None)
    return schema


def closed(schema: JsonSchema) -> JsonSchema:
    """Objects that list their properties get no others: a model should not invent keys.

    Left open where schemas are merged, since there one part's properties would forbid the other's.
    """
    schema = deepcopy(schema)
    merged = {id(part) for node in nodes(schema) if _merges(node) for part in _parts(schema, node)}
    for node in nodes(schema):
        properties, required = node.get("properties"), node.get("required", [])
        is_open = node.keys() & {"additionalProperties", "patternProperties", "unevaluatedProperties", *_COMBINERS}
        if not isinstance(properties, dict) or is_open or id(node) in merged or not (properties or node is schema):
            continue
        if isinstance(required, list) and all(name in properties for name in required):
            node["additionalProperties"] = False
    return schema


def _merges(node: JsonSchema) -> bool:
    num_parts = sum(
        len(node[key]) if key == "allOf" and isinstance(node[key], list) else 1 for key in _COMBINERS if key in node
    )
    return num_parts > 1 or (num_parts == 1 and "properties" in node)


def _parts(root: JsonSchema, node: JsonSchema) -> Iterator[JsonSchema]:
    """The schemas that are merged into `node`, and those merged into them."""
    seen: set[int] = set()
    todo: list[Any] = [node]
    while todo:
        part = todo.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        for key in _COMBINERS:
            value = part.get(key)
            todo += value if isinstance(value, list) else [lookup(root, str(value)) if key == "$ref" else value]
