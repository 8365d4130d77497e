"""Sends the requests of many rows to an endpoint, several at a time, and stops when the endpoint fails for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from client.endpoints import NoAnswer, Unusable
from client.rows import Row


@dataclass(kw_only=True)
class RowRequests:
    """Sends one request for each row, and records the rows that got no answer.

    in_flight: the largest number of requests at the same time. problems: one message with file and line for each row
    without an answer. stopped_by: why the remaining requests were not sent; "" if all were sent.
    """

    in_flight: int = 4
    problems: list[str] = field(default_factory=list)
    stopped_by: str = ""
    _num_consecutive_failures: int = 0

    async def each(
        self, rows: Sequence[Row], ask: Callable[[Row], Awaitable[None]], bar: tqdm[None], *, max_unanswered: int
    ) -> None:
        """Await `ask` for each row. Stop after `max_unanswered` consecutive NoAnswer, or after the first Unusable.

        Any other exception also stops the work, and is raised.
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
                self._num_consecutive_failures += 1
                if self._num_consecutive_failures >= max_unanswered:
                    self.stop(f"{self._num_consecutive_failures} requests in a row got no answer; the last: {error}")
            else:
                self._num_consecutive_failures = 0
                bar.update()
            if self.stopped_by:
                return

    def stop(self, reason: str) -> None:
        """Send no further requests. Requests in flight may then fail too, so only the first reason is kept."""
        self.stopped_by = self.stopped_by or reason
