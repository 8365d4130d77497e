"""Convert JSON Schemas to the few types that the prompt's TypeScript has.

`$ref`s are expanded where they are used. A recursive type is shown by its name inside itself, and the number of schemas
that the `$ref`s of a request expand to is limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from core.conversation import Function, JsonSchema
from json_schema.normalise import (
    COMBINED,
    ROOT,
    SCHEMA,
    UNIONS,
    Budget,
    Normal,
    Normaliser,
    Place,
    Seen,
    is_null,
    unprintable,
    written,
)
from json_schema.walk import MAX_DEPTH, TYPES

IDENTIFIER = re.compile(r"(?:[^\W\d]|\$)[\w$-]*")
_WORDS = frozenset({*TYPES, "float", "any"})
_PRINTED = _WORDS - {"integer", "float"}
# The keywords that a schema beside a union passes on to the union's members.
_PASSED_ON = ("type", "properties", "required", "items", "additionalProperties", "patternProperties")
_INDEX = frozenset({"patternProperties", "additionalProperties"})
_OBJECT = _INDEX | {"properties"}
_DESCRIBED = _OBJECT | {"items", "prefixItems", "enum"}


@dataclass(frozen=True, slots=True)
class Word:
    """A type shown as a name: `string`, `string | null`, or the name of a recursive type."""

    text: str


@dataclass(frozen=True, slots=True)
class Enum:
    """A type that allows only the listed values. The list is not copied from the schema: many `$ref`s may share it."""

    values: Sequence[object]


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these properties, in the order of the schema, and with values under other keys."""

    properties: tuple[Property, ...]
    index: tuple[Index, ...] = ()


