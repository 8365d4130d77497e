"""Keywords that offer alternatives for a value: `anyOf`, `oneOf`, and what can be written as such.

`if`, `not` and the dependencies of properties are written as alternatives where the negation of a schema has a form
without `not`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.conversation import JsonSchema
from json_schema.binding.conjunction import RESTRICTIONS, excluded_values, restricts
from json_schema.binding.places import Source, Unbound
from json_schema.walk import TYPES, Context, tag_of, tag_values

_DEPENDENCIES = ("dependentRequired", "dependentSchemas", "dependencies")
_KEYS = frozenset({"anyOf", "oneOf", "not", "if", *_DEPENDENCIES})


class Choice(NamedTuple):
    """Alternatives of which a value must satisfy one. `is_exclusive`: it must satisfy no other, as with `oneOf`."""

    members: list[Source]
    context: Context
    is_exclusive: bool = False


@dataclass
class Alternatives:
    """Finds the alternatives of a schema. The schemas that it writes itself are kept, known by their `id()`."""

    written: dict[tuple[int, str], JsonSchema] = field(default_factory=dict)

    def of(self, source: Source) -> Iterator[Choice | Unbound]:
        schema, context = source
        if schema.keys().isdisjoint(_KEYS):
            return
        for key in ("anyOf", "oneOf"):
            if isinstance(members := schema.get(key), list):
                found = [source.child(key, str(index)) for index in range(len(members))]
                if tag := tag_of(schema):
                    found = [self._tagged(member, tag, schema) for member in found]
                yield Choice(found, context, key == "oneOf" and len(found) > 1)
        if "not" in schema and excluded_values(schema["not"]) is None:
            yield self._negated(source, "not")
        if "if" in schema and ("then" in schema or "else" in schema):
            yield from self._conditional(source)
        yield from self._dependencies(source)

    def without_null(self, source: Source) -> Choice:
        """Return the alternatives of a `nullable` schema without a type: the rest of the schema, or null."""
        bare = self._write(source, "nullable", {k: v for k, v in source.schema.items() if k != "nullable"})
        null = self._write(source, "null", {"type": "null"})
        return Choice([bare, null], source.context)

    def _write(self, source: Source, purpose: str, schema: JsonSchema, *keys: str) -> Source:
        kept = self.written.setdefault((id(source.schema), purpose), schema)
        return Source(kept, (*source.context, *keys))

    def _tagged(self, member: Source, tag: str, union: JsonSchema) -> Source:
        """Require the tag of a member, and its value if the `mapping` has one for the member."""
        required: JsonSchema = {"required": [tag]}
        if isinstance(member.schema, dict) and (words := tag_values(union, member.schema.get("$ref"))):
            required["properties"] = {tag: {"enum": words}}
        return self._write(member, f"tag {tag}", {"allOf": [member.schema, required]})

    def _conditional(self, source: Source) -> Iterator[Choice | Unbound]:
        """Offer the two cases. The second is open to all values if the opposite of the condition cannot be said."""
        schema, (negation, unbound) = source.schema, self._negation(source, "if")
        if negation is None:
            yield unbound
        then, otherwise = schema.get("then", True), schema.get("else", True)
        met = self._write(source, "then", {"allOf": [schema["if"], then]})
        unmet = self._write(source, "else", {"allOf": [{"anyOf": negation or [True]}, otherwise]})
        if negation == []:
            unmet = Source(False, source.context)
        yield Choice([met, unmet], source.context)

    def _negated(self, source: Source, key: str) -> Choice | Unbound:
        negation, unbound = self._negation(source, key)
        if negation is None:
            return unbound
        members = [self._write(source, f"not {index}", member) for index, member in enumerate(negation)]
        return Choice(members or [Source(False, source.context)], source.context)

    def _negation(self, source: Source, key: str) -> tuple[list[JsonSchema] | None, Unbound]:
        return negation(source.schema[key]), Unbound(key, source.context)

    def _dependencies(self, source: Source) -> Iterator[Choice]:
        schema = source.schema
        for key in _DEPENDENCIES:
            if not isinstance(needs := schema.get(key), dict):
                continue
            for name, need in needs.items():
                also: Any = {"required": need} if isinstance(need, list) else need
                absent = self._write(source, f"{key} no {name}", {"properties": {name: False}})
                present = self._write(source, f"{key} {name}", {"allOf": [{"required": [name]}, also]})
                yield Choice([absent, present], source.context)


def negation(schema: Any) -> list[JsonSchema] | None:
    """Return schemas of which a value satisfies one exactly if it does not satisfy `schema`; None if there are none."""
    if schema is False:
        return [{}]
    if schema is True or (isinstance(schema, dict) and not restricts(schema)):
        return []
    if not isinstance(schema, dict):
        return None
    match schema.keys() & RESTRICTIONS, schema:
        case _, {"nullable": True}:
            return None
        case keys, {"type": words} if keys == {"type"}:
            return _other_types(words)
        case _ if excluded_values(schema) is not None:
            return [{"not": schema}]
        case keys, {"not": inner} if keys == {"not"}:
            return [inner] if isinstance(inner, dict) else None
        case keys, {"anyOf": list() as members} if keys == {"anyOf"}:
            return [{"allOf": [{"not": member} for member in members]}]
        case keys, _ if keys <= {"properties", "required", "type"} and schema.get("type", "object") == "object":
            return _other_objects(schema)
    return None


def _other_types(words: Any) -> list[JsonSchema] | None:
    named = set(words) if isinstance(words, list) else {words}
    if "number" in named:
        named |= {"integer"}
    elif "integer" in named:
        return None
    left = [name for name in TYPES if name not in named]
    return [{"type": left}] if left else []


def _other_objects(schema: JsonSchema) -> list[JsonSchema]:
    """Negate a schema of objects: a required property is absent, or a property has another value."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    others: list[JsonSchema] = [{"type": "object", "properties": {name: False}} for name in required]
    others += [
        {"type": "object", "required": [name], "properties": {name: {"not": inner}}}
        for name, inner in properties.items()
    ]
    if "type" in schema:
        others += _other_types("object") or []
    return others
