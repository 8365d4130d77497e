"""A set of questions that calls answer, in a file of rows; and the class that each kind of file gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from evaluate.calls import Answer, Score, metrics, score
from evaluate.intervals import Figure
from evaluate.rows import Json, Row, SetError, read_rows

MAX_TOKENS = {"sealtools_out_domain": 512}  # up to six calls a row; elsewhere a longer answer is a runaway
DEFAULT_MAX_TOKENS = 256


class CallSet:
    """The rows of one or several files; `faults` are the lines that are no rows. Raises SetError if none is left."""

    def __init__(self, *paths: Path, name: str = "") -> None:
        self.name = name or paths[0].name.removesuffix(".xz").removesuffix(".jsonl")
        self.faults: list[str] = []
        self.rows: list[Row] = []
        for path in paths:
            rows, faults = read_rows(path)
            self.rows += self.chosen(rows)
            self.faults += faults
        if not self.rows:
            first = f"; the first fault: {self.faults[0]}" if self.faults else ""
            raise SetError(f"{', '.join(map(str, paths))}: no row to ask{first}")

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS.get(self.name, DEFAULT_MAX_TOKENS)

    def chosen(self, rows: list[Row]) -> list[Row]:
        """The rows of a file that belong to the set."""
        return rows

    def parts(self, row: Row) -> Sequence[str]:
        """Named parts of the set, to be measured by themselves too, in which the row lies."""
        return ()

    def sample(self, limit: int | None, seed: int) -> list[Row]:
        """The first `limit` rows of a seeded shuffle, or all. A larger limit asks the same rows and more."""
        rows = sorted(self.rows, key=lambda row: row.key)  # so that it does not depend on the order of the file
        Random(seed).shuffle(rows)
        return rows[:limit]

    def report(self, rows: Sequence[Row], answers: Mapping[str, Answer]) -> Json:
        """Everything that is measured on the answered ones of `rows`: metrics, faults, what became of each row."""
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


def _as_json(figures: Mapping[str, Figure]) -> Json:
    return {name: figure.as_json() for name, figure in figures.items()}
