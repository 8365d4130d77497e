"""The format of an answer's text, and of the text of a custom tool, as a rule of a grammar."""

from __future__ import annotations

from core.conversation import ResponseFormat
from core.generation import JsonRule, TextRule
from guarantees.caller_grammar import is_gbnf, literal, safe_lark, safe_regexp


def response_rule(response_format: ResponseFormat) -> JsonRule | str:
    """Return the rule for the text of an answer: JSON by a schema, or the body of a Lark rule.

    Raises RequestError for a grammar or regular expression that cannot be a constraint.
    """
    match response_format.kind:
        case "regex":
            return safe_regexp(response_format.pattern, response_format.param)
        case "choice":
            return " | ".join(map(literal, response_format.choices))
        case "grammar":
            return f"%lark {{\n{safe_lark(response_format.grammar, response_format.param)}\n}}"
    name, param = response_format.name, response_format.param
    schema = (response_format.schema or {}) if response_format.kind == "json_schema" else {"type": "object"}
    owner = f"{param} '{name}'" if name else f"'{param}'"
    return JsonRule(schema, response_format.strict, owner=owner, param=param)


def text_rule(input_format: ResponseFormat, *, is_tagged: bool) -> TextRule | None:
    """Return the rule for the text of a custom tool; None for any text. Raises RequestError as `response_rule`."""
    param, has_lines = input_format.param, False
    match input_format.kind:
        case "regex":
            grammar = f"start: {safe_regexp(input_format.pattern, param)}\n"
        case "grammar":
            grammar = safe_lark(input_format.grammar, param)
            has_lines = not is_gbnf(input_format.grammar)
        case _:
            return None
    return TextRule(grammar, "tagged" if is_tagged else "json string", param, has_lines)
