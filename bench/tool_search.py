"""Measure how well `agent.search` finds the functions that questions need: `python -m bench.tool_search --tools FILE`.

FILE is .jsonl or .jsonl.xz and has one function a line: {"source", "name", "description", "parameters"}.
tool_questions.jsonl has the questions, each with its function and with others of the file that serve it as well; those
with "earlier" follow another question. The search was tuned on every second question; the others are reported apart.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from agent import search
from client.json_lines import read_objects
from core.conversation import Function, Message

QUESTIONS = Path(__file__).with_name("tool_questions.jsonl")
LIMITS = (5, 10, 20)
Json = dict[str, Any]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.tool_search", description=__doc__.partition("\n")[0])
    parser.add_argument("--tools", type=Path, required=True, metavar="FILE", help="functions, one JSON object a line")
    parser.add_argument("--failures", action="store_true", help="list the questions whose function is not among ten")
    options = parser.parse_args()
    rows = list(_rows(options.tools))
    questions = [one for one in _rows(QUESTIONS) if "earlier" not in one]
    followups = [one for one in _rows(QUESTIONS) if "earlier" in one]
    named = [_function(row, f"{_word(row['source'])}__{row['name']}") for row in rows]
    bare = [_function(row, row["name"]) for row in rows]
    print(f"{len(rows)} functions of {len({row['source'] for row in rows})} sources, {len(questions)} questions\n")
    print(_recall("SOURCE__NAME", rows, named, questions))
    print(_recall("NAME", rows, bare, questions))
    print(_second_questions("that continue the first", rows, named, followups))
    others = [
        {**question, "earlier": first["question"]}
        for first, question in zip(questions, [*questions[100:], *questions[:100]], strict=True)
    ]
    print(_second_questions("on another subject", rows, named, others))
    print(_times(named, questions))
    if options.failures:
        print("\n".join(_failures(rows, named, questions)))


def _rows(file: Path) -> Iterable[Json]:
    return (row for row, _ in read_objects(file))


def _word(source: str) -> str:
    return re.sub(r"\W+", "-", source).strip("-")


def _function(row: Json, name: str) -> Function:
    return Function(name, row["description"] or "", row["parameters"])


def _right(rows: Sequence[Json], question: Json) -> set[int]:
    """Return the places of the functions that serve a question. Raises ValueError if the file lacks its function."""
    known = {f"{question['source']}/{question['name']}", *question["also_right"]}
    places = {place for place, row in enumerate(rows) if f"{row['source']}/{row['name']}" in known}
    if not places:
        raise ValueError(f"the file of functions lacks {question['source']}/{question['name']}")
    return places


def _rank(index: search.Index, right: set[int], text: str) -> int:
    order = (-index.scores(text)).argsort(kind="stable")
    return next(rank for rank, place in enumerate(order, 1) if int(place) in right)


def _recall(title: str, rows: Sequence[Json], functions: Sequence[Function], questions: Sequence[Json]) -> str:
    index = search.Index(functions)
    ranks = [_rank(index, _right(rows, question), question["question"]) for question in questions]

    def share(some: Sequence[int]) -> str:
        return " ".join(f"| {sum(rank <= limit for rank in some) / len(some):.1%}" for limit in LIMITS)

    lines = [
        f"| names {title} | at 5 | at 10 | at 20 |\n|---|---|---|---|",
        f"| tuned on (odd) {share(ranks[::2])} |",
        f"| held out (even) {share(ranks[1::2])} |",
        f"| all {share(ranks)} |",
    ]
    return "\n".join(lines) + "\n"


def _failures(rows: Sequence[Json], functions: Sequence[Function], questions: Sequence[Json]) -> Iterable[str]:
    index = search.Index(functions)
    for number, question in enumerate(questions, 1):
        rank = _rank(index, _right(rows, question), question["question"])
        if rank > search.USUAL_LIMIT:
            half = "held out" if number % 2 == 0 else "tuned on"
            yield f"| {half} | {rank} | {question['question']} | {question['source']}/{question['name']} |"


def _second_questions(
    title: str, rows: Sequence[Json], functions: Sequence[Function], questions: Sequence[Json]
) -> str:
    """Return how often the second question's function is shown, and what is left of the first question's list."""
    num_found = num_same = num_kept = 0
    for question in questions:
        first = Message("user", question["earlier"])
        before = search.narrowed(functions, [first], search.USUAL_LIMIT)
        messages = [first, Message("assistant", "Done."), Message("user", question["question"])]
        after = search.narrowed(functions, messages, search.USUAL_LIMIT)
        names = {functions[place].name for place in _right(rows, question)}
        num_found += any(tool.name in names for tool in after)
        num_same += after == before
        num_kept += _num_common(before, after)
    share = f"{num_found / len(questions):.1%} of {len(questions)} second questions {title} are shown their function"
    kept = f"{num_kept / len(questions):.1f} of {search.USUAL_LIMIT} functions stay before the first change"
    return f"{share}; {kept}; {num_same / len(questions):.1%} of the lists do not change\n"


def _num_common(before: Sequence[object], after: Sequence[object]) -> int:
    same = [one == other for one, other in zip(before, after, strict=True)]
    return same.index(False) if False in same else len(same)


def _times(functions: Sequence[Function], questions: Sequence[Json]) -> str:
    made = _milliseconds([lambda: search.Index(functions)] * 5)
    search.narrowed(functions, [Message("user", "first")], search.USUAL_LIMIT)
    copies = [Function(one.name, one.description, dict(one.parameters or {})) for one in functions]  # a new request
    asked = [
        lambda text=question["question"]: search.narrowed(copies, [Message("user", text)], search.USUAL_LIMIT)
        for question in questions
    ]
    return f"index {made:.0f} ms, once for a set of functions; query {_milliseconds(asked):.2f} ms (medians)"


def _milliseconds(runs: Sequence[Callable[[], object]]) -> float:
    seconds: list[float] = []
    for run in runs:
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    main()
