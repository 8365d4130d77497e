"""The base for reading JSON Schemas: the table of keywords, the walk over all schemas, and local `$ref`s.

Remote `$ref`s are not fetched. No function recurses, so a schema cannot exhaust the stack. A walk takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from core.conversation import JsonSchema

MAX_DEPTH = 64  # nested schemas; native compilers recurse once per level, and a stack overflow kills the process
_MAX_RECURSION = 512  # schemas; the native compiler's stack ends at about 1,500
TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")

Context = tuple[str, ...]  # the keys that lead to a schema; OpenAI prints list indices as strings too

# The kinds of value that a keyword can have. The first five hold schemas, the others data.
Value = Literal[
    "schema",
    "schemas",
    "schema or schemas",
    "named schemas",
    "named schemas or names",
    "types",
    "names",
    "list",
    "text",
    "boolean",
    "number",
    "number above 0",
    "number or boolean",
    "count",
    "any",
]


@dataclass(frozen=True, slots=True)
class Keyword:
    """The properties of a keyword that this package uses."""

    value: Value = "any"
    is_annotation: bool = False  # it does not change which values are valid
    is_combiner: bool = False  # schemas under the keyword apply to the same value as the schema with the keyword
    is_strict: bool = True  # OpenAI permits it with `strict: true`


# JSON Schema 2020-12 and draft 7, and what OpenAPI adds.
KEYWORDS: dict[str, Keyword] = {
    "type": Keyword("types"),
    "required": Keyword("names"),
    "enum": Keyword("list"),
    "const": Keyword(),
    "nullable": Keyword(),  # OpenAPI 3.0
    "discriminator": Keyword(),  # OpenAPI
    # Schemas for the same value
    "$ref": Keyword("text", is_combiner=True),
    "anyOf": Keyword("schemas", is_combiner=True),
    "oneOf": Keyword("schemas", is_combiner=True, is_strict=False),
    "allOf": Keyword("schemas", is_combiner=True),
    "not": Keyword("schema", is_combiner=True, is_strict=False),
    "if": Keyword("schema", is_combiner=True, is_strict=False),
    "then": Keyword("schema", is_combiner=True, is_strict=False),
    "else": Keyword("schema", is_combiner=True, is_strict=False),
    "dependentRequired": Keyword(is_strict=False),
    "dependentSchemas": Keyword("named schemas", is_combiner=True, is_strict=False),
    "dependencies": Keyword("named schemas or names"),  # draft 7
    "$dynamicRef": Keyword(),
    # Objects
    "patternProperties": Keyword("named schemas", is_strict=False),
    "properties": Keyword("named schemas"),
    "additionalProperties": Keyword("schema"),
    "unevaluatedProperties": Keyword("schema"),
    "propertyNames": Keyword("schema"),
    "minProperties": Keyword("count"),
    "maxProperties": Keyword("count"),
    # Arrays
    "prefixItems": Keyword("schemas"),
    "items": Keyword("schema or schemas"),  # a list in draft 7
    "additionalItems": Keyword("schema"),  # draft 7
    "unevaluatedItems": Keyword("schema"),
    "contains": Keyword("schema"),
    "minContains": Keyword(),
    "maxContains": Keyword(),
    "minItems": Keyword("count"),
    "maxItems": Keyword("count"),
    "uniqueItems": Keyword("boolean"),
    # Strings and numbers
    "pattern": Keyword("text"),
    "format": Keyword("text"),
    "minLength": Keyword("count"),
    "maxLength": Keyword("count"),
    "contentEncoding": Keyword(),
    "contentMediaType": Keyword(),
    "contentSchema": Keyword("schema"),
    "multipleOf": Keyword("number above 0"),
    "minimum": Keyword("number"),
    "maximum": Keyword("number"),
    "exclusiveMinimum": Keyword("number or boolean"),  # a boolean in OpenAPI 3.0
    "exclusiveMaximum": Keyword("number or boolean"),
    # Annotations
    "title": Keyword("text", is_annotation=True),
    "description": Keyword("text", is_annotation=True),
    "default": Keyword(is_annotation=True),
    "examples": Keyword(is_annotation=True),
    "example": Keyword(is_annotation=True),  # OpenAPI 3.0
    "deprecated": Keyword(is_annotation=True),
    "readOnly": Keyword(is_annotation=True),
    "writeOnly": Keyword(is_annotation=True),
    "$comment": Keyword("text", is_annotation=True),
    # Names of schemas
    "$defs": Keyword("named schemas"),
    "definitions": Keyword("named schemas"),  # draft 7
    "$schema": Keyword("text"),
    "$id": Keyword("text"),
    "$anchor": Keyword(),
    "$dynamicAnchor": Keyword(),
    "$vocabulary": Keyword(),
}
_HOLDERS: dict[str, Value] = {key: kw.value for key, kw in KEYWORDS.items() if "schema" in kw.value}


class Node(NamedTuple):
    """A schema and its place. `schema` can be any JSON value if the root is not checked yet."""

    schema: Any
    context: Context
    depth: int  # the number of schemas on the path from the root, both ends included


def walk(root: object) -> Iterator[Node]:
    """Yield every schema within `root` once, in document order, then the schemas that only a `$ref` reaches.

    A schema is yielded before its keywords are followed. A caller can therefore stop at a schema that is malformed or
    exceeds a limit before more is read. Keywords whose value has the wrong type are not followed.
    """
    visited: set[int] = set()
    todo = [Node(root, (), 1)]
    referred: list[Node] = []
    while todo or referred:
        node = todo.pop() if todo else referred.pop()
        schema, context, depth = node
        if id(schema) in visited:
            continue
        yield node
        if not isinstance(schema, dict):
            continue
        visited.add(id(schema))
        todo += [Node(child, (*context, *keys), depth + 1) for child, keys in reversed(list(children(schema)))]
        ref = schema.get("$ref")
        if isinstance(ref, str) and (target := lookup(root, ref)) is not None:
            tokens = tuple(ref.split("/")[1:])
            referred.append(Node(target, tokens, len(tokens) // 2 + 1))


def nodes(root: object) -> Iterator[JsonSchema]:
    """Yield the schemas of `walk` that are objects, without their places."""
    return (node.schema for node in walk(root) if isinstance(node.schema, dict))


def children(schema: JsonSchema) -> Iterator[tuple[Any, Context]]:
    """Yield the schemas directly inside `schema`, each with the keys that lead from `schema` to it."""
    for key, value in schema.items():
        if key not in _HOLDERS:
            continue
        match _HOLDERS[key]:
            case "schemas" | "schema or schemas" if isinstance(value, list):
                yield from ((child, (key, str(index))) for index, child in enumerate(value))
            case "schema" | "schema or schemas":
                yield value, (key,)
            case "named schemas" if isinstance(value, dict):
                yield from ((child, (key, name)) for name, child in value.items())
            case "named schemas or names" if isinstance(value, dict):
                yield from ((child, (key, name)) for name, child in value.items() if not isinstance(child, list))


def lookup(root: object, ref: str) -> Any:
    """Return the schema within `root` that `ref` names, or None.

    A reference is a JSON pointer (`#`, `#/$defs/X`), an `$anchor` (`#node`), or the `$id` of a schema within `root`,
    alone (`T0`) or before one of the other two (`tree.json#/$defs/X`).
    """
    base, _, fragment = ref.partition("#")
    resource = root
    if base:
        resource = _names(_Root(root)).get(base)
    elif not ref:
        return None
    fragment = unquote(fragment)
    if not fragment or fragment.startswith("/"):
        return _pointed(resource, fragment)
    return _names(_Root(resource)).get(f"#{fragment}")


def _pointed(root: object, pointer: str) -> Any:
    target = root
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict):
            target = target.get(token)
        elif isinstance(target, list) and re.fullmatch(r"[0-9]{1,6}", token) and int(token) < len(target):
            target = target[int(token)]
        else:
            return None
    return target


class _Root:
    """A schema as a key of a cache. Two are equal if they hold the same object, which cannot be freed meanwhile."""

    def __init__(self, schema: object) -> None:
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Root) and self.schema is other.schema

    def __hash__(self) -> int:
        return id(self.schema)


@lru_cache(maxsize=8)  # without it, a schema with 10,000 references to anchors would be walked 10,000 times
def _names(root: _Root) -> dict[str, Any]:
    """Return the schemas within `root` that have a name: by `$id`, and by `#` and their `$anchor`."""
    names: dict[str, Any] = {}
    todo = [root.schema]
    visited: set[int] = set()
    while todo:
        schema = todo.pop()
        if not isinstance(schema, dict) or id(schema) in visited:
            continue
        visited.add(id(schema))
        for key, prefix in (("$id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")):
            if isinstance(name := schema.get(key), str):
                names.setdefault(prefix + name.removesuffix("#"), schema)
        todo += [child for child, _ in reversed(list(children(schema)))]
    return names


def target_of(root: object, schema: object) -> JsonSchema:
    """Follow the `$ref`s of `schema`. Returns {} if the target is not an object, or MAX_DEPTH or more `$ref`s away."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict) or not isinstance(ref := schema.get("$ref"), str):
            return schema if isinstance(schema, dict) else {}
        schema = lookup(root, ref)
    return {}


