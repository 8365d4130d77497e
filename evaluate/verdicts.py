"""Verdicts of a judge -> figures: a mean grade, or how often which of two won."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from client.json_lines import Json
from evaluate.intervals import Figure, mean_of, wilson


@dataclass(frozen=True)
class Judgement:
    """What a judge wrote on one row. `verdict` is a grade, "A", "B" or "tie"; None where it could not be read.

    is_swapped: the second answer was shown as A.
    """

    key: str
    text: str
    verdict: float | str | None
    is_swapped: bool = False


def single_report(judgements: Sequence[Judgement]) -> Json:
    """The mean grade, its interval by bootstrap over rows, and how often each grade was given."""
    grades = [float(one.verdict) for one in judgements if one.verdict is not None]
    report: Json = {"num_judged": len(grades), "num_unparsable": len(judgements) - len(grades)}
    if grades:
        report["mean_grade"] = mean_of(grades).as_json()
        report["grades"] = {f"{grade:g}": num for grade, num in sorted(Counter(grades).items())}
    return report


Winner = Literal["first", "second", "tie", "order"]  # order: each time the one shown first, or each time the other


def pairwise_report(judgements: Sequence[Judgement]) -> Json:
    """How often which answer won; a pair counts when both its verdicts could be read.

    A win needs both orders to agree. A verdict that turns with the order is a tie, and counted by itself too.
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
    """Of two verdicts on one pair; in the second the first answer was B."""
    match as_given, swapped:
        case "A", "B":
            return "first"
        case "B", "A":
            return "second"
        case ("A", "A") | ("B", "B"):
            return "order"
    return "tie"


def shown(kind: str, judge: str, names: Sequence[str], report: Json) -> str:
    """The report as a few lines of text."""
    lines = [f"judge: {judge}; judged: {' against '.join(names)}"]
    if kind == "single" and "mean_grade" in report:
        grade = Figure(**report["mean_grade"])
        lines.append(f"mean grade {grade.value:.2f} ({grade.low:.2f}-{grade.high:.2f}) of 10 over {grade.n} answers")
    for place, share in report.get("shares", {}).items():
        told = {"first": f"{names[0]} wins", "second": f"{names[-1]} wins", "tie": "tie"}[place]
        lines.append(f"{told}: {Figure(**share).shown()} % of {report['num_judged']} pairs")
    if "first_of_decided" in report:
        lines.append(f"without ties, {names[0]} wins: {Figure(**report['first_of_decided']).shown()} %")
    if kind == "pairwise":
        lines.append(f"verdicts that turned with the order: {report['num_turned_with_order']}, counted as ties")
    lines.append(f"unparsable verdicts: {report['num_unparsable']}; without an answer: {report['num_unanswered']}")
    return "\n".join(lines)
