"""What the grammar of a schema allows, with a tokenizer of single bytes."""

from __future__ import annotations

import functools

from bench.forced_calls import compiler
from core.conversation import JsonSchema
from core.generation import Constraint, JsonRule, Lark
from guarantees.matcher import ConstraintCompiler

compiled = functools.cache(compiler)


def constraint(constraints: ConstraintCompiler, schema: JsonSchema, *, strict: bool = False) -> Constraint:
    stop_id = constraints.vocabulary.size - 1
    rule = JsonRule(schema, strict, "function 'f'", "tools[0].function.parameters", "invalid_function_parameters")
    return Constraint(turn=Lark(f"start: json <[{stop_id}]>\n", {"json": rule}))


def allows(schema: JsonSchema, text: str, *, strict: bool = False) -> bool:
    """Return whether the grammar of `schema` allows exactly `text`. Raises RequestError as a request would."""
    constraints = compiled()
    matcher = constraints.matcher(constraint(constraints, schema, strict=strict))
    for token_id in [*constraints.vocabulary.tokenize(text.encode()), constraints.vocabulary.size - 1]:
        mask = matcher.mask()
        if mask is None or not mask[token_id]:
            return False
        matcher.accept(token_id)
    return matcher.is_done


def allowed(schema: JsonSchema, *texts: str, strict: bool = False) -> list[str]:
    """Return those of `texts` that the grammar of `schema` allows."""
    return [text for text in texts if allows(schema, text, strict=strict)]
