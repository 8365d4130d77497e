"""Close the objects of a schema for decoding. JSON Schema allows additional properties unless a schema forbids them."""

from __future__ import annotations

from collections.abc import Sequence

from core.conversation import JsonSchema
from json_schema.walk import KEYWORDS, children, lookup

_COMBINERS = frozenset(key for key, keyword in KEYWORDS.items() if keyword.is_combiner)
_OPENING = _COMBINERS | {"additionalProperties", "patternProperties", "unevaluatedProperties"}


def close(root: object, parts: Sequence[JsonSchema]) -> None:
    """Set `additionalProperties` to false in objects that list properties, so that a model cannot invent keys.

    Changes `parts`, which are all schemas within `root`, in place. Several schemas for one value (`allOf`, say) stay
    open, since each would forbid the properties of the others.
    """
    merged = _merged(root, parts)
    for node in parts:
        properties, required = node.get("properties"), node.get("required", [])
        if not isinstance(properties, dict) or not (properties or node is root):
            continue
        if node.keys() & _OPENING or id(node) in merged:
            continue
        if isinstance(required, list) and all(name in properties for name in required):
            node["additionalProperties"] = False


def _merged(root: object, parts: Sequence[JsonSchema]) -> set[int]:
    """Return the `id()`s of the schemas whose value must also satisfy another schema, as the members of `allOf` do."""
    merged: set[int] = set()
    todo: list[object] = [node for node in parts if _merges(node)]
    while todo:
        node = todo.pop()
        if not isinstance(node, dict) or id(node) in merged:
            continue
        merged.add(id(node))
        todo += [child for child, keys in children(node) if keys[0] in _COMBINERS]
        todo += [lookup(root, str(node["$ref"]))] if "$ref" in node else []
    return merged


def _merges(node: JsonSchema) -> bool:
    all_of = node.get("allOf")
    num_parts = len(node.keys() & _COMBINERS) + (len(all_of) - 1 if isinstance(all_of, list) else 0)
    return num_parts > 1 or (num_parts == 1 and "properties" in node)
