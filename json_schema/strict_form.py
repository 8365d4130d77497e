"""A schema with what `strict` requires, as the Responses API adds it to parameters where `strict` is left out."""

from __future__ import annotations

from copy import deepcopy

from core.conversation import JsonSchema
from core.errors import RequestError
from json_schema.strict import check_strict
from json_schema.walk import nodes


def strict_form(schema: JsonSchema) -> JsonSchema | None:
    """Return a copy in which every object is closed and every property is required.

    Returns None if that would forbid what the schema asks for, such as an object of any keys, or if OpenAI's rules for
    `strict` do not permit it. `schema` must be a valid one (`check_parameters`).
    """
    form = deepcopy(schema)
    if not all(_close(node) for node in nodes(form)):
        return None
    try:
        check_strict(form, owner="", param="", strict_openai=True)
    except RequestError:
        return None
    return form


def _close(node: JsonSchema) -> bool:
    """Close the objects that `node` describes. Returns whether it is possible."""
    kinds = node.get("type", "object" if "properties" in node else "any")
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        return True
    properties = node.get("properties")
    if properties is None or node.get("additionalProperties", False) is not False:
        return False
    if set(node.get("required", ())) - properties.keys():
        return False
    node["additionalProperties"] = False
    node["required"] = list(properties)
    return True
