"""Rows asked, several at a time; answers kept as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from client.endpoints import Answer, Endpoint, NoAnswer, Unusable
from client.json_lines import Json
from client.rows import Row
from evaluate.answers import Answers

MAX_REFUSED_AT_FIRST = 10
MAX_UNANSWERED_IN_A_ROW = 4  # times the requests in flight; then nobody is there any more


@dataclass
class Run:
    """Asks rows until all have an answer or the endpoint is gone. `problems` say, by file and line, what was left."""

    endpoint: Endpoint
    answers: Answers
    body: Json  # what every request has beside its row
    in_flight: int = 4
    show_progress: bool = True
    problems: list[str] = field(default_factory=list)
    stopped_by: str = ""  # why the rest was not even asked
    _num_in_a_row: int = 0
    _num_refused: int = 0  # of the first ones; -1 once one was answered

    async def ask(self, rows: Sequence[Row]) -> None:
        """Ask those that have no answer yet, or were refused; being cancelled ends it early.

        Raises OSError when an answer cannot be kept.
        """
        is_done = {key: not answer.error for key, answer in self.answers.by_key.items()}
        todo = list({row.key: row for row in rows if not is_done.get(row.key)}.values())
        self._num_refused = -1 if any(is_done.values()) else 0
        with tqdm(
            total=len(rows), initial=len(rows) - len(todo), desc=self.answers.path.stem, disable=not self.show_progress
        ) as bar:
            waiting = iter(todo)
            workers = [asyncio.create_task(self._work(waiting, bar)) for _ in range(min(self.in_flight, len(todo)))]
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:  # Ctrl-C: what was answered is still worth a report
                self.stopped_by = "interrupted; the same command goes on where it was"
                if task := asyncio.current_task():
                    task.uncancel()
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, waiting: Iterator[Row], bar: tqdm[None]) -> None:
        for row in waiting:
            try:
                answer = await self.endpoint.answer({**row.request(), **self.body})
            except Unusable as error:
                self._stop(str(error))
            except NoAnswer as error:
                self._note(row, str(error))
            else:
                self._num_in_a_row = 0
                self.answers.add(row.key, answer)
                self._count(answer)
                bar.update()
            if self.stopped_by:
                return

    def _count(self, answer: Answer) -> None:
        """Stop where the requests, not the rows, must be at fault: all of the first ones were refused."""
        self._num_refused = self._num_refused + 1 if answer.error and self._num_refused >= 0 else -1
        if self._num_refused >= MAX_REFUSED_AT_FIRST:
            self._stop(f"the first {self._num_refused} requests were all refused; the last: {answer.error}")

    def _note(self, row: Row, problem: str) -> None:
        self.problems.append(f"{row.where}: {problem}")
        self._num_in_a_row += 1
        if self._num_in_a_row >= MAX_UNANSWERED_IN_A_ROW * self.in_flight:
            self._stop(f"{self._num_in_a_row} requests in a row got no answer; the last: {problem}")

    def _stop(self, reason: str) -> None:
        """The first reason counts; requests in flight may still bring others."""
        self.stopped_by = self.stopped_by or reason
