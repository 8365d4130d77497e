"""`$ref`s of a document replaced by what they point to, so that each function's schema stands for itself."""

from __future__ import annotations

from dataclasses import dataclass

from core.conversation import JsonSchema
from json_schema.walk import lookup
from train.definitions.candidates import Unfit

MAX_DEPTH = 40  # schemas are nested twice as deep in JSON as they look: `properties` is a level of its own
MAX_NODES = 20_000  # values of any kind; the definition of a function that a model could read has some hundred

_WORDING = frozenset({"title", "description"})


@dataclass
class Inliner:
    """Copies schemas of `root`. One for each function: `left` is what its references may still expand to."""

    root: object
    left: int = MAX_NODES

    def schema(self, value: object) -> JsonSchema:
        """`value` without references. Raises Unfit for remote and dangling ones, and where they expand too far.

        A schema inside itself becomes its bare type; an `allOf` whose members agree becomes one schema.
        """
        copied = self._copied(value, frozenset(), 0)
        if not isinstance(copied, dict):
            raise Unfit(f"a schema must be a JSON object, got {type(value).__name__}")
        return copied

    def target(self, value: object) -> JsonSchema:
        """The object that `value` is or refers to; a reference to a reference is followed too. Raises Unfit."""
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
    """One schema of an `allOf`, unless two of its members say different things."""
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
