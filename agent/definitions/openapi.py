"""Turns the operations of an OpenAPI 3.x or Swagger 2 document into function definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agent.definitions.candidates import Candidate, Unfit, object_schema
from agent.definitions.references import Inliner
from client.json_lines import Json
from core.conversation import JsonSchema

METHODS = ("get", "post", "put", "patch", "delete")
MAX_NAME = 64
MAX_TEXT = 300  # the most characters of a description; some API documents have whole manuals in it

_SAID = ("path", "query", "formData", "body")  # no headers and cookies: the HTTP client sets them, not the caller
_LIMITS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
_KEYWORDS = {"type", "description", "enum", "const", "default", "items", "properties", "required", "format", "pattern"}
_KEYWORDS |= {"minItems", "maxItems", "uniqueItems", "oneOf", "anyOf", "allOf", "additionalProperties", "nullable"}
_KEYWORDS |= _LIMITS
_JSON_BODY = re.compile(r"json|\*/\*", re.IGNORECASE)
_FORM_BODY = re.compile(r"form-urlencoded|form-data", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{1,200}>")
_LOOSE = re.compile(r" ([.,;:)])(?!\w)")  # a space before punctuation remains where an HTML tag was removed
_PARAGRAPH = re.compile(r"\n\s*\n")


def is_openapi(document: object) -> bool:
    return isinstance(document, dict) and ("openapi" in document or "swagger" in document)


def operations(document: dict[str, Any]) -> Iterator[Candidate]:
    """Yield one candidate for each method of each path. It is named by operationId, else by method and path."""
    paths = document.get("paths")
    if not isinstance(paths, dict):
        yield Candidate("paths", fault="the document has no object of paths")
        return
    for path, item in paths.items():
        for method in METHODS:
            if not isinstance(item, dict) or method not in item:
                continue
            where = f"{method.upper()} {path}"
            try:
                yield Candidate(where, _function(document, str(path), method, item))
            except Unfit as error:
                yield Candidate(where, fault=str(error))


def _function(document: dict[str, Any], path: str, method: str, item: dict[str, Any]) -> Json:
    inliner = Inliner(document)
    operation = inliner.target(item[method])
    properties, required = _parameters(inliner, item, operation)
    if "requestBody" in operation:
        body = inliner.target(operation["requestBody"])
        schema = _content_schema(body.get("content"))
        if schema is not None:
            _add_body(inliner.schema(schema), bool(body.get("required")), properties, required)
    name = operation.get("operationId") or f"{method} {path}"
    return {
        "name": re.sub(r"[^A-Za-z0-9_]+", "_", str(name)).strip("_")[:MAX_NAME],
        "description": short_text(operation.get("summary")) or short_text(operation.get("description")),
        "parameters": object_schema(properties, required),
    }


def _parameters(inliner: Inliner, item: JsonSchema, operation: JsonSchema) -> tuple[dict[str, object], list[str]]:
    """Return the properties and the names of required ones. An operation's parameters override those of its path."""
    listed = [*_listed(item, "parameters"), *_listed(operation, "parameters")]
    found = {(one.get("name"), one.get("in")): one for one in map(inliner.target, listed)}
    properties: dict[str, object] = {}
    required: list[str] = []
    for (name, place), one in found.items():
        if place not in _SAID:
            continue
        if not isinstance(name, str):
            raise Unfit("a parameter has no name")
        schema = one.get("schema") or _content_schema(one.get("content")) or one
        if place == "body":
            _add_body(inliner.schema(schema), bool(one.get("required")), properties, required)
            continue
        if name in properties:
            raise Unfit(f"two parameters have the name {name!r}")
        shown = plain_schema(_without_flag(inliner.schema(schema)))
        text = short_text(one.get("description"))
        properties[name] = {**shown, "description": text} if text else shown
        required += [name] if one.get("required") is True or place == "path" else []
    return properties, required


def _add_body(schema: JsonSchema, is_required: bool, properties: dict[str, object], required: list[str]) -> None:
    """Add the body's properties to the function's properties.

    If one of the names is taken, the whole body becomes one property, `body`.
    """
    shown = plain_schema(schema)
    inner: Any = shown.get("properties")
    names: Any = shown.get("required", ())
    if not inner or inner.keys() & properties.keys():
        inner, names = {"body": shown}, ["body"]
    if both := inner.keys() & properties.keys():
        raise Unfit(f"two parameters have the name {min(both)!r}")
    properties.update(inner)
    required += [name for name in names if is_required]


def _content_schema(content: object) -> Any:
    """Return the schema of the JSON body or, if there is none, of the web form. None if there is no content.

    Raises Unfit for a body of any other type.
    """
    kinds = content if isinstance(content, dict) else {}
    for wanted in (_JSON_BODY, _FORM_BODY):
        for kind, held in kinds.items():
            if wanted.search(str(kind)) and isinstance(held, dict) and "schema" in held:
                return held["schema"]
    if kinds:
        raise Unfit(f"its body is {next(iter(kinds))}, which no call's JSON can hold")
    return None


def _listed(holder: JsonSchema, key: str) -> list[object]:
    items = holder.get(key) or []
    if not isinstance(items, list):
        raise Unfit(f"{key!r} must be a list")
    return items


def _without_flag(schema: JsonSchema) -> JsonSchema:
    """Remove the boolean `required` of a Swagger 2 parameter, so that the parameter can be used as a schema."""
    return {key: value for key, value in schema.items() if key != "required" or isinstance(value, list)}


# Schemas


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
