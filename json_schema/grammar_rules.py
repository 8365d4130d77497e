"""Write a JSON Schema as a grammar rule, with fixed whitespace and without the keywords that do not compile.

This module does not know the grammar compiler: its caller passes a function that reports why a rule does not compile.
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
from json_schema.closing import close
from json_schema.errors import Subject
from json_schema.walk import KEYWORDS, MAX_DEPTH, nodes

FaultOf = Callable[[str], str]  # the body of a rule -> why it does not compile, "" if it does

_ANNOTATIONS = frozenset(key for key, keyword in KEYWORDS.items() if keyword.is_annotation)
_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"])

_MAX_VALUES = 100_000
_MAX_MULTIPLE = 10_000  # the automaton has this many states; 10,000,003 took the compiler 110 s and 4 GB
_MAX_RESTORED = 24  # dropped keywords that `_fewest` tries to restore, one by one
_MAX_REASON = 360  # characters of the compiler's report
# The whitespace of the training data. No whitespace is optional, because a model could repeat it endlessly.
_SPACING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
# The keywords to drop if a schema does not compile, most likely causes first. The compiler ignores unknown keywords.
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
_COSTLY = frozenset(key for group in _DROPPABLE[:8] for key in group)


def bounded(rule: JsonRule) -> JsonRule:
    """Return `rule` with a schema that is small enough to copy and to compile.

    A schema that is too large is reduced to its type. If the rule is strict, raises RequestError instead.
    """
    hazard = _size_hazard(rule.schema)
    if hazard and rule.strict:
        raise uncompilable(rule, hazard)
    return replace(rule, schema=_root_type(rule)) if hazard else rule


def body(rule: JsonRule) -> str:
    """Write the body of a rule that `bounded` returned: the text after the rule's name in the grammar.

    Keywords that would harm the native compiler are dropped. If the rule is strict, raises RequestError instead.
    """
    schema = deepcopy(rule.schema)
    parts = list(nodes(schema))
    _drop_annotations(parts)
    if rule.strict:
        _drop_unknown_formats(parts)
    else:
        close(schema, parts)
    hazards = [(node, key, why) for node in parts for key, why in _hazards(node)]
    if _common_multiple(parts) > _MAX_MULTIPLE:
        why = f"'multipleOf' needs numbers up to {_MAX_MULTIPLE}"
        hazards += [(node, "multipleOf", why) for node in parts if "multipleOf" in node]
    if hazards and rule.strict:
        raise uncompilable(rule, hazards[0][2])
    for node, key, _ in hazards:
        node.pop(key, None)
    return _written(schema, lenient=not rule.strict)


def settled(rule: JsonRule, fault_of: FaultOf, deadline: float) -> str:
    """Write the body of `rule` so that it compiles. Raises RequestError if the rule is strict and does not compile.

    From a rule that is not strict, keywords are dropped: as few as the search finds before `deadline` (time.monotonic).
    """
    text = body(rule)
    fault = fault_of(text) if time.monotonic() < deadline else "it is too large to compile in time"
    if not fault:
        return text
    if rule.strict:
        raise uncompilable(rule, fault)
    schema = json.loads(text.removeprefix("%json "))
    parts = list(nodes(schema))
    dropped: list[tuple[int, str]] = []
    for group in _DROPPABLE:
        dropped += [(at, key) for at, node in enumerate(parts) for key in group if key in node]
        if time.monotonic() > deadline:
            break
        if not fault_of(_written(_without(schema, dropped))):
            return _written(_without(schema, _fewest(schema, dropped, fault_of, deadline)))
    return _written(_root_type(rule))


def loosened(rule: JsonRule) -> str:
    """Write the body of a rule that is not strict, without the keywords that can exceed the matcher's limits."""
    schema = json.loads(body(rule).removeprefix("%json "))
    dropped = [(at, key) for at, node in enumerate(nodes(schema)) for key in _COSTLY & node.keys()]
    return _written(_without(schema, dropped))


