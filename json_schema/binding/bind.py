"""Rewrite a schema into the few forms that the grammar compiler binds completely.

The result has no combiner but `anyOf`, no keyword beside a `$ref`, and no reference but `#/$defs/N`. Objects that list
properties allow no others, so that a model cannot invent any. What the grammar cannot enforce is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.conversation import JsonSchema
from json_schema.binding.alternatives import Alternatives, Choice
from json_schema.binding.conjunction import RESTRICTIONS, Merged, key_of, restricts
from json_schema.binding.disjoint import made_exclusive
from json_schema.binding.leaves import numbers, string, values
from json_schema.binding.members import items_of, properties_of, sealed
from json_schema.binding.places import Never, Source, Unbound
from json_schema.binding.satisfiable import pruned
from json_schema.walk import KEYWORDS, MAX_DEPTH, Context, lookup

_MAX_NODES = 10_000  # schemas of the result; more make a grammar that is too large to compile
_MAX_STEPS = 100_000  # 0.3 s
_MAX_COMBINED = 64  # ways to combine the alternatives of one value
_REFS = ("$ref", "$dynamicRef", "$recursiveRef")
_SIMPLE = ("string", "boolean", "null")
_ANY = "any"


@dataclass
class Bound:
    """A schema for the compiler.

    unbound: what it does not enforce. never: why no value is valid; then `schema` is empty.
    places:  the place in the original of each schema in `schema`, by `id()`.
    """

    schema: JsonSchema
    unbound: list[Unbound]
    never: Never | None
    places: dict[int, Context]


class TooLarge(Exception):
    """The rewriting takes too long, or its result would have too many schemas."""


def bind(root: JsonSchema, *, is_strict: bool, contradictions: frozenset[Context] = frozenset()) -> Bound:
    """Rewrite `root`. Objects without properties are closed too if `is_strict`. Raises TooLarge.

    contradictions: places where the compiler has found that no listed value matches the pattern.
    """
    binder = _Binder(root, is_strict, contradictions)
    written = binder.value([Source(root, ())])
    while binder.queue:
        name, sources = binder.queue.pop()
        binder.definitions[name] = binder.written(sources)
    for members, context in binder.exclusive:
        if not made_exclusive(members, binder.definitions, binder.closed):
            binder.unbound.append(Unbound("oneOf", context))
    final, definitions = pruned(written, binder.definitions)
    if isinstance(final, Never):
        return Bound({}, binder.unbound, final, binder.places)
    schema = {**final, **({"$defs": definitions} if definitions else {})}
    return Bound(schema, binder.unbound, None, binder.places)


@dataclass
class _Conjunction:
    """The schemas for one value, with their `$ref`s and `allOf`s followed."""

    parts: list[Source] = field(default_factory=list)
    choices: list[tuple[int, Choice]] = field(default_factory=list)  # each with the id of its schema


@dataclass
class _Binder:
    root: JsonSchema
    is_strict: bool
    contradictions: frozenset[Context]
    definitions: dict[str, Any] = field(default_factory=dict)
    queue: list[tuple[str, list[Source]]] = field(default_factory=list)
    unbound: list[Unbound] = field(default_factory=list)
    exclusive: list[tuple[list[Any], Context]] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)  # ids of objects that the original leaves open
    places: dict[int, Context] = field(default_factory=dict)
    alternatives: Alternatives = field(default_factory=Alternatives)
    names: dict[frozenset[int], str] = field(default_factory=dict)
    path: set[frozenset[int]] = field(default_factory=set)  # values that are being written
    num_nodes: int = 0
    num_steps: int = 0

    def value(self, sources: Sequence[Source]) -> Any:
        """Write the schema of a value that must satisfy all `sources`. What `$ref`s name is written once."""
        restricting = [source for source in sources if source.schema is False or _has_effect(source.schema)]
        if not restricting:
            return self.anything()
        if len(restricting) == 1 and (kind := _only_type(restricting[0].schema)) in _SIMPLE:
            return self._placed({"type": kind}, restricting[0].context)  # most properties
        followed, is_referred = self._followed(restricting)
        key = frozenset(id(source.schema) for source in followed)
        if not (is_referred or key in self.path or key in self.names or len(self.path) > MAX_DEPTH):
            self.path.add(key)
            written = self.written(followed)
            self.path.discard(key)
            return written
        if key not in self.names:
            self.names[key] = name = str(len(self.names))
            self.definitions[name] = None
            self.queue.append((name, followed))
        return {"$ref": f"#/$defs/{self.names[key]}"}

    def _spend(self, num_steps: int) -> None:
        self.num_steps += num_steps
        if self.num_steps > _MAX_STEPS:
            raise TooLarge

    def _followed(self, sources: list[Source]) -> tuple[list[Source], bool]:
        """Replace schemas that are nothing but a `$ref` or an `allOf` by their targets, and say if a `$ref` was."""
        found: dict[int, Source] = {}
        is_referred, todo, visited = False, list(reversed(sources)), set[int]()
        while todo:
            source = todo.pop()
            self._spend(1)
            if id(source.schema) in visited:
                continue
            visited.add(id(source.schema))
            targets = self._targets(source)
            if targets is None:
                found[id(source.schema)] = source
                continue
            is_referred |= "$ref" in source.schema
            todo += reversed(targets)
        return list(found.values()) or sources[:1], is_referred

    def _targets(self, source: Source) -> list[Source] | None:
        schema = source.schema
        if schema is False or schema.get("nullable") is True:
            return None
        keys = schema.keys() & RESTRICTIONS
        if keys == {"$ref"} and _has_effect(target := lookup(self.root, str(schema["$ref"]))):
            return [Source(target, context_of(schema["$ref"]))]
        if keys == {"allOf"} and isinstance(members := schema["allOf"], list):
            return [source.child("allOf", str(index)) for index, one in enumerate(members) if _has_effect(one)]
        return None

    def anything(self) -> JsonSchema:
        """Refer to the schema of any value, with bounded numbers."""
        if _ANY not in self.definitions:
            ref = {"$ref": f"#/$defs/{_ANY}"}
            members = [
                {"type": list(_SIMPLE)},
                *numbers(Merged(types=frozenset({"integer", "fraction"})), self.unbound),
                {"type": "array", "items": ref},
                {"type": "object", "additionalProperties": ref},
            ]
            self.definitions[_ANY] = {"anyOf": members}
        return {"$ref": f"#/$defs/{_ANY}"}

    def written(self, sources: Sequence[Source]) -> Any:
        """Write the schema of a value that must satisfy all `sources`, where it is used."""
        conjunction = self._conjunction(sources, frozenset())
        self.unbound += sealed(sources[:1]) if len(sources) > 1 else []
        if conjunction is None:
            return Never(sources[0].context, "it leads back to itself.")
        return self._combined(conjunction, frozenset(), [_MAX_COMBINED])

    def _conjunction(self, sources: Sequence[Source], expanding: frozenset[int]) -> _Conjunction | None:
        """Collect what applies to one value; None if that leads back to a schema in `expanding`."""
        found, todo, visited = _Conjunction(), list(reversed(sources)), set[int]()
        while todo:
            source = todo.pop()
            self._spend(1)
            schema = source.schema
            if schema is False:
                found.parts.append(source)
            if not isinstance(schema, dict) or id(schema) in visited:
                continue
            if id(schema) in expanding:
                return None
            visited.add(id(schema))
            if schema.get("nullable") is True and not {"type", "enum"} & schema.keys():
                found.choices.append((id(schema), self.alternatives.without_null(source)))
                continue
            found.parts.append(source)
            for choice in self.alternatives.of(source):
                if isinstance(choice, Unbound):
                    self.unbound.append(choice)
                else:
                    found.choices.append((id(schema), choice))
            if isinstance(members := schema.get("allOf"), list):
                todo += [source.child("allOf", str(index)) for index in reversed(range(len(members)))]
            todo += [target for key in _REFS if key in schema and (target := self._target(source, key)) is not None]
        return found

    def _target(self, source: Source, key: str) -> Source | None:
        ref = source.schema[key]
        target = lookup(self.root, ref) if isinstance(ref, str) else None
        if target is None:
            self.unbound.append(Unbound(key, source.context, "names no schema inside the same document"))
            return None
        return Source(target, context_of(ref))

    def _combined(self, conjunction: _Conjunction, expanding: frozenset[int], budget: list[int]) -> Any:
        """Write every combination of the alternatives as one member of an `anyOf`."""
        if not conjunction.choices:
            return self._merged(conjunction.parts)
        (owner, choice), *others = conjunction.choices
        is_alone = not others and all(_is_bare(part.schema) for part in conjunction.parts)
        members: list[Any] = []
        for member in choice.members:
            if budget[0] <= 0:
                self.unbound.append(Unbound(_key_of(choice), choice.context, "has too many combinations"))
                return self._merged(conjunction.parts)
            if is_alone:
                members.append(self.value([member]))
                continue
            more = self._conjunction([member], expanding | {owner})
            if more is None:
                continue
            budget[0] -= 1
            both = _Conjunction(conjunction.parts + more.parts, others + more.choices)
            members.append(self._combined(both, expanding | {owner}, budget))
        return self._any_of(members, choice)

    def _any_of(self, members: list[Any], choice: Choice) -> Any:
        possible = [member for member in members if not isinstance(member, Never)]
        if not possible:
            return next(iter(members), Never(choice.context, "no value is valid here."))
        if choice.is_exclusive and len(possible) > 1:
            self.exclusive.append((possible, choice.context))
        return possible[0] if len(possible) == 1 else self._placed({"anyOf": possible}, choice.context)

    def _placed(self, node: JsonSchema, context: Context) -> JsonSchema:
        self.num_nodes += 1
        if self.num_nodes > _MAX_NODES:
            raise TooLarge
        self.places[id(node)] = context
        return node

    # One value without alternatives

    def _merged(self, parts: Sequence[Source]) -> Any:
        self._spend(len(parts))
        merged = Merged()
        for part in parts:
            merged.add(part)
        merged.finish()
        if merged.never is not None:
            return merged.never
        self.unbound += sealed(parts[1:]) if len(merged.objects) > 1 else []  # the others are inside the first
        self.unbound += [unbound for unbound, kind in merged.unbound if _applies(kind, merged)]
        context = parts[0].context
        if merged.values is not None:
            if merged.patterns and context in self.contradictions:
                return Never(context, "'enum' has no value that 'pattern' allows.")
            if merged.types & {"array", "object"} and (merged.objects or merged.arrays or merged.names):
                self.unbound.append(Unbound("enum", context, "lists objects or arrays beside keywords for these"))
            return self._placed(values(merged, self.unbound), context)
        if merged.is_any():
            return self.anything()
        members = self._members(merged, context)
        possible = [member for member in members if not isinstance(member, Never)]
        if not possible:
            return members[0]
        return possible[0] if len(possible) == 1 else self._placed({"anyOf": possible}, context)

    def _members(self, merged: Merged, context: Context) -> list[Any]:
        """Write one schema for each kind of value that is possible."""
        members: list[Any] = []
        simple = [kind for kind in _SIMPLE if kind in merged.types]
        if simple:
            members.append(
                self._placed(
                    {"type": simple[0] if len(simple) == 1 else simple, **string(merged, self.unbound)}, context
                )
            )
        members += [self._placed(number, context) for number in numbers(merged, self.unbound)]
        if "array" in merged.types:
            members.append(self._array(merged, context))
        if "object" in merged.types:
            members.append(self._object(merged, context))
        return members

    def _array(self, merged: Merged, context: Context) -> Any:
        prefix, rest = items_of(merged.arrays)
        node: JsonSchema = {"type": "array"}
        if prefix:
            node["prefixItems"] = [self.value(sources) for sources in prefix]
        node["items"] = self.value(rest) if rest is not None else self.anything()
        node |= {key: int(merged.limits[key]) for key in ("minItems", "maxItems") if key in merged.limits}
        return self._placed(node, context)

    def _object(self, merged: Merged, context: Context) -> Any:
        node: JsonSchema = {"type": "object"}
        self._spend(len(merged.objects) * sum(len(part.properties) for part in merged.objects))
        additional = [part.additional for part in merged.objects if part.additional is not None]
        has_seal = any(part.is_sealed for part in merged.objects)
        further = () if has_seal and not additional else merged.required
        properties = {name: self.value(sources) for name, sources in properties_of(merged.objects, further)}
        patterns: dict[str, list[Source]] = {}
        for part in merged.objects:
            others = [one.additional for one in merged.objects if one is not part and one.additional is not None]
            for pattern, source in part.patterns.items():
                patterns.setdefault(pattern, []).extend([source, *others])
        rest: Any = self.value(additional) if additional else None
        lists_keys = bool(patterns) or any(part.properties for part in merged.objects)
        if rest is None and (has_seal or lists_keys or self.is_strict):
            rest = Never(context, "it is closed.")
        is_closed_here = rest is not None and not additional and not has_seal
        written = {pattern: self.value(sources) for pattern, sources in patterns.items()}
        if merged.names:
            rest = self._with_names(merged, properties, written, rest, context)
        if patterns and len(merged.objects) > 1:
            self.unbound.append(Unbound("patternProperties", context, "is merged with another schema"))
        node |= {"properties": properties} if properties else {}
        node |= {"required": list(merged.required)} if merged.required else {}
        node |= {"patternProperties": written} if written else {}
        node["additionalProperties"] = self.anything() if rest is None else rest
        node |= {key: int(merged.limits[key]) for key in ("minProperties", "maxProperties") if key in merged.limits}
        if is_closed_here:
            self.closed.add(id(node))
        return self._placed(node, context)

    def _with_names(
        self, merged: Merged, properties: dict[str, Any], written: dict[str, Any], rest: Any, context: Context
    ) -> Any:
        """Apply `propertyNames` to `properties` and the patterns in `written`. Returns the schema of the others."""
        names = Merged(types=frozenset({"string"}))
        conjunction = self._conjunction(merged.names, frozenset())
        for part in conjunction.parts if conjunction else ():
            names.add(part)
        names.finish()
        if conjunction is None or conjunction.choices:
            self.unbound.append(Unbound("propertyNames", context))
        for name in properties if names.never else ():
            properties[name] = names.never
        if names.never:
            written.clear()
            return names.never
        closed, value = Never(context, "'propertyNames' does not allow it."), self.anything() if rest is None else rest
        is_open = not isinstance(rest, Never)
        if names.values is not None and not written:
            for name in properties:
                if key_of(name) not in names.values:
                    properties[name] = closed
            for name in names.values.values() if is_open else ():
                properties.setdefault(name, value)
            return closed
        lengths = {key for key in ("minLength", "maxLength") if key in names.limits}
        if not (names.patterns or names.formats or lengths):
            return rest
        if properties or written or names.formats or len(names.patterns) + bool(lengths) > 1 or not is_open:
            self.unbound.append(Unbound("propertyNames", context))
            return rest
        low, high = int(names.limits.get("minLength", 0)), names.limits.get("maxLength", "")
        pattern = next(iter(names.patterns), f"^[\\s\\S]{{{low},{high}}}$")
        written[pattern] = value
        return closed


def context_of(ref: str) -> Context:
    return tuple(ref.split("/")[1:])


def _has_effect(schema: Any) -> bool:
    return schema is False or (isinstance(schema, dict) and restricts(schema))


def _only_type(schema: Any) -> Any:
    """Return the `type` of a schema that restricts nothing else, or None."""
    if schema is False or schema.get("nullable") is True or len(schema.keys() & RESTRICTIONS) > 1:
        return None
    return schema.get("type")


def _is_bare(schema: Any) -> bool:
    """Return whether `schema` has nothing but combiners."""
    if schema is False or "not" in schema:
        return False
    return all(KEYWORDS[key].is_combiner or key == "dependencies" for key in schema.keys() & RESTRICTIONS)


def _key_of(choice: Choice) -> str:
    return "oneOf" if choice.is_exclusive else "anyOf"


def _applies(kind: str, merged: Merged) -> bool:
    return kind in merged.types and not (kind == "array" and merged.limits.get("maxItems", 2) <= 1)
