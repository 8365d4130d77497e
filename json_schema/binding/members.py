"""What schemas say about the properties of an object and the items of an array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from json_schema.binding.places import Source, Unbound

OBJECT_KEYS = frozenset({"properties", "patternProperties", "additionalProperties", "unevaluatedProperties"})
ARRAY_KEYS = frozenset({"prefixItems", "items", "additionalItems", "unevaluatedItems"})


@dataclass
class ObjectPart:
    """What one schema says about the properties of an object."""

    properties: dict[str, Source]
    patterns: dict[str, Source]
    additional: Source | None
    is_sealed: bool  # `unevaluatedProperties` allows no others


@dataclass
class ArrayPart:
    """What one schema says about the items of an array."""

    prefix: list[Source]
    rest: Source | None


def object_part(source: Source) -> ObjectPart:
    schema = source.schema
    return ObjectPart(
        _named(source, "properties"),
        _named(source, "patternProperties"),
        source.child("additionalProperties") if "additionalProperties" in schema else None,
        is_sealed=bool(sealed([source])),
    )


def sealed(sources: Iterable[Source]) -> list[Unbound]:
    """Return the `unevaluatedProperties` of `sources` that allow no properties but those of the schema itself."""
    key = "unevaluatedProperties"
    has_key = [source for source in sources if isinstance(source.schema, dict) and key in source.schema]
    return [Unbound(key, source.context) for source in has_key if source.schema[key] is not True]


def _named(source: Source, key: str) -> dict[str, Source]:
    schemas = source.schema.get(key)
    return {name: source.child(key, name) for name in schemas} if isinstance(schemas, dict) else {}


def array_part(source: Source) -> ArrayPart:
    schema = source.schema
    key, rest = ("items", "additionalItems") if isinstance(schema.get("items"), list) else ("prefixItems", "items")
    listed = schema.get(key)
    prefix = [source.child(key, str(index)) for index in range(len(listed))] if isinstance(listed, list) else []
    if rest not in schema and schema.get("unevaluatedItems", True) is not True:
        rest = "unevaluatedItems"
    return ArrayPart(prefix, source.child(rest) if rest in schema else None)


def properties_of(objects: Sequence[ObjectPart], required: Iterable[str]) -> Iterator[tuple[str, list[Source]]]:
    """Yield each listed or required property with all the schemas for its value."""
    names = dict.fromkeys(name for part in objects for name in part.properties)
    has_patterns = any(part.patterns for part in objects)
    for name in [*names, *(name for name in required if name not in names and not has_patterns)]:
        sources = []
        for part in objects:
            if name in part.properties:
                sources.append(part.properties[name])
            elif part.additional is not None and not part.patterns:
                sources.append(part.additional)
        yield name, sources


def items_of(arrays: Sequence[ArrayPart]) -> tuple[list[list[Source]], list[Source] | None]:
    """Return the schemas for each of the first items, and those for the rest; None if nothing is said of the rest."""
    length = max((len(part.prefix) for part in arrays), default=0)
    prefix = [
        [
            part.prefix[index] if index < len(part.prefix) else part.rest
            for part in arrays
            if index < len(part.prefix) or part.rest is not None
        ]
        for index in range(length)
    ]
    rest = [part.rest for part in arrays if part.rest is not None]
    return [[s for s in sources if s is not None] for sources in prefix], rest or None
