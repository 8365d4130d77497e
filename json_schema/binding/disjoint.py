"""Whether the members of a `oneOf`, as rewritten, exclude each other, so that `anyOf` says the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.conversation import JsonSchema
from json_schema.binding.conjunction import key_of, kinds_of
from json_schema.binding.places import Never
from json_schema.binding.satisfiable import name_of

_MAX_DEPTH = 16  # of properties that are compared
_MAX_MEMBERS = 64  # every pair is compared
_MAX_COMPARED = 20_000  # pairs of schemas; these take 50 ms
_UNKNOWN: JsonSchema = {}
_TYPES = {"number": {"integer", "fraction"}}


def made_exclusive(members: list[Any], definitions: dict[str, Any], closed: set[int]) -> bool:
    """Return whether a value of one member is never valid for the original of another.

    Where one member requires a property that another has as optional, the other loses it in place: "exactly one of `a`
    and `b`" is written so. `closed` has the ids of the objects that the original leaves open.
    """
    if len(members) > _MAX_MEMBERS:
        return False
    proof = _Proof(definitions, closed)
    removed: list[tuple[JsonSchema, str]] = []
    for one in members:
        for other in members:
            if one is other or proof.excludes(one, other, 0):
                continue
            if (name := _distinguishing(one, proof.resolved(other))) is None:
                return False
            removed.append((one, name))
    for node, name in removed:
        node["properties"][name] = Never((), "another member of 'oneOf' requires it.")
    return True


def _distinguishing(one: Any, other: Any) -> str | None:
    """Return an optional property of `one` that `other` requires. Without it, a value is not valid for `other`."""
    if not all(isinstance(node, dict) and node.get("type") == "object" for node in (one, other)) or not _is_closed(one):
        return None
    optional = one.get("properties", {}).keys() - set(one.get("required", ()))
    return next((name for name in other.get("required", ()) if name in optional), None)


@dataclass
class _Proof:
    """Compares schemas in pairs. `compared` has the results by the `id()`s of both, since definitions are shared."""

    definitions: dict[str, Any]
    closed: set[int]
    compared: dict[tuple[int, int], bool] = field(default_factory=dict)

    def resolved(self, node: Any) -> Any:
        for _ in range(_MAX_DEPTH):
            if not isinstance(node, dict) or "$ref" not in node:
                return node
            node = self.definitions[name_of(node)]
        return _UNKNOWN

    def excludes(self, one: Any, other: Any, depth: int) -> bool:
        """Return whether no value of `one` is valid for the original of `other`."""
        one, other = self.resolved(one), self.resolved(other)
        if isinstance(one, Never) or isinstance(other, Never):
            return True
        key = (id(one), id(other))
        if key not in self.compared:
            if depth > _MAX_DEPTH or len(self.compared) >= _MAX_COMPARED:
                return False
            self.compared[key] = False  # a pair that leads back to itself
            self.compared[key] = self._compare(one, other, depth)
        return self.compared[key]

    def _compare(self, one: JsonSchema, other: JsonSchema, depth: int) -> bool:
        if "anyOf" in one:
            return all(self.excludes(member, other, depth + 1) for member in one["anyOf"])
        if "anyOf" in other:
            return all(self.excludes(one, member, depth + 1) for member in other["anyOf"])
        kinds, other_kinds = _kinds(one), _kinds(other)
        if kinds.isdisjoint(other_kinds):
            return True
        if "enum" in one and "enum" in other:
            return {key_of(value) for value in one["enum"]}.isdisjoint(key_of(value) for value in other["enum"])
        if kinds == {"object"} == other_kinds and "enum" not in one and "enum" not in other:
            return self._exclude_objects(one, other, depth)
        return False

    def _exclude_objects(self, one: JsonSchema, other: JsonSchema, depth: int) -> bool:
        mine, theirs = one.get("properties", {}), other.get("properties", {})
        needed, their_needed = one.get("required", ()), other.get("required", ())
        if _is_closed(one) and any(isinstance(mine.get(name, Never((), "")), Never) for name in their_needed):
            return True
        if _is_closed(other) and id(other) not in self.closed and any(name not in theirs for name in needed):
            return True
        both = [name for name in dict.fromkeys((*needed, *their_needed)) if name in mine and name in theirs]
        return any(self.excludes(mine[name], theirs[name], depth + 1) for name in both)


def _is_closed(node: JsonSchema) -> bool:
    return isinstance(node.get("additionalProperties"), Never) and "patternProperties" not in node


def _kinds(node: JsonSchema) -> set[str]:
    if "enum" in node:
        return {kind for value in node["enum"] for kind in kinds_of(value)}
    named = node.get("type")
    words = map(str, named if isinstance(named, list) else [named])
    return {kind for word in words for kind in _TYPES.get(word, {word})}
