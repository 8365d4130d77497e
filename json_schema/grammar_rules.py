"""Write a JSON Schema as a grammar rule, with fixed whitespace and without the keywords that do not compile.

This module does not know the grammar compiler: its caller passes a function that reports why a rule does not compile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from core.conversation import JsonSchema
from core.errors import RequestError
from core.generation import JsonRule
from json_schema.binding.bind import Bound, TooLarge, bind
from json_schema.errors import Subject, not_enforced
from json_schema.walk import MAX_DEPTH, Context, nests_deeply, nodes

FaultOf = Callable[[str], str]  # the body of a rule -> why it does not compile, "" if it does

_MAX_VALUES = 100_000
_MAX_RESTORED = 24  # dropped keywords that `_fewest` tries to restore, one by one
# The whitespace of the training data. No whitespace is optional, because a model could repeat it endlessly.
_SPACING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False, "lenient": False}
# Keywords that the compiler may reject, in the order in which they are dropped at their place. Lengths come before the
# pattern: together they often exceed a limit, and the pattern says more.
_LENGTHS = ("minLength", "maxLength")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LOCAL = (_LENGTHS, ("allOf",), ("format",), ("pattern",), ("multipleOf",), _BOUNDS)
_OF_OBJECTS = (("minProperties", "maxProperties"), ("patternProperties",))
_SIZES = (("minItems", "maxItems"),)
_COSTLY = frozenset(key for group in (*_LOCAL, *_OF_OBJECTS, *_SIZES) for key in group)
# If the schema still does not compile as a whole, these go everywhere, one group after the other.
_EVERYWHERE = (
    *(_LENGTHS, ("multipleOf",), ("allOf", "pattern", "format"), _BOUNDS, *_OF_OBJECTS, *_SIZES),
    *(("enum",), ("prefixItems", "items"), ("required",), ("anyOf",)),
)


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

    Raises RequestError if no value satisfies the schema. If the rule is strict, also if a keyword cannot be enforced.
    """
    return _written(_bound(rule).schema)


def bound_schema(rule: JsonRule) -> JsonSchema:
    """Return the schema of `rule` as the compiler gets it: an object or `anyOf` objects. Raises RequestError."""
    return _bound(bounded(rule)).schema


def _bound(rule: JsonRule, contradictions: frozenset[Context] = frozenset()) -> Bound:
    try:
        bound = bind(rule.schema, is_strict=rule.strict, contradictions=contradictions)
        if nests_deeply(bound.schema):  # a stack overflow would end the process
            raise TooLarge
    except TooLarge:
        if rule.strict:
            raise uncompilable(rule, "its combinations are too many to compile") from None
        return bind(_root_type(rule), is_strict=False)
    subject = Subject(rule.owner, rule.param, rule.code)
    if bound.never is not None:
        raise subject.error(f"no value satisfies it: {bound.never.why}", bound.never.context)
    if bound.unbound and rule.strict:
        raise not_enforced(subject, bound.unbound[0].keyword, bound.unbound[0].context, bound.unbound[0].why)
    return bound


def settled(rule: JsonRule, fault_of: FaultOf, deadline: float) -> str:
    """Write the body of `rule` so that it compiles. Raises RequestError if the rule is strict and does not compile.

    From a rule that is not strict, keywords are dropped before `deadline` (time.monotonic): first those that do not
    compile on their own, at their place; if that is not enough, whole groups, as few as the search finds.
    """
    bound = _bound(rule)
    is_late = time.monotonic() > deadline
    if not is_late and not fault_of(_written(bound.schema)):
        return _written(bound.schema)
    contradictions = () if is_late else _contradictions(bound, fault_of)
    if contradictions:
        bound = _bound(rule, frozenset(contradictions))
    faults = () if is_late else _local_faults(bound.schema, fault_of, deadline)
    for node, keys in faults:
        if rule.strict:
            subject = Subject(rule.owner, rule.param, rule.code)
            raise not_enforced(
                subject, keys[-1], bound.places.get(id(node), ()), "the grammar compiler does not take it"
            )
        for key in keys:
            del node[key]
    if rule.strict:
        raise uncompilable(rule, "it is too large or too complex for the grammar compiler")
    dropped: list[tuple[int, str]] = []
    for group in ((), *_EVERYWHERE):
        dropped += [(at, key) for at, node in enumerate(nodes(bound.schema)) for key in group if key in node]
        if time.monotonic() > deadline:
            break
        if not fault_of(_written(_without(bound.schema, dropped))):
            return _written(_without(bound.schema, _fewest(bound.schema, dropped, fault_of, deadline)))
    return _written(bind(_root_type(rule), is_strict=False).schema)


