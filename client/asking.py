"""Rows asked of an endpoint, several at a time, until all are done or the endpoint is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from client.endpoints import NoAnswer, Unusable
from client.rows import Row


@dataclass(kw_only=True)
class Asking:
    """`problems` say, by file and line, which rows got no answer; `stopped_by` why the rest was not even asked."""

    in_flight: int = 4
    problems: list[str] = field(default_factory=list)
    stopped_by: str = ""
    _num_in_a_row: int = 0

    async def each(
        self, rows: Sequence[Row], ask: Callable[[Row], Awaitable[None]], bar: tqdm[None], *, max_unanswered: int
    ) -> None:
        """Await `ask` for each row; end when that many rows in a row raised NoAnswer, or one raised Unusable.

        Other exceptions end it too, and are let through.
        """
        waiting = iter(rows)
        workers = [
            asyncio.create_task(self._work(waiting, ask, bar, max_unanswered))
            for _ in range(min(self.in_flight, len(rows)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(
        self, waiting: Iterator[Row], ask: Callable[[Row], Awaitable[None]], bar: tqdm[None], max_unanswered: int
    ) -> None:
        for row in waiting:
            try:
                await ask(row)
            except Unusable as error:
                self.stop(str(error))
            except NoAnswer as error:
                self.problems.append(f"{row.where}: {error}")
                self._num_in_a_row += 1
                if self._num_in_a_row >= max_unanswered:
                    self.stop(f"{self._num_in_a_row} requests in a row got no answer; the last: {error}")
            else:
                self._num_in_a_row = 0
                bar.update()
            if self.stopped_by:
                return

    def stop(self, reason: str) -> None:
        """The first reason counts; requests in flight may still bring others."""
        self.stopped_by = self.stopped_by or reason
