"""A JSON Schema as the rule of a grammar: how the JSON is written, and what becomes of what the compiler cannot take.

Dicts and text only. Whether a rule compiles is asked of the caller, who has the compiler.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from math import lcm
from typing import Any

from core.conversation import JsonSchema
from core.errors import RequestError
from core.generation import JsonRule
from json_schema.walk import bare, closed, nodes, without_unknown_formats

FaultOf = Callable[[str], str]  # the body of a rule -> why it does not compile, empty if it does

_MAX_DEPTH = 64  # native code recurses once per level, and a stack overflow would take the server with it
_MAX_VALUES = 100_000
_MAX_MULTIPLE = 10_000  # as many automaton states; 10,000,003 took the compiler 110 s and 4 GB
_MAX_RESTORED = 24  # keywords tried again one by one
# As trained, and no room for endless whitespace. Only what JSON must escape is escaped.
_SPACING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
# What may go, the most likely culprits first. Keywords that are not implemented at all the compiler skips by itself.
_DROPPABLE = (
    ("pattern",),
    ("format",),
    ("patternProperties",),
    ("minProperties", "maxProperties"),
    ("multipleOf",),
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("$ref",),
    ("allOf",),
    ("required",),
    ("anyOf", "oneOf"),
    ("enum", "const"),
    ("prefixItems", "items", "additionalProperties"),
)
_HARD_TO_READ = frozenset(key for group in _DROPPABLE[:8] for key in group)


def bounded(rule: JsonRule) -> JsonRule:
    """The rule, if it can be walked and written; what is too big for that is refused or, if not strict, dropped."""
    hazard = _size_hazard(rule.schema)
    if hazard and rule.strict:
        raise refusal(rule, hazard)
    return replace(rule, schema=_root_type(rule)) if hazard else rule


def body(rule: JsonRule) -> str:
    """What stands behind the name of a bounded rule. Raises RequestError for a strict one unfit for native code."""
    schema = without_unknown_formats(bare(rule.schema)) if rule.strict else closed(bare(rule.schema))
    hazards = [(node, key, why) for node in nodes(schema) for key, why in _hazards(node)]
    multiple = _common_multiple(schema)
    if multiple > _MAX_MULTIPLE:
        why = f"'multipleOf' needs numbers up to {_MAX_MULTIPLE}"
        hazards += [(node, "multipleOf", why) for node in nodes(schema) if "multipleOf" in node]
    if hazards and rule.strict:
        raise refusal(rule, hazards[0][2])
    for node, key, _ in hazards:
        node.pop(key, None)
    return _written(schema, lenient=not rule.strict)


def settled(rule: JsonRule, fault_of: FaultOf, deadline: float) -> str:
    """The body of `rule` that compiles. Raises RequestError if it is strict and does not.

    Of a rule that is not strict it drops as few keywords as it can find out until `deadline` (time.monotonic).
    """
    text = body(rule)
    fault = fault_of(text) if time.monotonic() < deadline else "it is too large to compile in time"
    if not fault:
        return text
    if rule.strict:
        raise refusal(rule, fault)
    schema = json.loads(text.removeprefix("%json "))
    dropped: list[tuple[int, str]] = []
    for group in _DROPPABLE:
        dropped += [(at, key) for at, node in enumerate(nodes(schema)) for key in group if key in node]
        if time.monotonic() > deadline:
            break
        if not fault_of(_written(_without(schema, dropped))):
            return _written(_without(schema, _fewest(schema, dropped, fault_of, deadline)))
    return _written(_root_type(rule))


def loosened(rule: JsonRule) -> str:
    """The body of a rule that is not strict, without all that can blow up while a value is being written."""
    schema = json.loads(body(rule).removeprefix("%json "))
    return _written(
        _without(schema, [(at, key) for at, node in enumerate(nodes(schema)) for key in _HARD_TO_READ & node.keys()])
    )


def refusal(rule: JsonRule, reason: str) -> RequestError:
    """`reason` is our own sentence or the compiler's report, whose first line says enough."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()] or ["it cannot be compiled"]
    parse_error = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "")
    sentence = re.sub(r"^at \d+\(\d+\): |failed to compile JSON schema: ", "", lines[0])
    return RequestError(
        f"Invalid schema for {rule.owner[:100]}: {parse_error or sentence}"[:400].rstrip(".") + ".",
        rule.param,
        rule.code,
    )


def _written(schema: object, *, lenient: bool = True) -> str:
    options = {**_SPACING, "lenient": lenient}
    return "%json " + json.dumps({**schema, "x-guidance": options} if isinstance(schema, dict) else schema)


def _root_type(rule: JsonRule) -> JsonSchema:
    """What is left of a schema when all else fails."""
    kind = rule.schema.get("type")
    return {"type": kind} if isinstance(kind, str) else {}


# Hazards: what native code must not see


def _size_hazard(schema: object) -> str:
    """Why `schema` is too big, data included; empty if it is not."""
    todo: list[tuple[Any, int]] = [(schema, 0)]
    num_nodes = 0
    while todo:
        value, depth = todo.pop()
        num_nodes += 1
        if num_nodes > _MAX_VALUES:
            return f"it has more than {_MAX_VALUES} values"
        if depth > 2 * _MAX_DEPTH:  # a level of schemas is two of JSON, as in {"properties": {"x": {...}}}
            return f"it nests deeper than {_MAX_DEPTH} levels"
        if isinstance(value, dict | list):
            todo += [(child, depth + 1) for child in (value.values() if isinstance(value, dict) else value)]
    return ""


def _hazards(node: JsonSchema) -> Iterator[tuple[str, str]]:
    for key in ("$ref", "$dynamicRef", "$recursiveRef"):
        if key in node and not str(node[key]).startswith("#"):
            yield key, f"'{key}' must point into the same schema ('#/...')"


def _common_multiple(schema: object) -> int:
    """The least common multiple of all `multipleOf`: more than any single number can be asked to obey."""
    multiple = 1
    for node in nodes(schema):
        number = node.get("multipleOf")
        if isinstance(number, int | float) and 0 < number < 1e15:
            digits = int("".join(map(str, Decimal(str(number)).normalize().as_tuple().digits)))
            multiple = lcm(multiple, digits)
        elif number is not None:
            return _MAX_MULTIPLE + 1
    return multiple


# Dropping keywords


def _without(schema: JsonSchema, dropped: Sequence[tuple[int, str]]) -> JsonSchema:
    """A copy without these keywords of these nodes, counted in document order."""
    copy = deepcopy(schema)
    numbered = list(nodes(copy))
    for at, key in dropped:
        numbered[at].pop(key, None)
    return copy


def _fewest(
    schema: JsonSchema, dropped: Sequence[tuple[int, str]], fault_of: FaultOf, deadline: float
) -> list[tuple[int, str]]:
    """`dropped` without those that do no harm."""
    kept = list(dropped)
    for one in dropped[:_MAX_RESTORED]:
        fewer = [other for other in kept if other != one]
        if time.monotonic() < deadline and not fault_of(_written(_without(schema, fewer))):
            kept = fewer
    return kept
