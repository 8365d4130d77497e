"""OpenAI's additional rules for schemas with `strict: true`, with OpenAI's messages, since clients match on them."""

from __future__ import annotations

import re

from core.conversation import JsonSchema
from json_schema.check import check_parameters, not_an_object
from json_schema.errors import Subject, shortened
from json_schema.walk import KEYWORDS, target_of, walk

# Of several keywords in one schema, the first in this order is reported.
_NOT_STRICT = tuple(key for key, keyword in KEYWORDS.items() if not keyword.is_strict)


def check_strict(
    schema: object,
    *,
    owner: str,
    param: str,
    code: str | None = "invalid_function_parameters",
    strict_openai: bool = False,
) -> None:
    """Raise RequestError unless `schema` passes check_parameters and OpenAI's rules for `strict: true`.

    strict_openai: objects must forbid additional properties and require all others. Otherwise they are read as closed.
    """
    check_parameters(schema, owner=owner, param=param, code=code)
    subject = Subject(owner, param, code)
    root = target_of(schema, schema)
    if root.get("type") != "object":
        raise not_an_object(root, subject)
    if "anyOf" in root:
        raise subject.error("'anyOf' is not permitted.", ())
    for node, context, _ in walk(schema):
        if not isinstance(node, dict):
            continue
        fault = (
            _unpermitted(node)
            or (_open_object(node) if strict_openai else None)
            or _bad_pattern(node.get("pattern", ""))
        )
        if fault:
            raise subject.error(fault, context)


def _unpermitted(node: JsonSchema) -> str | None:
    for key in _NOT_STRICT:
        if key in node:
            return f"'{key}' is not permitted."
    if len(node.get("allOf", ())) > 1:
        return "'allOf' is not permitted."
    return None


def _open_object(node: JsonSchema) -> str | None:
    """Return why the objects of `node` are not strict; None if they are.

    Strict objects have every key of `properties` and no other key.
    """
    kinds = node.get("type", "object" if "properties" in node else "any")
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        return None
    if node.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    properties, required = node.get("properties", {}), set(node.get("required", ()))
    every = "'required' is required to be supplied and to be an array including every key in properties."
    for name in properties:
        if name not in required:
            return f"{every} Missing '{shortened(name)}'."
    for name in node.get("required", ()):
        if name not in properties:
            return f"{every} Extra required key '{shortened(name)}' supplied."
    return None


# Splits a regular expression into pieces. `re.compile` is no substitute: its syntax differs from JSON Schema's, and it
# takes seconds for "(?i)[\0-\U0010ffff]".
_PIECE = re.compile(
    r"(?P<look>\(\?<?[=!])|(?P<back>\\[1-9k]|\(\?P=|\(\?\()|(?P<open>\((?:\?(?:P?<[^>]*>|[a-zA-Z-]*:?))?)"
    r"|(?P<close>\))|(?P<repeat>[*+?])|(?P<either>\|)|(?P<broken>\\\Z)"
    r"|(?P<one>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\[])|(?P<unclosed>\[)",
    re.DOTALL,
)


def _bad_pattern(pattern: str) -> str | None:
    """Return why `pattern` cannot become an automaton, or None. The grammar compiler may still fail on it."""
    num_open, previous = 0, "open"
    for piece in _PIECE.finditer(pattern):
        kind = piece.lastgroup or ""
        num_open += {"open": 1, "close": -1}.get(kind, 0)
        if kind in ("look", "back"):
            return f"'pattern' has '{piece[0]}': lookaround and backreferences are not permitted."
        is_dangling = kind == "repeat" and previous in ("open", "either")
        if num_open < 0 or is_dangling or kind in ("broken", "unclosed"):
            return f"'pattern' is not a regular expression: unexpected '{piece[0]}' at position {piece.start()}."
        previous = kind
    return "'pattern' is not a regular expression: a ')' is missing." if num_open else None
