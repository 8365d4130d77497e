"""Questions asked, several at a time; answers kept as they come."""

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

MAX_REFUSED_AT_FIRST = 10
MAX_UNANSWERED_IN_A_ROW = 4  # times the requests in flight; then nobody is there any more


@dataclass
class Run(RowRequests):
    """Asks rows until all have an answer or the endpoint is gone."""

    endpoint: Endpoint
    answers: Answers
    body: Json  # what every request has beside its row
    _num_refused: int = 0  # of the first ones; -1 once one was answered

    async def ask(self, rows: Sequence[Row]) -> None:
        """Ask those that have no answer yet, or were refused; being cancelled ends it early.

        Raises OSError when an answer cannot be kept.
        """
        is_done = {key: not answer.error for key, answer in self.answers.by_key.items()}
        todo = list({row.key: row for row in rows if not is_done.get(row.key)}.values())
        self._num_refused = -1 if any(is_done.values()) else 0
        with tqdm(total=len(rows), initial=len(rows) - len(todo), desc=self.answers.path.stem) as bar:
            try:
                await self.each(todo, self._one, bar, max_unanswered=MAX_UNANSWERED_IN_A_ROW * self.in_flight)
            except asyncio.CancelledError:  # Ctrl-C: what was answered is still worth a report
                self.stopped_by = "interrupted; the same command goes on where it was"
                if task := asyncio.current_task():
                    task.uncancel()

    async def _one(self, row: Row) -> None:
        answer = await self.endpoint.answer({**row.request(), **self.body})
        self.answers.add(row.key, answer)
        self._count(answer)

    def _count(self, answer: Answer) -> None:
        """Stop where the requests, not the rows, must be at fault: all of the first ones were refused."""
        self._num_refused = self._num_refused + 1 if answer.error and self._num_refused >= 0 else -1
        if self._num_refused >= MAX_REFUSED_AT_FIRST:
            self.stop(f"the first {self._num_refused} requests were all refused; the last: {answer.error}")
