"""The further rules for schemas with `strict: true`: what cannot be guaranteed is an error.

With `strict_openai` also OpenAI's own rules, in OpenAI's words, since clients match on them.
"""

from __future__ import annotations

import re

from core.conversation import JsonSchema
from json_schema.binding.bind import TooLarge, bind
from json_schema.check import check_form, check_size, not_an_object
from json_schema.errors import Subject, not_enforced, shortened
from json_schema.walk import KEYWORDS, Context, target_of, walk

# OpenAI's limits
MAX_ENUM = 1_000  # values
MAX_PATTERN = 512  # characters

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
    """Raise RequestError unless `schema` is a JSON Schema of an object of which every keyword can be enforced.

    strict_openai: OpenAI's rules for `strict: true` hold too. `default` is permitted by both, since OpenAI takes it.
    """
    subject = Subject(owner, param, code)
    check_form(schema, subject)
    if strict_openai:
        _check_openai(schema, subject)
    for node, context, _ in walk(schema):
        if isinstance(node, dict) and (fault := _bad_pattern(node.get("pattern", ""))):
            raise subject.error(fault, context)
    if isinstance(schema, dict):
        _check_enforced(schema, subject)


def _check_enforced(schema: JsonSchema, subject: Subject) -> None:
    try:
        bound = bind(schema, is_strict=True)
    except TooLarge:
        raise subject.error("its combinations are too many to compile.") from None
    if bound.never is not None:
        raise subject.error(f"no value satisfies it: {bound.never.why}", bound.never.context)
    for keyword, context, why in bound.unbound:
        raise not_enforced(subject, keyword, context, why)


def _check_openai(schema: object, subject: Subject) -> None:
    root = target_of(schema, schema)
    if root.get("type") != "object":
        raise not_an_object(root, subject)
    if "anyOf" in root:
        raise subject.error("'anyOf' is not permitted.", ())
    for node, context, _ in walk(schema):
        if not isinstance(node, dict):
            continue
        _check_sizes(node, context, subject)
        fault = _unpermitted(node) or _open_object(node) or _bad_pattern(node.get("pattern", ""))
        if fault:
            raise subject.error(fault, context)


def _check_sizes(node: JsonSchema, context: Context, subject: Subject) -> None:
    patterns = [node.get("pattern", ""), *node.get("patternProperties", {})]
    check_size("enum", len(node.get("enum", ())), MAX_ENUM, "values", context, subject)
    check_size("pattern", max(map(len, patterns)), MAX_PATTERN, "characters", context, subject)


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
