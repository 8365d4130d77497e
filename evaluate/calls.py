"""Compares answered calls with expected calls: computes a Score for each row, and metrics for a set.

Numbers are compared by value (5 = 5.0), strings regardless of case and surrounding whitespace, lists in order, objects
by key. The order of the calls in one turn does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from client.endpoints import Answer
from client.json_lines import Json
from client.rows import Row, call_fault, parse_arguments
from core.conversation import Call
from evaluate.intervals import Figure, f1, wilson


class Parsed(NamedTuple):
    """A call with its parsed arguments."""

    name: str
    arguments: Json


class Overlap(NamedTuple):
    """The sizes of two multisets and of their intersection."""

    both: int
    expected: int
    answered: int


@dataclass(frozen=True)
class Score:
    """The comparison of one answer with the expected calls. `fault` is the class of mistake, "" for an exact match."""

    expects_calls: bool
    has_error: bool
    num_expected: int
    num_calls: int
    num_valid_json: int
    num_schema_valid: int
    names: Overlap
    arguments: Overlap
    fault: str

    @property
    def is_exact(self) -> bool:
        return not self.fault


def score(row: Row, answer: Answer) -> Score:
    """Compare an answer with the expected calls of its row."""
    expected = parsed(row.expected)
    valid = parsed(answer.calls)
    names = [call.name for call in answer.calls]
    return Score(
        expects_calls=bool(expected),
        has_error=bool(answer.error),
        num_expected=len(expected),
        num_calls=len(names),
        num_valid_json=len(valid),
        num_schema_valid=sum(not call_fault(row.functions, *call) for call in valid),
        names=_overlap((call.name for call in expected), names),
        arguments=_overlap(_triples(expected), _triples(valid)),
        fault="refused" if answer.error else _fault(expected, names, valid),
    )


def parsed(calls: Iterable[Call]) -> list[Parsed]:
    """Parse the arguments of calls. Calls whose arguments are no JSON object are left out."""
    found = []
    for call in calls:
        with suppress(ValueError):
            found.append(Parsed(call.name, parse_arguments(call)))
    return found


def metrics(scores: Sequence[Score]) -> dict[str, Figure]:
    """Compute all metrics that the rows allow, by name. Rates have Wilson's interval, F1 a bootstrap interval."""
    calling = [score for score in scores if score.expects_calls]
    others = [score for score in scores if not score.expects_calls]
    num_calls = sum(score.num_calls for score in scores)
    figures = {
        "exact_match": _rate(calling, lambda score: score.is_exact),
        "name_f1": f1([score.names for score in calling]),
        "args_f1": f1([score.arguments for score in calling]),
        "call_count": _rate(calling, lambda score: score.num_calls == score.num_expected and not score.has_error),
        "call_rate": _rate(calling, lambda score: score.num_calls > 0),
        "no_call": _rate(others, lambda score: score.is_exact),
        "valid_json": wilson(sum(score.num_valid_json for score in scores), num_calls) if num_calls else None,
        "schema_valid": wilson(sum(score.num_schema_valid for score in scores), num_calls) if num_calls else None,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def normalised(value: object) -> Hashable:
    """Convert a JSON value so that `==` on two results says whether the metrics treat the two values as the same.

    A number never equals a boolean, although Python says that 1 == True.
    """
    match value:
        case bool() | None:
            return ("word", value)
        case int() | float():
            return ("number", value)
        case str():
            return ("text", value.casefold().strip())
        case list():
            return ("list", tuple(normalised(item) for item in value))
        case dict():
            return ("object", frozenset((key, normalised(item)) for key, item in value.items()))
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def _rate(scores: Sequence[Score], is_right: Callable[[Score], bool]) -> Figure | None:
    return wilson(sum(map(is_right, scores)), len(scores)) if scores else None


def _overlap(expected: Iterable[Hashable], answered: Iterable[Hashable]) -> Overlap:
    left, right = Counter(expected), Counter(answered)
    return Overlap((left & right).total(), left.total(), right.total())


def _triples(calls: Iterable[Parsed]) -> Iterable[Hashable]:
    return ((call.name, key, normalised(value)) for call in calls for key, value in call.arguments.items())


def _fault(expected: Sequence[Parsed], names: Sequence[str], valid: Sequence[Parsed]) -> str:
    """Return the first class of mistake that applies, or "" for an exact match.

    names: the function names of all answered calls. valid: the answered calls whose arguments are a JSON object.
    """
    if not expected:
        return "unwanted call" if names else ""
    if not names:
        return "no call"
    if len(valid) < len(names):
        return "invalid JSON"
    if len(names) != len(expected):
        return "too few calls" if len(names) < len(expected) else "too many calls"
    if Counter(call.name for call in expected) != Counter(names):
        return "wrong function"
    return _argument_fault(expected, valid)


def _argument_fault(expected: Sequence[Parsed], answered: Sequence[Parsed]) -> str:
    """Return the class of mistake in the arguments, or "" if all are equal. Both lists call the same functions.

    Equal calls are paired first. The remaining calls of each function are then paired in order.
    """
    left = [(call.name, normalised(call.arguments), call) for call in expected]
    right = [(call.name, normalised(call.arguments), call) for call in answered]
    for item in list(left):
        for other in right:
            if item[:2] == other[:2]:
                left.remove(item)
                right.remove(other)
                break
    pairs = zip(sorted(left, key=lambda item: item[0]), sorted(right, key=lambda item: item[0]), strict=True)
    keys = [(set(wanted[2].arguments), set(given[2].arguments)) for wanted, given in pairs]
    if any(wanted - given for wanted, given in keys):
        return "missing argument"
    if any(given - wanted for wanted, given in keys):
        return "extra argument"
    return "wrong value" if keys else ""
