"""Find what no value can satisfy, and remove it where it is optional."""

from __future__ import annotations

from typing import Any

from core.conversation import JsonSchema
from json_schema.binding.places import Never

_MAX_PASSES = 32  # over the definitions; two are enough unless long chains are in an unlucky order


def pruned(root: Any, definitions: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return `root` and `definitions` without alternatives and properties that no value satisfies.

    A part that no value satisfies becomes False where the compiler expects a schema, and a Never if it is `root`.
    """
    search = _Search(definitions)
    if (cause := search.cause_of(root)) is not None:
        return cause, {}
    kept = {name: search.pruned(node) for name, node in definitions.items() if search.causes[name] is None}
    return search.pruned(root), kept


class _Search:
    """Finds why parts have no value. `known` has the parts that were searched, by `id()`."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        """Find why each definition has no value; None if it has one.

        At first none counts as satisfiable, so that definitions that lead only to each other are found.
        """
        endless = Never((), "it contains itself without end.")
        self.causes: dict[str, Never | None] = dict.fromkeys(definitions, endless)
        self.known: dict[int, Never | None] = {}
        for _ in range(_MAX_PASSES):
            before = dict(self.causes)
            for name in reversed(definitions):
                if self.causes[name] is not None:
                    self.known.clear()
                    self.causes[name] = self.cause_of(definitions[name])
            if self.causes == before:
                break
        else:
            self.causes = dict.fromkeys(definitions)
        self.known.clear()

    def cause_of(self, node: Any) -> Never | None:
        """Return why no value satisfies `node`, or None."""
        if isinstance(node, Never):
            return node
        if node is False:  # pruned before, since two places share it
            return Never((), "no value is valid here.")
        if id(node) not in self.known:
            self.known[id(node)] = self._searched(node)
        return self.known[id(node)]

    def _searched(self, node: JsonSchema) -> Never | None:
        if "$ref" in node:
            return self.causes[name_of(node)]
        if "anyOf" in node:
            found = [self.cause_of(member) for member in node["anyOf"]]
            return None if None in found else found[0]
        if node.get("type") == "object":
            return self._object(node)
        if node.get("type") == "array":
            prefix, least = node.get("prefixItems", []), node.get("minItems", 0)
            return self._first_cause(prefix[:least] + ([node["items"]] if least > len(prefix) else []))
        return None

    def _object(self, node: JsonSchema) -> Never | None:
        properties, required = node.get("properties", {}), node.get("required", ())
        others = self.cause_of(node["additionalProperties"])
        if others is not None and "patternProperties" not in node:
            if any(name not in properties for name in required):
                return Never(others.context, "a required property is not allowed.")
            if sum(not self.is_absent(inner) for inner in properties.values()) < node.get("minProperties", 0):
                return Never(others.context, f"'minProperties' needs more properties: {others.why}")
        return self._first_cause([properties[name] for name in required if name in properties])

    def _first_cause(self, needed: list[Any]) -> Never | None:
        return next((cause for inner in needed if (cause := self.cause_of(inner)) is not None), None)

    def is_absent(self, node: Any) -> bool:
        return self.cause_of(node) is not None

    def pruned(self, node: Any) -> Any:
        """Return `node` with False for each part that no value satisfies. Changes it in place."""
        if self.is_absent(node):
            return False
        if "anyOf" in node:
            node["anyOf"] = [self.pruned(member) for member in node["anyOf"] if not self.is_absent(member)]
        for key in ("properties", "patternProperties"):
            if key in node:
                node[key] = {name: self.pruned(inner) for name, inner in node[key].items()}
        for key in ("items", "additionalProperties"):
            if key in node:
                node[key] = self.pruned(node[key])
        if "prefixItems" in node:
            node["prefixItems"] = [self.pruned(inner) for inner in node["prefixItems"]]
        return node


def name_of(node: JsonSchema) -> str:
    return str(node["$ref"]).removeprefix("#/$defs/")
