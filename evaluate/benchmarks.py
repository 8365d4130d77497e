"""Defines the benchmarks, one class each: which rows of the files are used, and what is measured on the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mean

from client.endpoints import Answer
from client.json_lines import FileError, Json
from client.rows import Row
from evaluate.calls import Score, metrics, score
from evaluate.intervals import Figure, wilson
from evaluate.rows import read_questions

MAX_TOKENS = {"sealtools_out_domain": 512}  # its rows need up to six calls
DEFAULT_MAX_TOKENS = 256  # a longer answer is most likely a loop without an end
NGRAM = 4  # number of words in a sequence; a text without a loop seldom repeats so many


class CallSet:
    """The rows of one or several files. `faults` has a message for each line that is not a row."""

    def __init__(self, *paths: Path, name: str = "") -> None:
        self.name = name or paths[0].name.removesuffix(".xz").removesuffix(".jsonl")
        self.faults: list[str] = []
        self.rows: list[Row] = []
        for path in paths:
            rows, faults = read_questions(path)
            self.rows += self.chosen(rows)
            self.faults += faults
        if not self.rows:
            first = f"; the first fault: {self.faults[0]}" if self.faults else ""
            raise FileError(f"{', '.join(map(str, paths))}: no row to ask{first}")

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS.get(self.name, DEFAULT_MAX_TOKENS)

    def chosen(self, rows: list[Row]) -> list[Row]:
        """Return those rows of a file that belong to the set."""
        return rows

    def parts(self, row: Row) -> Sequence[str]:
        """Name the parts of the set that the row belongs to. Each part gets its own metrics too."""
        return ()

    def sample(self, limit: int | None, seed: int) -> list[Row]:
        """Return the first `limit` rows of a seeded shuffle, or all rows. A larger limit only adds rows."""
        rows = sorted(self.rows, key=lambda row: row.key)  # the order of the file must not matter
        Random(seed).shuffle(rows)
        return rows[:limit]

    def report(self, rows: Sequence[Row], answers: Mapping[str, Answer]) -> Json:
        """Report on those of `rows` that have an answer: metrics, counts of faults and the outcome of each row."""
        scored = [(row, score(row, answers[row.key])) for row in rows if row.key in answers]
        by_part: dict[str, list[Score]] = {}
        for row, one in scored:
            for part in self.parts(row):
                by_part.setdefault(part, []).append(one)
        given = [answers[row.key] for row, _ in scored]
        return {
            "num_rows": len(scored),
            "num_unanswered": len(rows) - len(scored),
            "num_broken": len(self.faults),
            "metrics": _as_json(metrics([one for _, one in scored])),
            "parts": {part: _as_json(metrics(scores)) for part, scores in sorted(by_part.items())},
            "faults": dict(Counter(one.fault for _, one in scored if one.fault).most_common()),
            "rows": {row.key: one.fault or "right" for row, one in scored},
            "finish_reasons": dict(Counter(answer.finish_reason or "none" for answer in given).most_common()),
            "completion_tokens": sum(answer.completion_tokens for answer in given),
            "seconds": round(sum(answer.seconds for answer in given), 2),
        }


class NoCallSet(CallSet):
    """Rows of other sets that expect one call. The function of that call is removed, so the right answer is no call.

    Every row keeps at least one other function. Compare the result with `call_rate` of the original sets: a model that
    never calls is perfect on this set and has a `call_rate` of 0; a model that always calls gets 0 on this set and has
    a perfect `call_rate`.
    """

    def __init__(self, *paths: Path, name: str = "no_call") -> None:
        super().__init__(*paths, name=name)

    def chosen(self, rows: list[Row]) -> list[Row]:
        return [without for row in rows if len(row.expected) == 1 and (without := _without_expected(row)).functions]


def _without_expected(row: Row) -> Row:
    name = row.expected[0].name
    return replace(row, functions=tuple(one for one in row.functions if one.name != name), expected=())


class Everyday(CallSet):
    """`examples/everyday.jsonl`: 50 hand-written requests for 25 functions, none of which is in any training data.

    The embedded model must do well on this set, since its requests are easy: few functions, plain words, one or two
    calls.
    """

    def parts(self, row: Row) -> Sequence[str]:
        return ({0: "no call", 1: "one call"}.get(len(row.expected), "several calls"),)


class SgdNextCall(CallSet):
    """Task-oriented dialogues, each up to the next call of a service.

    Rastogi et al., "Towards Scalable Multi-domain Conversational Agents: The Schema-Guided Dialogue Dataset", AAAI 2020
    (arXiv 1909.05855). As in the paper, services with and without training dialogues are measured separately;
    `meta.unseen_service` is true for services without training dialogues.
    """

    def parts(self, row: Row) -> Sequence[str]:
        return ("unseen services" if row.meta.get("unseen_service") else "seen services",)


class ChatSet(CallSet):
    """Plain chat without functions. Training for calls may have damaged a model's chat.

    The report counts calls and empty answers, and measures length and repetition.
    """

    def report(self, rows: Sequence[Row], answers: Mapping[str, Answer]) -> Json:
        report = super().report(rows, answers)
        given = [answers[row.key] for row in rows if row.key in answers]
        texts = [answer.text for answer in given]
        if given:
            empty = wilson(sum(not text.strip() for text in texts), len(texts))
            report["metrics"]["empty"] = empty.as_json()
            report["mean_words"] = round(mean(len(text.split()) for text in texts), 2)
            report["mean_repetition"] = round(mean(map(repetition, texts)), 4)
        return report


def repetition(text: str) -> float:
    """Return the share, from 0 to 1, of a text's sequences of four words that occur earlier in the text."""
    words = text.casefold().split()
    runs = [tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _as_json(figures: Mapping[str, Figure]) -> Json:
    return {name: figure.as_json() for name, figure in figures.items()}
