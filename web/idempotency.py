"""Idempotency-Key: a repeated request gets the answer of the first one, and no tool runs a second time.

The answer to a request with a key is finished even if its client leaves, so that a repetition can have it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from hashlib import sha256
from typing import Any

from starlette.requests import Request

from core.errors import EngineBusy, RequestError
from web.errors import SHUTTING_DOWN, HttpError, is_unforeseen

Json = dict[str, Any]
Produce = Callable[[Callable[[], None]], AsyncGenerator[Json]]

HEADER = "idempotency-key"
NO_RETRY = {"x-should-retry": "false"}  # OpenAI's clients obey it
KEPT_S = 600.0  # counted from the end of the answer
MAX_BYTES = 64 << 20  # of all kept answers, as JSON
MAX_RECORDS = 10_000
MAX_RUNNING = 64
_KEY = re.compile("[!-~]{1,255}")

log = logging.getLogger("functionary")


def note_body(request: Request, body: bytes) -> None:
    """Remember a digest of the body of a request with a key."""
    if HEADER in request.headers:
        request.state.body_digest = sha256(request.url.path.encode() + b"\n" + body).digest()


class Replays:
    """The answers of requests with a key, by owner and key, for KEPT_S seconds.

    When they are too many, the oldest answers are dropped first; a repetition of such a request gets an error.
    """

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, max_records: int = MAX_RECORDS, max_running: int = MAX_RUNNING
    ) -> None:
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._max_running = max_running
        self._records: dict[tuple[str, str], _Record] = {}  # those that ended earlier come first

    def items(self, request: Request, owner: str, produce: Produce) -> AsyncGenerator[Json]:
        """Return the items of the answer: those of `produce`, or of the first request with the same key.

        produce: makes the answer. It calls its argument before a tool runs; after that the request must not be
        repeated, and each of its errors says so.
        Raises RequestError for a key that is none, HttpError 409 for one of another request, and EngineBusy.
        """

        def must_not_repeat() -> None:
            request.state.has_run_tools = True

        key = request.headers.get(HEADER)
        if key is None:
            return produce(must_not_repeat)
        if not _KEY.fullmatch(key):
            raise RequestError("Invalid header 'Idempotency-Key': expected 1 to 255 visible ASCII characters.")
        self._shrink()
        record = self._records.get((owner, key))
        if record is None:
            if sum(not one.is_over for one in self._records.values()) >= self._max_running:
                raise EngineBusy
            record = self._records[owner, key] = _Record(request.state.body_digest)
            record.start(produce, lambda: self._over((owner, key)))
        elif record.digest != request.state.body_digest:
            message = "This Idempotency-Key belongs to another request of the last minutes. Use a new key for each one."
            raise HttpError(409, message, code="idempotency_key_in_use", headers=NO_RETRY)
        return record.read(must_not_repeat)

    async def close(self) -> None:
        """Stop all answers that are not over."""
        await asyncio.gather(*(record.stop() for record in self._records.values()))

    def _over(self, place: tuple[str, str]) -> None:
        """Keep a record that is over, unless nothing has run, so that its request can be tried again."""
        record = self._records.pop(place)
        if not record.error or record.has_run:
            self._records[place] = record
        self._shrink()

    def _shrink(self) -> None:
        now = time.monotonic()
        over = [(place, record) for place, record in self._records.items() if record.is_over]
        size = sum(record.size for record in self._records.values())
        num_extra = len(self._records) - self._max_records
        for place, record in over:
            if now - record.ended_at > KEPT_S or num_extra > 0:
                del self._records[place]
                num_extra -= 1
                size -= record.size
            elif size > self._max_bytes:
                size -= record.size
                record.forget()


class _Record:
    """One answer, while it is made and afterwards. `digest` is that of its request."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.size = 0
        self.error: Exception | None = None
        self.has_run = False
        self.is_over = False
        self.ended_at = 0.0
        self._items: list[str] = []  # as JSON: the objects of a chunk take several times the memory of their text
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, produce: Produce, on_end: Callable[[], None]) -> None:
        self._task = asyncio.create_task(self._make(produce, on_end))

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def read(self, must_not_repeat: Callable[[], None]) -> AsyncGenerator[Json]:
        """Yield all items, those that are still to come too. Raises the error that ended the answer."""
        items, position = self._items, 0
        while True:
            while position < len(items):
                yield json.loads(items[position])
                position += 1
            if self.has_run:
                must_not_repeat()
            if self.is_over:
                break
            await self._news.wait()
        if self.error:
            raise self.error

    def forget(self) -> None:
        """Drop the answer, but not that there was one."""
        self._items, self.size = [], 0
        message = "The request with this Idempotency-Key was answered before, and its answer is no longer kept."
        self.error = HttpError(409, message, code="idempotency_answer_dropped", headers=NO_RETRY)

    async def _make(self, produce: Produce, on_end: Callable[[], None]) -> None:
        try:
            async with aclosing(produce(self._run)) as items:
                async for item in items:
                    self._items.append(json.dumps(item))
                    self.size += len(self._items[-1])
                    self._tell()
        except asyncio.CancelledError:
            self.error = SHUTTING_DOWN
        except Exception as error:
            if is_unforeseen(error):
                log.exception("an answer failed")
            self.error = error
        finally:
            self.is_over, self.ended_at = True, time.monotonic()
            self._tell()
            on_end()

    def _run(self) -> None:
        self.has_run = True
        self._tell()  # a request that is cut while the tool runs must know it too

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
