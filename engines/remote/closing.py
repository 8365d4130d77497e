"""Ends the requests that wait for a server when the engine closes, whatever event loops they run in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

from core.errors import EngineDown
from engines.remote.dialect import Gain

IS_CLOSING = "the engine is shutting down"


class Closing:
    """Whether the engine closes, and the requests that wait. Safe to use from several threads."""

    def __init__(self) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}

    async def next(self, gains: AsyncGenerator[Gain]) -> Gain | None:
        """Return the next gain; None after the last. Raises EngineDown if the engine closes in the meantime."""
        limit = asyncio.timeout(None)
        try:
            async with limit:
                with self._lock:
                    if self.is_over:
                        raise EngineDown(IS_CLOSING, "shutting_down")
                    self._waiting[limit] = asyncio.get_running_loop()
                try:
                    return await anext(gains, None)
                finally:
                    with self._lock:
                        del self._waiting[limit]
        except TimeoutError:
            raise EngineDown(IS_CLOSING, "shutting_down") from None

    def close(self) -> None:
        """End all requests that wait, and those that come."""
        with self._lock:
            self.is_over = True
            waiting = list(self._waiting.items())
        for limit, loop in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._end, limit, loop)

    def _end(self, limit: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            is_waiting = limit in self._waiting
        if is_waiting:
            limit.reschedule(loop.time())