def loosened(rule: JsonRule) -> str:
    """Write the body of a rule that is not strict, without the keywords that can exceed the matcher's limits."""
    schema = _bound(rule).schema
    dropped = [(at, key) for at, node in enumerate(nodes(schema)) for key in _COSTLY & node.keys()]
    return _written(_without(schema, dropped))


def uncompilable(rule: JsonRule, reason: str) -> RequestError:
    """Create the error for a strict rule that does not compile. `reason` is our own sentence."""
    return Subject(rule.owner, rule.param, rule.code).error(f"{reason}.")


def _written(schema: JsonSchema) -> str:
    return "%json " + json.dumps({**schema, "x-guidance": _SPACING})


def _root_type(rule: JsonRule) -> JsonSchema:
    """Return the schema reduced to its type."""
    kind = rule.schema.get("type")
    return {"type": kind, "additionalProperties": True} if isinstance(kind, str) else {}


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


# Dropping keywords


def _local_faults(schema: JsonSchema, fault_of: FaultOf, deadline: float) -> Iterator[tuple[JsonSchema, list[str]]]:
    """Yield the schemas that do not compile on their own, each with the fewest of its keywords that are in the way."""
    seen: dict[str, list[str]] = {}
    for node in list(nodes(schema)):
        alone = _alone(node)
        if len(alone) < 2 or time.monotonic() > deadline:
            continue
        text = json.dumps(alone)
        if text not in seen:
            seen[text] = _in_the_way(alone, fault_of)
        if seen[text]:
            yield node, seen[text]


def _contradictions(bound: Bound, fault_of: FaultOf) -> list[Context]:
    """Return the places whose pattern compiles, but matches none of the listed values."""
    return [
        bound.places[id(node)]
        for node in nodes(bound.schema)
        if "enum" in node
        and "pattern" in node
        and fault_of(_written(_alone(node)))
        and not fault_of(_written({"type": "string", "pattern": node["pattern"]}))
    ]


def _alone(node: JsonSchema) -> JsonSchema:
    """Return the part of a schema that a compiler may reject, without the schemas inside."""
    kept = {key: value for key, value in node.items() if key in ("type", "enum", "required") or key in _COSTLY}
    if node.keys() & {"patternProperties", "minProperties", "maxProperties"}:
        kept |= {"properties": {name: {"type": "null"} for name in node.get("properties", {})}}
        kept |= {"additionalProperties": bool(node.get("additionalProperties"))}
    if "patternProperties" in node:
        kept["patternProperties"] = {name: {"type": "null"} for name in node["patternProperties"]}
    return kept if kept.keys() & _COSTLY or "enum" in kept else {}


def _in_the_way(alone: JsonSchema, fault_of: FaultOf) -> list[str]:
    if not fault_of(_written(alone)):
        return []
    groups = [group for group in (*_LOCAL, *_OF_OBJECTS, *_SIZES, ("enum",)) if any(key in alone for key in group)]
    for group in groups:
        if not fault_of(_written({key: value for key, value in alone.items() if key not in group})):
            return [key for key in group if key in alone]
    return [key for group in groups for key in group if key in alone]


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
