"""Replaces each `$ref` of a document by its target, so that a function's schema is self-contained."""

from __future__ import annotations

from dataclasses import dataclass

from agent.definitions.candidates import Unfit
from core.conversation import JsonSchema
from json_schema.walk import lookup

MAX_DEPTH = 40  # levels of JSON; a nested schema takes two levels, one of them for `properties`
MAX_NODES = 20_000  # number of JSON values; a usable definition has a few hundred

_WORDING = frozenset({"title", "description"})


@dataclass
class Inliner:
    """Copies schemas of `root` with their references expanded. Create one for each function.

    `left` is the number of JSON values that may still be copied before the schema counts as too large.
    """

    root: object
    left: int = MAX_NODES

    def schema(self, value: object) -> JsonSchema:
        """Copy `value` with its references expanded.

        A recursive schema is reduced to its type. An `allOf` becomes one schema if its members agree. Raises Unfit for
        remote, dangling and too large references.
        """
        copied = self._copied(value, frozenset(), 0)
        if not isinstance(copied, dict):
            raise Unfit(f"a schema must be a JSON object, got {type(value).__name__}")
        return copied

    def target(self, value: object) -> JsonSchema:
        """Return `value`, or the object at the end of its chain of references. Raises Unfit."""
        seen: set[str] = set()
        while isinstance(value, dict) and isinstance(ref := value.get("$ref"), str):
            if ref in seen:
                raise Unfit(f"'$ref' {ref[:80]!r} leads back to itself")
            seen.add(ref)
            value = self._referred(ref)
        if not isinstance(value, dict):
            raise Unfit(f"an object was expected, got {type(value).__name__}")
        return value

    def _copied(self, value: object, seen: frozenset[str], depth: int) -> object:
        self.left -= 1
        if self.left < 0:
            raise Unfit(f"it is larger than {MAX_NODES} parts once its $refs are expanded")
        if depth > MAX_DEPTH:
            raise Unfit(f"it nests deeper than {MAX_DEPTH} levels")
        if isinstance(value, list):
            return [self._copied(item, seen, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if isinstance(ref := value.get("$ref"), str):
            return self._expanded(ref, value, seen, depth)
        return _merged({str(key): self._copied(item, seen, depth + 1) for key, item in value.items()})

    def _expanded(self, ref: str, value: JsonSchema, seen: frozenset[str], depth: int) -> object:
        beside = {key: item for key, item in value.items() if key in _WORDING}
        target = self._referred(ref)
        if ref not in seen:
            copied = self._copied(target, seen | {ref}, depth + 1)
            return {**copied, **beside} if isinstance(copied, dict) else copied
        kind = target.get("type") if isinstance(target, dict) else None
        return {"type": kind if isinstance(kind, str) else "object", **beside}

    def _referred(self, ref: str) -> object:
        if not ref.startswith("#"):
            raise Unfit(f"'$ref' {ref[:80]!r} is not local; put what it refers to into the same file")
        target = lookup(self.root, ref)
        if target is None:
            raise Unfit(f"'$ref' {ref[:80]!r} points to nothing")
        return target


def _merged(schema: JsonSchema) -> JsonSchema:
    """Merge an `allOf` into one schema, unless two of its members disagree."""
    members = schema.get("allOf")
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        return schema
    whole: JsonSchema = {}
    for member in [*members, {key: value for key, value in schema.items() if key != "allOf"}]:
        for key, value in member.items():
            held = whole.get(key, value)
            if key == "properties" and isinstance(held, dict) and isinstance(value, dict):
                whole[key] = {**held, **value}
            elif key == "required" and isinstance(held, list) and isinstance(value, list):
                whole[key] = [*held, *(name for name in value if name not in held)]
            elif held == value or key in _WORDING:
                whole[key] = value
            else:
                return schema
    return whole
