"""Answers as server-sent events, and work that is cancelled when the client disconnects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from math import inf
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from web.dialects import Framing
from web.errors import SHUTTING_DOWN, ClientStalled, describe, is_unforeseen

T = TypeVar("T")
PING_AFTER_S = 15.0

log = logging.getLogger("functionary")


class EventStream(Response):
    """An answer of server-sent events. After an error event it has no end, such as [DONE]."""

    media_type = "text/event-stream"

    def __init__(
        self, first: Awaitable[Any], rest: AsyncGenerator[Any], headers: dict[str, str], framing: Framing
    ) -> None:
        """`first` is the first item, maybe still pending; `rest` yields the others and is read only after `first`."""
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no", **headers})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._framing = framing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = asyncio.ensure_future(self._first)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await until_disconnect(receive, self._send_all(first, send))
        except asyncio.CancelledError:  # the server stops
            status, body, _ = describe(SHUTTING_DOWN)
            text = self._framing.error(status, body)
            await send({"type": "http.response.body", "body": text.encode(), "more_body": False})
        finally:
            await _close(first, self._rest)

    async def _send_all(self, first: Awaitable[Any], send: Send) -> None:
        """Send the events, and a ping whenever nothing was sent for PING_AFTER_S, so that proxies stay connected."""
        now = asyncio.get_running_loop().time
        ping_at = now() + PING_AFTER_S

        async def write(text: str, *, more: bool = True) -> None:
            nonlocal ping_at
            ping_at = inf  # none while the client does not read
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
            ping_at = now() + PING_AFTER_S

        # One task sends all events: a task for each of them would cost more than the event itself.
        events = asyncio.ensure_future(self._send_events(first, write))
        try:
            while not (await asyncio.wait({events}, timeout=min(PING_AFTER_S, max(0, ping_at - now()))))[0]:
                if now() >= ping_at:
                    await write(self._framing.ping())
            events.result()
        finally:
            if not events.done():  # awaited, since a running generator cannot be closed
                events.cancel()
                await asyncio.gather(events, return_exceptions=True)

    async def _send_events(self, first: Awaitable[Any], write: Callable[..., Awaitable[None]]) -> None:
        try:
            item = await first
            while True:
                await write(self._framing.event(item))
                item = await anext(self._rest)
        except StopAsyncIteration:
            await write(self._framing.end(), more=False)
        except ClientStalled:
            raise
        except Exception as error:
            if is_unforeseen(error):
                log.exception("a stream failed")
            status, body, _ = describe(error)
            await write(self._framing.error(status, body), more=False)


async def event_stream(
    receive: Receive, items: AsyncGenerator[Any], headers: dict[str, str], framing: Framing | None = None
) -> EventStream:
    """Wait for the first item. An error that occurs before that item is sent as an HTTP error, not as an event.

    If the first item takes longer than PING_AFTER_S seconds, the request is valid and only waits in the queue. Then the
    stream starts without the item, and pings keep the connection alive.
    """
    first = asyncio.ensure_future(anext(items))
    try:
        await until_disconnect(receive, asyncio.wait({first}, timeout=PING_AFTER_S))
        if first.done():
            first.result()
    except BaseException:
        await _close(first, items)
        raise
    return EventStream(first, items, headers, framing or Framing())


async def _close(first: asyncio.Future[Any], rest: AsyncGenerator[Any]) -> None:
    """Cancel `first`, then close `rest`. In the other order `rest` may still be running, and could not be closed."""
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await rest.aclose()


async def until_disconnect(receive: Receive, work: Awaitable[T]) -> T:
    """Return the result of `work`. If the client disconnects first, cancel `work` and raise ClientDisconnect."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
