"""Rows asked of a teacher, several at a time. Its answers are checked and kept; after nonsense it is asked again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from client.endpoints import Answer, Endpoint, NoAnswer
from client.json_lines import Json, LineError
from client.row_requests import RowRequests
from client.rows import Row, row_text
from train.teacher.files import Kept, open_row

MAX_UNANSWERED_IN_A_ROW = 2  # times the rows in flight; then nobody is there any more


class Nonsense(Exception):
    """An answer that cannot be used: one sentence that says why."""


class Step(Protocol):
    """One step of the pipeline. Makes rows of a row by asking a teacher one question."""

    name: str

    def read(self, path: Path, seed: int) -> tuple[list[Row], list[str]]:
        """The rows to ask about, and a sentence for each line that cannot be used. Raises FileError."""
        ...

    def request(self, row: Row, attempt: int) -> Json:
        """The body of a chat request, without model and seed; `attempt` counts from 0."""
        ...

    def made(self, row: Row, answer: Answer) -> Sequence[Row]:
        """The rows that come of an answer, at least one. Raises Nonsense."""
        ...


@dataclass
class Run(RowRequests):
    """Asks till each row is kept or rejected, or the teacher is gone."""

    step: Step
    teacher: Endpoint
    kept: Kept
    seed: int = 0
    fields: Json = field(default_factory=dict)  # of every request, in place of the step's; None leaves one out
    num_attempts: int = 3

    async def ask(self, rows: Sequence[Row]) -> None:
        """Ask about those that are not done. Raises OSError when a row cannot be kept."""
        todo = [row for row in rows if row.key not in self.kept.done]
        with tqdm(total=len(rows), initial=len(rows) - len(todo), desc=self.step.name) as bar:
            await self.each(todo, self._row, bar, max_unanswered=MAX_UNANSWERED_IN_A_ROW * self.in_flight)

    async def _row(self, row: Row) -> None:
        """Keep or reject one row. A refused request is tried in the step's other ways; then it counts as unanswered."""
        key, reason, refusal, answer = row.key, "", "", Answer()
        for attempt in range(self.num_attempts):
            body = {**self.step.request(row, attempt), "seed": request_seed(self.seed, key, attempt), **self.fields}
            asked = await self.teacher.answer({name: value for name, value in body.items() if value is not None})
            if asked.error:
                refusal = asked.error
                continue
            answer = asked
            try:
                rows = self._checked(row, answer)
            except Nonsense as error:
                reason = str(error)
            else:
                self.kept.keep(key, rows)
                return
        if not reason:
            raise NoAnswer(refusal)
        self.kept.reject(key, row, reason, said(answer))

    def _checked(self, row: Row, answer: Answer) -> list[Row]:
        if answer.finish_reason == "length":
            raise Nonsense("the answer is cut off")
        rows = [replace(one, meta={**one.meta, "teacher": self.teacher.model}) for one in self.step.made(row, answer)]
        for one in rows:
            try:
                open_row(row_text(one).encode(), "the row")  # as the next step will read it
            except (LineError, UnicodeEncodeError) as error:
                raise Nonsense(str(error)) from None
        return rows


def request_seed(seed: int, key: str, attempt: int) -> int:
    """31 bits; another for each run, row and attempt."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}:{attempt}".encode()).digest()[:4], "big") >> 1


def said(answer: Answer) -> str:
    """An answer in one text, for the file of rejects."""
    return " ".join([answer.text, *(f"{call.name}({call.arguments})" for call in answer.calls)]).strip()
