"""Requests answers for rows, several at a time, and writes each answer to a file at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from client.endpoints import Answer, Endpoint
from client.json_lines import Json
from client.row_requests import RowRequests
from client.rows import Row
from evaluate.answers import Answers

MAX_FIRST_ERRORS = 10
MAX_UNANSWERED_IN_A_ROW = 4  # per request in flight; after so many failures the endpoint counts as gone


@dataclass
class EvaluationRun(RowRequests):
    """Requests an answer for each row until all rows have one or the endpoint is gone."""

    endpoint: Endpoint
    answers: Answers
    body: Json  # further fields of every request
    _num_first_errors: int = 0  # number of errors before the first answer; -1 after the first answer

    async def ask(self, rows: Sequence[Row]) -> None:
        """Request answers for the rows that have no answer or an error. Cancelling the task stops the work early."""
        is_done = {key: not answer.error for key, answer in self.answers.by_key.items()}
        todo = list({row.key: row for row in rows if not is_done.get(row.key)}.values())
        self._num_first_errors = -1 if any(is_done.values()) else 0
        with tqdm(total=len(rows), initial=len(rows) - len(todo), desc=self.answers.path.stem) as bar:
            try:
                await self.each(todo, self._one, bar, max_unanswered=MAX_UNANSWERED_IN_A_ROW * self.in_flight)
            except asyncio.CancelledError:  # Ctrl-C cancels the task; the caller still reports on the answers so far
                self.stopped_by = "interrupted; the same command resumes"
                if task := asyncio.current_task():
                    task.uncancel()

    async def _one(self, row: Row) -> None:
        answer = await self.endpoint.answer({**row.request(), **self.body})
        self.answers.add(row.key, answer)
        self._count(answer)

    def _count(self, answer: Answer) -> None:
        """Stop if the first requests all got errors: then a field that all requests share must be wrong."""
        self._num_first_errors = self._num_first_errors + 1 if answer.error and self._num_first_errors >= 0 else -1
        if self._num_first_errors >= MAX_FIRST_ERRORS:
            self.stop(f"the first {self._num_first_errors} requests were all refused; the last: {answer.error}")
