"""Computes figures from a judge's verdicts: a mean grade, or how often each of two answers won."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from client.json_lines import Json
from evaluate.intervals import Figure, mean_of, wilson


@dataclass(frozen=True)
class Judgement:
    """A judge's answer about one row.

    key: the key of the row. text: the whole answer. verdict: a grade, "A", "B" or "tie", or None if it could not be
    parsed. is_swapped: the second answer was shown as A.
    """

    key: str
    text: str
    verdict: float | str | None
    is_swapped: bool = False


def single_report(judgements: Sequence[Judgement]) -> Json:
    """Compute the mean grade with a bootstrap interval over rows, and the count of each grade."""
    grades = [float(one.verdict) for one in judgements if one.verdict is not None]
    report: Json = {"num_judged": len(grades), "num_unparsable": len(judgements) - len(grades)}
    if grades:
        report["mean_grade"] = mean_of(grades).as_json()
        report["grades"] = {f"{grade:g}": num for grade, num in sorted(Counter(grades).items())}
    return report


Winner = Literal["first", "second", "tie", "order"]  # the order decided: the judge chose A both times, or B both times


def pairwise_report(judgements: Sequence[Judgement]) -> Json:
    """Count how often each answer won. A pair counts when both verdicts on it could be parsed.

    An answer wins if it wins in both orders. If the verdict changes with the order, the pair is a tie and is also
    counted in `num_turned_with_order`.
    """
    verdicts = {(one.key, one.is_swapped): str(one.verdict) for one in judgements if one.verdict is not None}
    keys = [key for key, is_swapped in verdicts if not is_swapped and (key, True) in verdicts]
    winners = Counter(winner(verdicts[key, False], verdicts[key, True]) for key in keys)
    report: Json = {
        "num_judged": len(keys),
        "num_unparsable": sum(one.verdict is None for one in judgements),
        "num_turned_with_order": winners["order"],
    }
    decided = winners["first"] + winners["second"]
    counted = {"first": winners["first"], "second": winners["second"], "tie": len(keys) - decided}
    if keys:
        report["shares"] = {name: wilson(num, len(keys)).as_json() for name, num in counted.items()}
    if decided:
        report["first_of_decided"] = wilson(winners["first"], decided).as_json()
    return report


def winner(as_given: str, swapped: str) -> Winner:
    """Find the winner from two verdicts on one pair. For `swapped`, the first answer was shown as B."""
    match as_given, swapped:
        case "A", "B":
            return "first"
        case "B", "A":
            return "second"
        case ("A", "A") | ("B", "B"):
            return "order"
    return "tie"


def shown(kind: str, judge: str, names: Sequence[str], report: Json) -> str:
    """Write the report as lines of text for the terminal."""
    lines = [f"judge: {judge}; judged: {' against '.join(names)}"]
    if kind == "single" and "mean_grade" in report:
        grade = Figure(**report["mean_grade"])
        lines.append(f"mean grade {grade.value:.2f} ({grade.low:.2f}-{grade.high:.2f}) of 10 over {grade.n} answers")
    for place, share in report.get("shares", {}).items():
        note = {"first": f"{names[0]} wins", "second": f"{names[-1]} wins", "tie": "tie"}[place]
        lines.append(f"{note}: {Figure(**share).shown()} % of {report['num_judged']} pairs")
    if "first_of_decided" in report:
        lines.append(f"without ties, {names[0]} wins: {Figure(**report['first_of_decided']).shown()} %")
    if kind == "pairwise":
        lines.append(f"verdicts that turned with the order: {report['num_turned_with_order']}, counted as ties")
    lines.append(f"unparsable verdicts: {report['num_unparsable']}; without an answer: {report['num_unanswered']}")
    return "\n".join(lines)
