"""Runs a step: asks a teacher about several rows at a time, checks the answers, and retries after a bad answer."""

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
from train.teacher.files import StepOutput, parse_unfinished_row

MAX_UNANSWERED_IN_A_ROW = 2  # per request in flight; after so many requests without an answer the run stops


class BadAnswer(Exception):
    """The teacher's answer cannot be used. The message is the reason in one sentence."""


class Step(Protocol):
    """One step of the pipeline, which makes rows out of an input row and a teacher's answer."""

    name: str

    def read(self, path: Path, seed: int) -> tuple[list[Row], list[str]]:
        """Read the input rows, and a message for each line that cannot be used. Raises FileError."""
        ...

    def request(self, row: Row, attempt: int) -> Json:
        """Return the body of a chat request without model and seed. `attempt` counts from 0."""
        ...

    def made(self, row: Row, answer: Answer) -> Sequence[Row]:
        """Make at least one row out of an input row and the answer. Raises BadAnswer."""
        ...


@dataclass
class StepRun(RowRequests):
    """Asks the teacher until each row is kept or rejected, or the teacher stops answering."""

    step: Step
    teacher: Endpoint
    kept: StepOutput
    seed: int = 0
    fields: Json = field(default_factory=dict)  # override each request's fields; None removes one
    num_attempts: int = 3

    async def ask(self, rows: Sequence[Row]) -> None:
        """Request answers for the rows that are not done. Raises OSError if a result cannot be written."""
        todo = [row for row in rows if row.key not in self.kept.done]
        with tqdm(total=len(rows), initial=len(rows) - len(todo), desc=self.step.name) as bar:
            await self.each(todo, self._row, bar, max_unanswered=MAX_UNANSWERED_IN_A_ROW * self.in_flight)

    async def _row(self, row: Row) -> None:
        """Keep or reject one row, after at most `num_attempts` requests.

        Raises NoAnswer if each request got an error from the teacher.
        """
        key, reason, server_error, answer = row.key, "", "", Answer()
        for attempt in range(self.num_attempts):
            body = {**self.step.request(row, attempt), "seed": request_seed(self.seed, key, attempt), **self.fields}
            asked = await self.teacher.answer({name: value for name, value in body.items() if value is not None})
            if asked.error:
                server_error = asked.error
                continue
            answer = asked
            try:
                rows = self._checked(row, answer)
            except BadAnswer as error:
                reason = str(error)
            else:
                self.kept.keep(key, rows)
                return
        if not reason:
            raise NoAnswer(server_error)
        self.kept.reject(key, row, reason, said(answer))

    def _checked(self, row: Row, answer: Answer) -> list[Row]:
        if answer.finish_reason == "length":
            raise BadAnswer("the answer is cut off")
        rows = [replace(one, meta={**one.meta, "teacher": self.teacher.model}) for one in self.step.made(row, answer)]
        for one in rows:
            try:
                parse_unfinished_row(row_text(one).encode(), "the row")  # the next step parses the row in the same way
            except (LineError, UnicodeEncodeError) as error:
                raise BadAnswer(str(error)) from None
        return rows


def request_seed(seed: int, key: str, attempt: int) -> int:
    """Return a seed of 31 bits that depends on the seed of the run, the row and the attempt."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}:{attempt}".encode()).digest()[:4], "big") >> 1


def said(answer: Answer) -> str:
    """Write the text and the calls of an answer as one text, for the rejects."""
    return " ".join([answer.text, *(f"{call.name}({call.arguments})" for call in answer.calls)]).strip()