def uncompilable(rule: JsonRule, reason: str) -> RequestError:
    """Create the error for a strict rule that does not compile. It shows one line of `reason`."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()] or ["it cannot be compiled"]
    parse_error = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "")
    sentence = re.sub(r"^at \d+\(\d+\): |failed to compile JSON schema: ", "", lines[0])
    shown = (parse_error or sentence)[:_MAX_REASON].rstrip(".")
    return Subject(rule.owner, rule.param, rule.code).error(f"{shown}.")


def _written(schema: object, *, lenient: bool = True) -> str:
    options = {**_SPACING, "lenient": lenient}
    return "%json " + json.dumps({**schema, "x-guidance": options} if isinstance(schema, dict) else schema)


def _root_type(rule: JsonRule) -> JsonSchema:
    """Return the schema reduced to its type."""
    kind = rule.schema.get("type")
    return {"type": kind} if isinstance(kind, str) else {}


# Keywords that do not restrict values


def _drop_annotations(parts: Sequence[JsonSchema]) -> None:
    for node in parts:
        for key in _ANNOTATIONS & node.keys():
            del node[key]


def _drop_unknown_formats(parts: Sequence[JsonSchema]) -> None:
    """Drop formats that the compiler does not know, such as pydantic's "path": by JSON Schema they are annotations."""
    for node in parts:
        if node.get("format") not in _FORMATS:
            node.pop("format", None)


# Hazards: schemas that would harm the native compiler


def _size_hazard(schema: object) -> str:
    """Return why `schema` is too big, counting all JSON values in it; "" if it is not."""
    todo: list[tuple[Any, int]] = [(schema, 0)]
    num_nodes = 0
    while todo:
        value, depth = todo.pop()
        num_nodes += 1
        if num_nodes > _MAX_VALUES:
            return f"it has more than {_MAX_VALUES} values"
        if depth > 2 * MAX_DEPTH:  # one level of schemas takes two of JSON, as in {"properties": {"x": {...}}}
            return f"it nests deeper than {MAX_DEPTH} levels"
        if isinstance(value, dict | list):
            todo += [(child, depth + 1) for child in (value.values() if isinstance(value, dict) else value)]
    return ""


def _hazards(node: JsonSchema) -> Iterator[tuple[str, str]]:
    for key in ("$ref", "$dynamicRef", "$recursiveRef"):
        if key in node and not str(node[key]).startswith("#"):
            yield key, f"'{key}' must point into the same schema ('#/...')"


def _common_multiple(parts: Sequence[JsonSchema]) -> int:
    """Return the least common multiple of all `multipleOf`, the worst case if they all apply to one number."""
    multiple = 1
    for node in parts:
        number = node.get("multipleOf")
        if isinstance(number, int | float) and 0 < number < 1e15:
            digits = int("".join(map(str, Decimal(str(number)).normalize().as_tuple().digits)))
            multiple = lcm(multiple, digits)
        elif number is not None:
            return _MAX_MULTIPLE + 1
    return multiple


# Dropping keywords


def _without(schema: JsonSchema, dropped: Sequence[tuple[int, str]]) -> JsonSchema:
    """Return a copy of `schema` without some keywords.

    `dropped` names each keyword by the index of its schema in document order, and its key.
    """
    copy = deepcopy(schema)
    numbered = list(nodes(copy))
    for at, key in dropped:
        numbered[at].pop(key, None)
    return copy


def _fewest(
    schema: JsonSchema, dropped: Sequence[tuple[int, str]], fault_of: FaultOf, deadline: float
) -> list[tuple[int, str]]:
    """Return `dropped` without the keywords that can be restored one by one while the rule still compiles."""
    kept = list(dropped)
    for one in dropped[:_MAX_RESTORED]:
        fewer = [other for other in kept if other != one]
        if time.monotonic() < deadline and not fault_of(_written(_without(schema, fewer))):
            kept = fewer
    return kept
