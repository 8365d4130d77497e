"""Find the JSON types of a function's parameters, for formats that write a string without quotes."""

from __future__ import annotations

from typing import Any

from core.conversation import JsonSchema
from json_schema.binding.conjunction import kinds_of, type_kinds
from json_schema.walk import MAX_DEPTH, TYPES, lookup

_ALL = type_kinds(list(TYPES))
_MAX_SCHEMAS = 10_000  # that are read for the parameters of one function; the types of further ones stay open


def parameter_kinds(root: JsonSchema) -> dict[str, frozenset[str]]:
    """Return the types that the schema of each property allows, as `type_kinds` names them.

    The properties are those of the root, of its `$ref`s and of its combiners. A property of two schemas has the types
    of both if either schema may apply.
    """
    reader = _Reader(root)
    found: dict[str, frozenset[str]] = {}
    todo: list[tuple[Any, int]] = [(root, 0)]
    while todo:
        schema, depth = todo.pop()
        if not isinstance(schema, dict) or depth > MAX_DEPTH or not reader.num_left:
            continue
        reader.num_left -= 1
        properties = schema.get("properties")
        for name, child in properties.items() if isinstance(properties, dict) else ():
            found[name] = found.get(name, frozenset()) | reader.kinds(child, 0)
        for key in ("allOf", "anyOf", "oneOf"):
            members = schema.get(key)
            todo += [(member, depth + 1) for member in members] if isinstance(members, list) else []
        if isinstance(ref := schema.get("$ref"), str):
            todo.append((lookup(root, ref), depth + 1))
    return found


class _Reader:
    def __init__(self, root: JsonSchema) -> None:
        self.num_left = _MAX_SCHEMAS
        self._root = root

    def kinds(self, schema: Any, depth: int) -> frozenset[str]:
        """Return the types that `schema` allows; more than those if it nests too deeply."""
        if not isinstance(schema, dict) or depth > MAX_DEPTH or not self.num_left:
            return _ALL
        self.num_left -= 1
        kinds = _ALL
        if isinstance(ref := schema.get("$ref"), str):
            kinds &= self.kinds(lookup(self._root, ref), depth + 1)
        if "type" in schema:
            named = type_kinds(schema["type"])
            kinds &= named | {"null"} if schema.get("nullable") is True else named
        if isinstance(values := schema.get("enum"), list):
            kinds &= frozenset[str]().union(*map(kinds_of, values))
        if "const" in schema:
            kinds &= kinds_of(schema["const"])
        for key in ("anyOf", "oneOf"):
            if isinstance(members := schema.get(key), list):
                kinds &= frozenset[str]().union(*(self.kinds(member, depth + 1) for member in members))
        if isinstance(members := schema.get("allOf"), list):
            for member in members:
                kinds &= self.kinds(member, depth + 1)
        return kinds
