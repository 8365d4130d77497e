"""Reads and writes the files of a teacher step: unfinished conversations, one row a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from client.json_lines import FileError, LineError, ResumableFile, json_line, read_lines
from client.rows import Row, parse_row, row_text
from train.rows import check_turns, rejects_path

MAX_ANSWER = 500  # the most characters that are kept of a rejected answer, to see what went wrong


def parse_unfinished_row(line: bytes, where: str) -> Row:
    """Parse a row whose last message may have any role. Raises LineError."""
    row = parse_row(line, where)
    check_turns(row)
    return row


def read_conversations(path: Path, fault: Callable[[Row], str]) -> tuple[list[Row], list[str]]:
    """Read the usable rows of a file, without duplicates, and a message for each line that cannot be used.

    `fault` returns why a row cannot be used, or "". Raises FileError.
    """
    rows: dict[str, Row] = {}
    faults: list[str] = []
    for line, where in read_lines(path):
        try:
            row = parse_unfinished_row(line, where)
        except LineError as error:
            faults.append(str(error))
            continue
        if sentence := fault(row):
            faults.append(f"{where}: {sentence}")
        else:
            rows.setdefault(row.key, row)
    return list(rows.values()), faults


class StepOutput:
    """The output files of a step: FILE.jsonl and FILE.rejects.jsonl.

    Opening them reads the lines of an earlier run and drops an incomplete last line. Each output line names its input
    row in `meta.from`; `done` has the keys of these input rows, which need no further request. Raises FileError if a
    line comes from a row that is not in `known`. Raises OSError if a file cannot be read or written.
    """

    def __init__(self, path: Path, known: Collection[str]) -> None:
        self.path = path
        self.rejects = rejects_path(path)
        with ExitStack() as opened:
            self._rows = opened.enter_context(ResumableFile(path))
            made_from = _made_from(self._rows)
            self._rejects = opened.enter_context(ResumableFile(self.rejects))
            rejected_from = _made_from(self._rejects)
            if unknown := next((place for place, key in enumerate(made_from, 1) if key not in known), 0):
                raise FileError(
                    f"{path}:{unknown} was made of another input, or with another --seed: choose another --out, "
                    "or delete the file"
                )
            self._opened = opened.pop_all()
        self.num_rows, self.num_rejects = len(made_from), len(rejected_from)
        self.done = {*made_from, *rejected_from}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.close()

    def keep(self, key: str, rows: Sequence[Row]) -> None:
        """Append the rows made of the input row `key`; they are in the file on return. Raises OSError."""
        made = [replace(row, meta={**row.meta, "from": key}) for row in rows]
        self._rows.add(*(row_text(row).encode() for row in made))
        self.num_rows += len(made)
        self.done.add(key)

    def reject(self, key: str, row: Row, reason: str, answer: str) -> None:
        """Write an input row to the rejects. Later runs skip the row as long as the file of rejects exists."""
        line = {"where": row.where, "reason": reason, "answer": answer[:MAX_ANSWER], "meta": {"from": key}}
        self._rejects.add(json_line({**line, "row": json.loads(row_text(row))}))
        self.num_rejects += 1
        self.done.add(key)


def _made_from(file: ResumableFile) -> list[str]:
    """Return the key of each line's input row, and remove an incomplete last line from the file."""
    lines = file.lines()
    keys = []
    for number, line in enumerate(lines, 1):
        try:
            keys.append(str(json.loads(line)["meta"]["from"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            sentence = "no row that this step has written: choose another --out, or delete the file"
            raise FileError(f"{file.path}:{number}: {sentence}") from None
    file.keep(lines)
    return keys
