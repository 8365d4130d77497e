"""All the schemas that one value must satisfy, merged into one set of keywords.

A schema, the targets of its `$ref`s and the members of its `allOf` apply to the same value. Merged, they can be written
as one schema that a grammar compiler binds completely.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeGuard

from core.conversation import JsonSchema
from json_schema.binding.members import ARRAY_KEYS, OBJECT_KEYS, ArrayPart, ObjectPart, array_part, object_part
from json_schema.binding.places import Never, Source, Unbound
from json_schema.walk import KEYWORDS, TYPES, Context

# The types of JSON Schema as disjoint sets: "number" is "integer" and "fraction" together.
DISJOINT = frozenset({*TYPES, "fraction"} - {"number"})
_KINDS = {name: frozenset({name}) for name in TYPES} | {"number": frozenset({"integer", "fraction"})}
_NAMES_OF_SCHEMAS = {"$schema", "$id", "$anchor", "$defs", "definitions", "$vocabulary", "$dynamicAnchor"}
_ANNOTATIONS = {"contentEncoding", "contentMediaType", "contentSchema", "discriminator", "nullable"}
# The keywords that restrict values.
RESTRICTIONS = frozenset(
    {key for key, keyword in KEYWORDS.items() if not keyword.is_annotation} - _NAMES_OF_SCHEMAS - _ANNOTATIONS
)

_LOWER = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")
_BOUNDS = frozenset({"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"})
_UPPER = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")


@dataclass
class Merged:
    """The keywords of several schemas for one value. `never` is set when they contradict each other."""

    types: frozenset[str] = DISJOINT
    values: dict[str, Any] | None = None  # of `enum` and `const`, by their JSON text
    excluded: dict[str, Context] = field(default_factory=dict)  # values that a `not` forbids
    limits: dict[str, float] = field(default_factory=dict)
    contexts: dict[str, Context] = field(default_factory=dict)  # of the keywords that a compiler may not take
    patterns: dict[str, Context] = field(default_factory=dict)
    formats: dict[str, Context] = field(default_factory=dict)
    multiples: dict[float, Context] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)
    objects: list[ObjectPart] = field(default_factory=list)
    arrays: list[ArrayPart] = field(default_factory=list)
    names: list[Source] = field(default_factory=list)  # of `propertyNames`
    unbound: list[tuple[Unbound, str]] = field(default_factory=list)  # each with the type that it restricts
    never: Never | None = None

    def fail(self, context: Context, why: str) -> None:
        self.never = self.never or Never(context, why)

    def add(self, source: Source) -> None:
        """Merge one schema without its `$ref`, `allOf`, `anyOf` and `oneOf`."""
        schema = source.schema
        if schema is False:
            self.fail(source.context, "no value is valid here.")
            return
        for key in schema:
            if (adder := _ADDERS.get(key)) is not None:
                adder(self, source)
        if not schema.keys().isdisjoint(OBJECT_KEYS):
            self.objects.append(object_part(source))
        if not schema.keys().isdisjoint(ARRAY_KEYS):
            self.arrays.append(array_part(source))
        if not schema.keys().isdisjoint(_BOUNDS):
            _add_bounds(self, source, "minimum", "exclusiveMinimum")
            _add_bounds(self, source, "maximum", "exclusiveMaximum")

    def add_values(self, values: Sequence[Any], source: Source, key: str) -> None:
        added = {key_of(value): value for value in values}
        common = added if self.values is None else {k: v for k, v in self.values.items() if k in added}
        if not added:
            self.fail(source.context, f"'{key}' is empty, so no value is valid.")
        elif not common:
            self.fail(source.context, f"'{key}' has no value that another schema for the same place allows.")
        self.values = common

    def finish(self) -> None:
        """Drop the listed values that other keywords forbid, and find contradictions."""
        if self.values is not None:
            self._filter_values()
        elif self.excluded:
            self.unbound += [
                (Unbound("not", context), kind)
                for text, context in self.excluded.items()
                for kind in kinds_of(json.loads(text))
            ]
        if not self.types:
            self.fail(
                self.contexts.get("type", ()), "the types of two schemas for the same place have nothing in common."
            )
        if self.limits:
            self._compare_limits()

    def _compare_limits(self) -> None:
        for low, high in zip(_LOWER[:3], _UPPER[:3], strict=True):
            kind = {"L": "string", "I": "array", "P": "object"}[low[3]]
            if self.limits.get(low, 0) > self.limits.get(high, math.inf):
                self._remove(kind, self.contexts[low], f"'{low}' is above '{high}'.")
        if _least(self.limits) > _most(self.limits):
            context = self.contexts.get("minimum") or self.contexts.get("exclusiveMinimum") or ()
            self._remove("integer", context, "the least number is above the greatest.")
            self._remove("fraction", context, "the least number is above the greatest.")

    def is_any(self) -> bool:
        """Whether every value is valid."""
        restricting = (self.limits, self.objects, self.arrays, self.required, self.patterns, self.formats)
        return self.types == DISJOINT and not any((*restricting, self.multiples, self.names))

    def _remove(self, kind: str, context: Context, why: str) -> None:
        if kind in self.types:
            self.types -= {kind}
            if not self.types:
                self.fail(context, why)

    def _filter_values(self) -> None:
        values = self.values or {}
        fitting = {text: value for text, value in values.items() if not kinds_of(value).isdisjoint(self.types)}
        if values and not fitting:
            self.fail(self.contexts["enum"], "'enum' has no value of the schema's 'type'.")
        left = {text: value for text, value in fitting.items() if text not in self.excluded and _is_within(value, self)}
        if fitting and not left:
            self.fail(self.contexts["enum"], "'enum' has no value that the schema's other keywords allow.")
        self.values = left
        self.types = frozenset(kind for value in left.values() for kind in kinds_of(value)) & self.types


def key_of(value: Any) -> str:
    """Return a text that is equal for equal JSON values, so that 1 equals 1.0 and differs from true."""
    if isinstance(value, str):
        return json.dumps(value)  # without options, json.dumps takes a third of the time
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def kinds_of(value: Any) -> frozenset[str]:
    match value:
        case None:
            return frozenset({"null"})
        case bool():
            return frozenset({"boolean"})
        case str():
            return frozenset({"string"})
        case int():
            return frozenset({"integer"})
        case float():
            return frozenset({"integer" if value.is_integer() else "fraction"})
        case list():
            return frozenset({"array"})
    return frozenset({"object"})


def type_kinds(words: Any) -> frozenset[str]:
    """Return the disjoint sets of values that a `type` names."""
    if isinstance(words, str):
        return _KINDS.get(words, frozenset())
    named = (
        [_KINDS.get(word, frozenset()) for word in words if isinstance(word, str)] if isinstance(words, list) else []
    )
    return frozenset[str]().union(*named)


def _is_within(value: Any, merged: Merged) -> bool:
    """Return whether the limits allow `value`, and whether it can be written in UTF-8."""
    limits = merged.limits
    match value:
        case bool() | None:
            return True
        case int() | float():
            excluded = (limits.get("exclusiveMinimum"), limits.get("exclusiveMaximum"))
            is_multiple = all(Fraction(str(value)) % Fraction(str(number)) == 0 for number in merged.multiples)
            return _least(limits) <= value <= _most(limits) and value not in excluded and is_multiple
        case str():
            is_text = value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
            return is_text and limits.get("minLength", 0) <= len(value) <= limits.get("maxLength", math.inf)
        case list():
            return limits.get("minItems", 0) <= len(value) <= limits.get("maxItems", math.inf)
    return all(name in value for name in merged.required)


def _least(limits: dict[str, float]) -> float:
    return max(limits.get("minimum", -math.inf), limits.get("exclusiveMinimum", -math.inf))


def _most(limits: dict[str, float]) -> float:
    return min(limits.get("maximum", math.inf), limits.get("exclusiveMaximum", math.inf))


# What each keyword adds. A value of the wrong kind is ignored, since unchecked schemas may be merged too.


def _add_type(merged: Merged, source: Source) -> None:
    kinds = type_kinds(source.schema["type"])
    if source.schema.get("nullable") is True:
        kinds |= {"null"}
    merged.types &= kinds or DISJOINT
    merged.contexts.setdefault("type", source.context)


def _add_enum(merged: Merged, source: Source) -> None:
    if isinstance(values := source.schema["enum"], list):
        merged.contexts.setdefault("enum", source.context)
        merged.add_values(values, source, "enum")


def _add_const(merged: Merged, source: Source) -> None:
    merged.contexts.setdefault("enum", source.context)
    merged.add_values([source.schema["const"]], source, "const")


def _add_required(merged: Merged, source: Source) -> None:
    if isinstance(names := source.schema["required"], list):
        merged.required |= {name: None for name in names if isinstance(name, str)}


def _adds_limit(key: str, choose: Callable[[float, float], float]) -> Callable[[Merged, Source], None]:
    def add(merged: Merged, source: Source) -> None:
        number = source.schema[key]
        if is_finite(number):
            merged.limits[key] = choose(merged.limits.get(key, number), number)
            merged.contexts[key] = source.context

    return add


def _add_bounds(merged: Merged, source: Source, inclusive: str, exclusive: str) -> None:
    """Add a bound of numbers. In draft 4 and OpenAPI 3.0, the exclusive keyword is a boolean beside the other one."""
    schema = source.schema
    bound, strict = schema.get(inclusive), schema.get(exclusive)
    pairs = [(exclusive, bound)] if strict is True else [(inclusive, bound), (exclusive, strict)]
    for key, number in pairs:
        if is_finite(number):
            choose = max if inclusive == "minimum" else min
            merged.limits[key] = choose(merged.limits.get(key, number), number)
            merged.contexts[key] = source.context
        elif isinstance(number, float):
            merged.unbound.append((Unbound(key, source.context), "fraction"))


def is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def _adds_text(key: str, attribute: str) -> Callable[[Merged, Source], None]:
    def add(merged: Merged, source: Source) -> None:
        if isinstance(text := source.schema[key], str):
            getattr(merged, attribute).setdefault(text, source.context)

    return add


def _add_multiple(merged: Merged, source: Source) -> None:
    if is_finite(number := source.schema["multipleOf"]) and number > 0:
        merged.multiples.setdefault(number, source.context)
    else:
        merged.unbound.append((Unbound("multipleOf", source.context), "integer"))


def _add_names(merged: Merged, source: Source) -> None:
    merged.names.append(source.child("propertyNames"))


def _add_not(merged: Merged, source: Source) -> None:
    for value in excluded_values(source.schema["not"]) or []:
        merged.excluded.setdefault(key_of(value), source.context)


def excluded_values(schema: Any) -> list[Any] | None:
    """Return the values that `schema` lists, or None if it restricts anything else. Its `not` excludes these values."""
    if not isinstance(schema, dict):
        return None
    match schema.keys() & RESTRICTIONS - {"type"}, schema:
        case keys, {"const": value} if keys == {"const"}:
            return [value]
        case keys, {"enum": list() as values} if keys == {"enum"}:
            return values
    return None


def _leaves_unbound(key: str, kind: str) -> Callable[[Merged, Source], None]:
    def add(merged: Merged, source: Source) -> None:
        merged.unbound.append((Unbound(key, source.context), kind))

    return add


def _add_unique(merged: Merged, source: Source) -> None:
    if source.schema["uniqueItems"] is True:
        merged.unbound.append((Unbound("uniqueItems", source.context), "array"))


_ADDERS: dict[str, Callable[[Merged, Source], None]] = {
    "type": _add_type,
    "enum": _add_enum,
    "const": _add_const,
    "required": _add_required,
    **{key: _adds_limit(key, max) for key in _LOWER[:3]},
    **{key: _adds_limit(key, min) for key in _UPPER[:3]},
    "pattern": _adds_text("pattern", "patterns"),
    "format": _adds_text("format", "formats"),
    "multipleOf": _add_multiple,
    "propertyNames": _add_names,
    "not": _add_not,
    "uniqueItems": _add_unique,
    "contains": _leaves_unbound("contains", "array"),
}


def restricts(schema: JsonSchema) -> bool:
    """Return whether `schema` has a keyword that restricts values."""
    return not schema.keys().isdisjoint(RESTRICTIONS) or schema.get("nullable") is True
