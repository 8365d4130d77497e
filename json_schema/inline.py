"""Replace the local `$ref`s of a schema by their targets, for prompts that show schemas as JSON."""

from __future__ import annotations

import json
from typing import Any

from core.conversation import JsonSchema
from json_schema.walk import lookup

# Characters that the `$ref`s of one function may add. 40 definitions that each use the next one twice would expand to
# 2**40 schemas.
MAX_INLINED = 20_000
_MAX_DEPTH = 300  # levels of JSON above a `$ref`; the stack has room for these and for those of one request


def inline(root: JsonSchema) -> JsonSchema:
    """Return `root` with its `$ref`s replaced by their targets; the keys beside a `$ref` are lost, `$defs` stay.

    A `$ref` inside its own target, one without a target, and those beyond the limits stay as they are.
    """
    inlined: JsonSchema = _Inliner(root).expanded(root, frozenset(), 0)
    return inlined


class _Inliner:
    def __init__(self, root: JsonSchema) -> None:
        self._root = root
        self._num_left = MAX_INLINED
        self._lengths: dict[int, int] = {}  # by the id of a target, its length as JSON

    def expanded(self, value: Any, outer_refs: frozenset[str], depth: int) -> Any:
        match value:
            case {"$ref": str(ref)} if depth < _MAX_DEPTH and ref not in outer_refs:
                target = lookup(self._root, ref)
                return self.expanded(target, outer_refs | {ref}, depth + 1) if self._spend(target) else value
            case dict():
                return {key: self.expanded(inner, outer_refs, depth + 1) for key, inner in value.items()}
            case list():
                return [self.expanded(inner, outer_refs, depth + 1) for inner in value]
        return value

    def _spend(self, target: object) -> bool:
        """Count `target`, if it is a schema within the limit. Return whether it is one."""
        if not isinstance(target, dict | bool):
            return False
        if id(target) not in self._lengths:
            self._lengths[id(target)] = len(json.dumps(target))
        is_within = self._lengths[id(target)] <= self._num_left
        self._num_left -= self._lengths[id(target)] if is_within else 0
        return is_within