def tag_of(schema: JsonSchema) -> str:
    """Return the name of the property that tells the members of a discriminated union apart; "" if there is none."""
    discriminator = schema.get("discriminator")
    name = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
    return name if isinstance(name, str) else ""


def tag_values(schema: JsonSchema, ref: object) -> list[str]:
    """Return the values of the tag for the member that is `ref`. A `mapping` may name the member without its path."""
    mapping = schema["discriminator"].get("mapping")
    if not isinstance(mapping, dict) or not isinstance(ref, str):
        return []
    return [value for value, target in mapping.items() if target in (ref, ref.rpartition("/")[2])]


def nests_deeply(root: JsonSchema) -> bool:
    """Return whether a compiler that follows each `$ref` once, where it first meets it, would recurse deeply."""
    return any(_recursion_depth(root, order) > _MAX_RECURSION for order in (list, reversed))


def _recursion_depth(root: JsonSchema, order: Callable[[list[Any]], Iterable[Any]]) -> int:
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(root, 1)]
    deepest = 0
    while todo:
        schema, depth = todo.pop()
        if not isinstance(schema, dict) or id(schema) in seen:
            continue
        seen.add(id(schema))
        deepest = max(deepest, depth)
        inner = [child for child, keys in children(schema) if keys[0] != "$defs"]
        inner += [lookup(root, schema["$ref"])] if "$ref" in schema else []
        todo += [(child, depth + 1) for child in order(inner)]
    return deepest


def takes_nothing(parameters: JsonSchema) -> bool:
    """Return whether `parameters` name no property and allow no other, as those of a function without parameters.

    By JSON Schema `{"type": "object"}` allows every object, but a model would have to invent all names.
    """
    if parameters.get("additionalProperties", False) is not False:
        return False
    naming = ("properties", "patternProperties", "propertyNames", "required", "minProperties", "enum", "const")
    combiners = (key for key, keyword in KEYWORDS.items() if keyword.is_combiner)
    return not any(parameters.get(key) for key in (*naming, *combiners, "$dynamicRef"))
