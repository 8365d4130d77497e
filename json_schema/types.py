"""Convert JSON Schemas to the few types that the prompt's TypeScript has.

`$ref`s are expanded where they are used. A recursive type is shown by its name inside itself, and the number of schemas
that the `$ref`s of a request expand to is limited.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from core.conversation import Function, JsonSchema
from core.errors import RequestError
from json_schema.errors import Subject
from json_schema.walk import MAX_DEPTH, TYPES, lookup

MAX_EXPANDED = 20_000  # schemas; 40 definitions that each use the next one twice would expand to 2**40
IDENTIFIER = re.compile(r"(?:[^\W\d]|\$)[\w$-]*")
_WORDS = frozenset({*TYPES, "float", "any"})

Seen = frozenset[str]  # the `$ref`s that are being expanded
ROOT: Seen = frozenset({"#"})


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
    """An object with these properties, in the order of the schema."""

    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """An array of `items`, nested `levels` deep. `items` is None if the schema does not describe them."""

    items: Word | Enum | Record | None
    levels: int


Type = Word | Enum | Record | Array


class Property(NamedTuple):
    """One property of an object. `source` is its schema after following `$ref`s, from which the comment is printed."""

    name: str
    is_required: bool
    type: Type
    source: JsonSchema
    formats: tuple[str, ...]


@dataclass
class Budget:
    """The number of schemas that the `$ref`s of one request may still expand to."""

    left: int = MAX_EXPANDED


def unprintable(function: Function, sentence: str) -> RequestError:
    """Create the error for a function that cannot be printed.

    Its `param` is None, since this module does not know which field of the request holds the function.
    """
    return Subject(f"function '{function.name[:64]}'", None, "invalid_function_parameters").error(sentence)


# From JSON Schema to types


@dataclass
class Reader:
    """Converts the parameters of one function to types."""

    function: Function
    budget: Budget
    targets: dict[str, object] = field(default_factory=dict)

    def record(self, schema: JsonSchema, seen: Seen, depth: int) -> Record:
        if depth > MAX_DEPTH:
            raise unprintable(self.function, f"with its $refs expanded it nests deeper than {MAX_DEPTH} levels.")
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return Record(())
        required = required_names(schema)
        self.spend(len(properties) + len(required), seen)
        schemas = [(name, value) for name, value in properties.items() if isinstance(value, dict)]
        return Record(tuple(self.property(name, name in required, value, seen, depth) for name, value in schemas))

    def property(self, name: str, is_required: bool, schema: JsonSchema, seen: Seen, depth: int) -> Property:
        source, seen = self.follow(schema, seen)
        if isinstance(source, Word):
            return Property(name, is_required, source, {}, ())
        type_ = self.type_of(source, seen, depth)
        return Property(name, is_required, type_, source, self.formats(source, seen))

    def formats(self, schema: JsonSchema, seen: Seen) -> tuple[str, ...]:
        if "format" in schema:
            return (schema["format"],) if isinstance(schema["format"], str) else ()
        if "oneOf" not in schema:
            return ()
        found = [member.get("format") for member in self.members(schema, seen) if not isinstance(member, Word)]
        return tuple(text for text in found if isinstance(text, str))

    def type_of(self, schema: JsonSchema, seen: Seen, depth: int) -> Type:
        kind = self.kind(schema, seen)
        return self.array(schema, seen, depth) if kind == "array" else self.innermost(schema, kind, seen, depth)

    def innermost(self, schema: JsonSchema, kind: str, seen: Seen, depth: int) -> Word | Enum | Record:
        if kind == "object":
            return self.record(schema, seen, depth + 1)
        return Enum(schema["enum"]) if isinstance(schema.get("enum"), list) else Word(kind)

    def array(self, schema: JsonSchema, seen: Seen, depth: int) -> Array:
        items, seen = self.follow(schema.get("items"), seen)
        if not isinstance(items, Word) and "type" not in items:
            return Array(None, 1)
        levels = 1
        while not isinstance(items, Word) and self.kind(items, seen) == "array":
            levels += 1
            items, seen = self.follow(items.get("items"), seen)
        if isinstance(items, Word):
            return Array(items, levels)
        if not items:
            return Array(None, levels)
        return Array(self.innermost(items, self.kind(items, seen), seen, depth), levels)

    def kind(self, schema: JsonSchema, seen: Seen) -> str:
        if "type" in schema:
            return _words(schema["type"])
        if "oneOf" not in schema:
            return "any"
        members = self.members(schema, seen)
        # In order of first appearance. The training renderer used a set, whose order differs between processes.
        named = [
            m if isinstance(m, Word) else Word(_words(m["type"])) for m in members if isinstance(m, Word) or "type" in m
        ]
        return " | ".join(dict.fromkeys(word.text for word in named))

    def members(self, schema: JsonSchema, seen: Seen) -> list[JsonSchema | Word]:
        one_of = schema.get("oneOf")
        if not isinstance(one_of, list):
            return []
        self.spend(len(one_of), seen)
        return [self.follow(member, seen)[0] for member in one_of]

    def follow(self, schema: object, seen: Seen) -> tuple[JsonSchema | Word, Seen]:
        """Replace a `$ref` by its target, and return the `$ref`s followed so far.

        A target that is not a schema becomes {}. A `$ref` inside its own target becomes the name of the type.
        """
        while isinstance(schema, dict) and isinstance(ref := schema.get("$ref"), str):
            if ref in seen:
                return Word(_type_name(ref)), seen
            if len(seen) > MAX_DEPTH:
                raise unprintable(self.function, f"it has more than {MAX_DEPTH} $refs inside each other.")
            if ref not in self.targets:
                self.targets[ref] = lookup(self.function.parameters, ref)
            schema, seen = self.targets[ref], seen | {ref}
            self.spend(1, seen)
        return schema if isinstance(schema, dict) else {}, seen

    def spend(self, count: int, seen: Seen) -> None:
        if seen == ROOT:  # no `$ref` was followed, so the size of the request is the limit
            return
        self.budget.left -= count
        if self.budget.left < 0:
            raise unprintable(self.function, f"its $refs expand to more than {MAX_EXPANDED} schemas.")


def required_names(schema: JsonSchema) -> frozenset[str]:
    """Return the names of the required properties. As in training, all are required if `required` is not a list."""
    if "required" not in schema:
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
