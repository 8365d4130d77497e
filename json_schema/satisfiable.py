"""Find what no value can satisfy, and remove it where it is optional."""

from __future__ import annotations

from typing import Any

from core.conversation import JsonSchema
from json_schema.places import Never

_MAX_PASSES = 32  # over the definitions; two are enough unless long chains are in an unlucky order


def pruned(root: Any, definitions: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return `root` and `definitions` without alternatives and properties that no value satisfies.

    A part that no value satisfies becomes False where the compiler expects a schema, and a Never if it is `root`.
    """
    causes = _causes(definitions)
    if (cause := cause_of(root, causes)) is not None:
        return cause, {}
    kept = {name: _pruned(node, causes) for name, node in definitions.items() if causes[name] is None}
    return _pruned(root, causes), kept


def _causes(definitions: dict[str, Any]) -> dict[str, Never | None]:
    """Return why each definition has no value; None if it has one.

    At first none counts as satisfiable, so that definitions that lead only to each other are found.
    """
    endless = Never((), "it contains itself without end.")
    causes: dict[str, Never | None] = dict.fromkeys(definitions, endless)
    for _ in range(_MAX_PASSES):
        changed = False
        for name in reversed(definitions):
            if causes[name] is not None:
                cause = cause_of(definitions[name], causes)
                changed |= cause != causes[name]
                causes[name] = cause
        if not changed:
            return causes
    return dict.fromkeys(definitions)


def cause_of(node: Any, causes: dict[str, Never | None]) -> Never | None:
    """Return why no value satisfies `node`, or None."""
    if isinstance(node, Never):
        return node
    if node is False:  # pruned before, since two places share it
        return Never((), "no value is valid here.")
    if "$ref" in node:
        return causes[name_of(node)]
    if "anyOf" in node:
        found = [cause_of(member, causes) for member in node["anyOf"]]
        return None if None in found else found[0]
    if node.get("type") == "object":
        properties = node.get("properties", {})
        needed = [properties[name] for name in node.get("required", ()) if name in properties]
        if is_absent(node["additionalProperties"], causes) and "patternProperties" not in node:
            if any(name not in properties for name in node.get("required", ())):
                return Never((), "a required property is not allowed.")
            possible = [True for inner in properties.values() if cause_of(inner, causes) is None]
            if len(possible) < node.get("minProperties", 0):
                return Never((), "'minProperties' is above the number of possible properties.")
        return next((cause for inner in needed if (cause := cause_of(inner, causes)) is not None), None)
    if node.get("type") == "array":
        prefix, least = node.get("prefixItems", []), node.get("minItems", 0)
        needed = prefix[:least] + ([node["items"]] if least > len(prefix) else [])
        return next((cause for inner in needed if (cause := cause_of(inner, causes)) is not None), None)
    return None


def is_absent(node: Any, causes: dict[str, Never | None]) -> bool:
    return cause_of(node, causes) is not None


def name_of(node: JsonSchema) -> str:
    return str(node["$ref"]).removeprefix("#/$defs/")


def _pruned(node: Any, causes: dict[str, Never | None]) -> Any:
    if is_absent(node, causes):
        return False
    if "anyOf" in node:
        node["anyOf"] = [_pruned(member, causes) for member in node["anyOf"] if not is_absent(member, causes)]
    for key in ("properties", "patternProperties"):
        if key in node:
            node[key] = {name: _pruned(inner, causes) for name, inner in node[key].items()}
    for key in ("items", "additionalProperties"):
        if key in node:
            node[key] = _pruned(node[key], causes)
    if "prefixItems" in node:
        node["prefixItems"] = [_pruned(inner, causes) for inner in node["prefixItems"]]
    return node
