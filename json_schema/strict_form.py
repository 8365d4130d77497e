"""A schema with what `strict` requires, as the Responses API adds it to parameters where `strict` is left out."""

from __future__ import annotations

import json
from functools import lru_cache

from core.conversation import JsonSchema
from core.errors import RequestError
from json_schema.strict import check_strict
from json_schema.walk import nodes

# Clients send the same tools with every request, and to check a form takes three times as long as all other checks.
MAX_FORMS = 2_048
MAX_REMEMBERED = 4_096  # characters of a schema


def strict_form(schema: JsonSchema) -> JsonSchema | None:
    """Return a copy in which every object is closed and every property is required.

    Returns None if that would forbid what the schema asks for, such as an object of any keys, or if OpenAI's rules for
    `strict` do not permit it. `schema` must be a valid one (`check_parameters`).
    """
    text = json.dumps(schema)
    form = _remembered_form(text) if len(text) <= MAX_REMEMBERED else _form(text)
    return json.loads(form) if form else None


def _form(text: str) -> str:
    """Return the form of a schema, both as JSON; empty if there is none."""
    form = json.loads(text)
    if not all(_close(node) for node in nodes(form)):
        return ""
    try:
        check_strict(form, owner="", param="", strict_openai=True)
    except RequestError:
        return ""
    return json.dumps(form)


_remembered_form = lru_cache(MAX_FORMS)(_form)


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
