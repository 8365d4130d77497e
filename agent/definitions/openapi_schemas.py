"""Reduces the schemas of OpenAPI documents to JSON Schema with short descriptions."""

from __future__ import annotations

import re

from agent.definitions.candidates import Unfit
from core.conversation import JsonSchema

MAX_TEXT = 300  # the most characters of a description; some API documents have whole manuals in it

_LIMITS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
_KEYWORDS = {"type", "description", "enum", "const", "default", "items", "properties", "required", "format", "pattern"}
_KEYWORDS |= {"minItems", "maxItems", "uniqueItems", "oneOf", "anyOf", "allOf", "additionalProperties", "nullable"}
_KEYWORDS |= _LIMITS
_TAG = re.compile(r"<[^<>]{1,200}>")
_LOOSE = re.compile(r" ([.,;:)])(?!\w)")  # a space before punctuation remains where an HTML tag was removed
_PARAGRAPH = re.compile(r"\n\s*\n")


def plain_schema(schema: JsonSchema) -> JsonSchema:
    """Reduce an OpenAPI schema to JSON Schema keywords, with short descriptions.

    Read-only properties and patterns that Python cannot compile are left out. Raises Unfit for the schema of a file.
    """
    if schema.get("type") == "file" or schema.get("format") == "binary":
        raise Unfit("it takes a file, which no call's JSON can hold")
    plain: JsonSchema = {key: _plain(key, value) for key, value in schema.items() if key in _KEYWORDS}
    if isinstance(properties := schema.get("properties"), dict):
        kept = {name: value for name, value in properties.items() if not _is_answer_only(value)}
        plain["properties"] = {name: plain_schema(value) for name, value in kept.items() if isinstance(value, dict)}
        if isinstance(required := schema.get("required"), list):
            plain["required"] = [name for name in plain["properties"] if name in required]
        plain.setdefault("type", "object")
    if plain.pop("nullable", None) is True:  # OpenAPI 3.0's word, which JSON Schema does not have
        if isinstance(plain.get("type"), str):
            plain["type"] = [plain["type"], "null"]
        if isinstance(plain.get("enum"), list) and None not in plain["enum"]:
            plain["enum"] = [*plain["enum"], None]
    for word, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(flag := plain.get(word), bool):  # OpenAPI 3.0 has a boolean here, JSON Schema a number
            del plain[word]
            if flag and limit in plain:
                plain[word] = plain.pop(limit)
    return {key: value for key, value in plain.items() if value is not None}


def _plain(key: str, value: object) -> object:
    if key == "description":
        return short_text(value) or None
    if key == "pattern":
        return value if _is_pattern(value) else None
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return plain_schema(value)
    if key in ("oneOf", "anyOf", "allOf") and isinstance(value, list):
        return [plain_schema(member) if isinstance(member, dict) else member for member in value]
    return value


def _is_answer_only(schema: object) -> bool:
    return isinstance(schema, dict) and schema.get("readOnly") is True


def _is_pattern(value: object) -> bool:
    try:
        re.compile(value if isinstance(value, str) else "(")
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def short_text(value: object) -> str:
    """Return the first paragraph in one line, without HTML. Cut between words to MAX_TEXT characters."""
    if not isinstance(value, str):
        return ""
    words = " ".join(_TAG.sub(" ", _PARAGRAPH.split(value.strip())[0]).split())
    text = _LOOSE.sub(r"\1", words)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rsplit(" ", 1)[0] + " ..."