@dataclass(frozen=True, slots=True)
class Array:
    """An array of `items`, nested `levels` deep. The type of `items` is ANYTHING if the schema does not give one."""

    items: Value
    levels: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """An array whose first items have types of their own. `rest` is the type of further items, if there is one."""

    items: tuple[Value, ...]
    rest: Value | None


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types.

    keeps_null: null is shown for optional properties too, as the training renderer did.
    """

    members: tuple[Value, ...]
    keeps_null: bool = False


Type = Word | Enum | Record | Array | Fixed | Union


class Value(NamedTuple):
    """A type, and the rewritten schema that its comment is printed from."""

    type: Type
    source: JsonSchema
    formats: tuple[str, ...]


def undescribed(type_: Type) -> Value:
    return Value(type_, {}, ())


class Property(NamedTuple):
    """One property of an object."""

    name: str
    is_required: bool
    value: Value


class Index(NamedTuple):
    """The values of an object under the keys that match `pattern`, or under any key if it is empty."""

    pattern: str
    value: Value


ANYTHING = Word("")  # printed as `[]` in an array, as the training renderer did
_NULL = Word("null")


# From JSON Schema to types


class Reader:
    """Converts the parameters of one function to types."""

    def __init__(self, function: Function, budget: Budget) -> None:
        self.function = function
        self.normaliser = Normaliser(function, budget)

    def parameters(self, seen: Seen = ROOT) -> Record | None:
        """Return the function's parameters, or None if it takes none.

        With COMBINED_ROOT as `seen`, `$ref`s that expand beyond a limit are no error.
        """
        schema, seen, _ = self.normaliser.parameters(seen)
        record = self.record(schema, seen, 0)
        return record if isinstance(schema.get("properties"), dict) or record.properties or record.index else None

    def record(self, schema: JsonSchema, seen: Seen, depth: int) -> Record:
        properties = schema.get("properties")
        named = properties if isinstance(properties, dict) else {}
        required = required_names(schema)
        self.normaliser.spend(len(named) + len(required), seen)
        index = () if _INDEX.isdisjoint(schema) else tuple(self.index(schema, seen, depth))
        if not named and (keys := self.keys(schema, seen)):
            named, index = dict.fromkeys(keys, schema.get("additionalProperties", True)), ()
        shown: list[Property] = []
        for name, child in named.items():
            if child is True or isinstance(child, SCHEMA):
                value, is_required = self.value(child, seen, depth), name in required
                if not is_required and isinstance(value.type, Union):
                    value = value._replace(type=_without_null(value.type))
                shown.append(Property(name, is_required, value))
        return Record(tuple(shown), index)

    def keys(self, schema: JsonSchema, seen: Seen) -> list[str]:
        """Return the keys of an object that may have only listed keys, whatever they are."""
        if "propertyNames" not in schema:
            return []
        listed = self.normaliser.normal(schema["propertyNames"], seen | {COMBINED}).schema.get("enum")
        return [key for key in listed if isinstance(key, str)] if isinstance(listed, list) else []

    def index(self, schema: JsonSchema, seen: Seen, depth: int) -> Iterator[Index]:
        """Yield the types of the values under keys without a name, as far as the schema says more than `any`."""
        seen |= {COMBINED}
        patterns = schema.get("patternProperties")
        for pattern, child in patterns.items() if isinstance(patterns, dict) else ():
            if isinstance(child, SCHEMA):
                yield Index(pattern, self.value(child, seen, depth))
        other = schema.get("additionalProperties")
        if not _is_schema(other):
            return
        is_described = written(other) not in (True, {}) or not (schema.get("properties") or patterns)
        if is_described:
            pattern = written(schema.get("propertyNames"))
            pattern = pattern.get("pattern") if isinstance(pattern, dict) else ""
            yield Index(pattern if isinstance(pattern, str) else "", self.value(other, seen, depth))

    def value(self, schema: object, seen: Seen, depth: int) -> Value:
        return self.value_of(self.normaliser.normal(schema, seen), depth)

    def value_of(self, node: Normal, depth: int) -> Value:
        type_ = self.type_of(node.schema, node.seen, depth)
        is_marked = node.schema.get("nullable") is True
        if is_marked or node.is_nullable:
            type_ = _with_null(type_, is_marked)
        return Value(type_, node.schema, _formats(node.schema, type_))

    def type_of(self, schema: JsonSchema, seen: Seen, depth: int) -> Type:
        if depth > MAX_DEPTH:
            if COMBINED in seen:
                return Word("any")
            raise unprintable(self.function, f"with its $refs expanded it nests deeper than {MAX_DEPTH} levels.")
        if ("anyOf" in schema or "oneOf" in schema) and (members := self.members(schema, seen)):
            return self.union(schema, members, depth)
        if isinstance(schema.get("type"), list) and (words := _split(schema)):
            each = [self.type_of({**schema, "type": word}, seen, depth + 1) for word in words]
            return Union(tuple(map(undescribed, each)))
        if "$ref" in schema and _DESCRIBED.isdisjoint(schema):
            name = Word(_type_name(schema["$ref"]))
            return _with_null(name, False) if "null" in _words(schema.get("type")).split(" | ") else name
        kind = _kind(schema)
        if "type" not in schema:
            seen |= {COMBINED}  # the training renderer did not look inside
        if kind == "array":
            return self.array(schema, seen, depth)
        if kind == "object":
            return self.record(schema, seen, depth + 1)
        if isinstance(schema.get("enum"), list):
            return Enum(schema["enum"])
        return Word(kind)

    def array(self, schema: JsonSchema, seen: Seen, depth: int) -> Array | Fixed:
        if (first := _first_items(schema)) is not None:
            rest = schema.get("additionalItems" if isinstance(schema.get("items"), list) else "items")
            items = tuple(self.value(item, seen | {COMBINED}, depth + 1) for item in first)
            return Fixed(items, self.value(rest, seen | {COMBINED}, depth + 1) if _is_schema(rest) else None)
        levels, node = 1, self.normaliser.normal(schema.get("items"), seen)
        while _is_list(node):
            levels, node = levels + 1, self.normaliser.normal(node.schema.get("items"), node.seen)
        # As in training, the keyword `nullable` of items is not shown.
        items_value = self.value_of(node._replace(schema={**node.schema, "nullable": False}), depth)
        is_untyped = items_value.type == Word("any") and "type" not in node.schema
        if is_untyped and (levels == 1 or not node.schema):
            items_value = items_value._replace(type=ANYTHING)
        return Array(items_value, levels)

    def members(self, schema: JsonSchema, seen: Seen) -> list[Normal]:
        """Return the members of the union that `schema` is, together with what `schema` says beside them."""
        members = schema["anyOf"] if isinstance(schema.get("anyOf"), list) else schema.get("oneOf")
        if not members or not isinstance(members, list) or isinstance(schema.get("enum"), list):
            return []
        self.normaliser.spend(len(members), seen)
        seen |= {COMBINED}
        nodes = [self.normaliser.normal(member, seen) for member in members]
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            named = [node.schema.get("properties") for node in nodes]
            is_union = any(key in node.schema for node in nodes for key in UNIONS)
            if not is_union and all(not isinstance(one, dict) or one.keys() <= properties.keys() for one in named):
                return []  # most often the members only say which of the properties are required
            if not self.normaliser.can_combine(len(properties) * len(members)):
                return []
        beside = Place({key: schema[key] for key in _PASSED_ON if key in schema}, seen)
        if not beside.schema:
            return nodes
        both = [member if is_null(member) else {"allOf": [beside, member]} for member in members]
        return [self.normaliser.normal(member, seen) for member in both]

    def union(self, schema: JsonSchema, nodes: list[Normal], depth: int) -> Union:
        members: list[Value] = []
        for node in nodes:
            value = undescribed(_NULL) if is_null(node.schema) else self.value_of(node, depth + 1)
            members += value.type.members if isinstance(value.type, Union) else [value]
        is_plain = "oneOf" in schema and all(isinstance(member.type, Word) for member in members)
        return Union(tuple(members), keeps_null=is_plain)


def _kind(schema: JsonSchema) -> str:
    if "type" in schema:
        word = schema["type"]
        return word if isinstance(word, str) and word in _PRINTED else _words(word)
    if isinstance(schema.get("enum"), list):
        return "any"
    if any(isinstance(schema.get(key), SCHEMA) for key in _OBJECT):
        return "object"
    return "array" if isinstance(schema.get("items"), (list, *SCHEMA)) or "prefixItems" in schema else "any"


def _split(schema: JsonSchema) -> list[str]:
    """Return the types of a list of types, if the schema describes the items or properties of one of them."""
    words = schema["type"]
    if len(words) < 2 or isinstance(schema.get("enum"), list):
        return []
    is_array = "array" in words and ("items" in schema or "prefixItems" in schema)
    is_record = "object" in words and not _OBJECT.isdisjoint(schema)
    return list(dict.fromkeys(map(known_word, words))) if is_array or is_record else []


def _is_schema(value: object) -> bool:
    """Whether a value is a schema that allows something."""
    schema = written(value)
    return schema is True or (isinstance(schema, dict) and schema.get("not") not in (True, {}))


def _is_list(node: Normal) -> bool:
    schema = node.schema
    is_union = node.is_nullable or any(isinstance(schema.get(key), list) for key in UNIONS)
    return not is_union and _kind(schema) == "array" and _first_items(schema) is None


def _first_items(schema: JsonSchema) -> list[object] | None:
    for key in ("prefixItems", "items"):
        if isinstance(first := schema.get(key), list) and first:
            return first
    return None


def _formats(schema: JsonSchema, type_: Type) -> tuple[str, ...]:
    if "format" in schema:
        return (schema["format"],) if isinstance(schema["format"], str) else ()
    return tuple(text for one in type_.members for text in one.formats) if isinstance(type_, Union) else ()


def _with_null(type_: Type, is_marked: bool) -> Type:
    """Add null to a type. As in training, the keyword `nullable` adds it to no object or array, but is always shown."""
    if isinstance(type_, Enum) and None in type_.values:
        return type_
    if isinstance(type_, Union):
        members = tuple(member for member in type_.members if member.type != _NULL)
        return Union((*members, undescribed(_NULL)), keeps_null=is_marked and type_.keeps_null)
    if is_marked and not isinstance(type_, Word | Enum):
        return type_
    return Union((undescribed(type_), undescribed(_NULL)), keeps_null=is_marked)


def _without_null(union: Union) -> Type:
    """Leave null out of the type of an optional property. The model can leave the property out."""
    members = tuple(member for member in union.members if member.type != _NULL)
    if union.keeps_null or not members:
        return union
    return members[0].type if len(members) == 1 else Union(members)


def required_names(schema: JsonSchema) -> frozenset[str]:
    """Return the names of the required properties. As in training, all are required if `required` is not a list."""
    if schema.get("required") is None:
        return frozenset()
    names, properties = schema["required"], schema.get("properties")
    if not isinstance(names, list):
        names = properties if isinstance(properties, dict) else ()
    return frozenset(name for name in names if isinstance(name, str))


def known_word(value: object) -> str:
    """Return a type name of JSON Schema or of the training data as it is, and `any` for every other value."""
    return value if isinstance(value, str) and value in _WORDS else "any"


def _words(value: object) -> str:
    joined = " | ".join(dict.fromkeys(map(known_word, value))) if isinstance(value, list) else known_word(value)
    return "number" if joined in ("integer", "float") else joined


def _type_name(ref: str) -> str:
    name = re.sub(r"\W", "_", unquote(ref[-200:]).rpartition("/")[2])[:64]
    if not name.strip("_"):
        return "object"  # the `$ref` is `#`: the parameters as a whole have no name
    return name if IDENTIFIER.fullmatch(name) else f"_{name}"
