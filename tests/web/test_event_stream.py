"""Server-sent events from tiny generators: pings, failures, and clients that disconnect or do not read."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import EngineBusy, EngineError
from tests.support.abuse_client import check_error
from tests.support.edge import a_scope, ask
from web import edge, event_stream
from web.dialects import Framing
from web.edge import Edge
from web.event_stream import EventStream, until_disconnect
from web.event_stream import event_stream as start_stream
from web.settings import Settings


def streaming(*items: Any, wait_s: float = 0.0, closing_s: float = 0.0) -> tuple[ASGIApp, list[str]]:
    """Return an EventStream that sends these items, and a list to which closing the stream adds "closed".

    The stream waits `wait_s` before each item.
    """
    seen: list[str] = []

    async def rest() -> AsyncGenerator[Any]:
        try:
            for item in items:
                await asyncio.sleep(wait_s)
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            await asyncio.sleep(closing_s)
            seen.append("closed")

    async def first() -> str:
        return "first"

    return EventStream(first(), rest(), {"x-more": "1"}, Framing()), seen


def test_a_stream() -> None:
    app, seen = streaming({"a": "é\n\u2028"}, "b")
    answer = ask(app)
    assert answer.body.decode() == 'data: "first"\n\ndata: {"a":"é\\n\u2028"}\n\ndata: "b"\n\ndata: [DONE]\n\n'
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-more"] == "1" and "content-length" not in answer.headers
    assert seen == ["closed"]


def test_pings_while_nothing_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings keep proxies from closing the connection, and do not change the events."""
    monkeypatch.setattr(event_stream, "PING_AFTER_S", 0.02)
    app, _ = streaming("second", wait_s=0.15)
    body = ask(app).body.decode()
    assert 2 <= body.count(": ping\n\n") <= 15
    assert body.replace(": ping\n\n", "") == 'data: "first"\n\ndata: "second"\n\ndata: [DONE]\n\n'


def test_no_pings_while_events_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to the next ping counts from the last event, not from the last look."""
    monkeypatch.setattr(event_stream, "PING_AFTER_S", 0.5)
    app, _ = streaming(*["x"] * 8, wait_s=0.1)
    assert b": ping" not in ask(app).body


def test_pings_before_a_late_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings are sent while a request waits in the queue. Errors come at once.

    Regression test: proxies closed connections of waiting requests.
    """
    monkeypatch.setattr(event_stream, "PING_AFTER_S", 0.02)

    def waiting(item: object, wait_s: float) -> ASGIApp:
        async def items() -> AsyncGenerator[object]:
            await asyncio.sleep(wait_s)
            if isinstance(item, Exception):
                raise item
            yield item

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await (await start_stream(receive, items(), {}))(scope, receive, send)

        return app

    async def stays() -> Message:
        return await asyncio.Future()

    body = ask(waiting("first", 0.15), receive=stays).body.decode()
    assert body.startswith(": ping\n\n") and body.count(": ping\n\n") <= 15
    assert body.replace(": ping\n\n", "") == 'data: "first"\n\ndata: [DONE]\n\n'
    assert ask(waiting(EngineBusy(), 0.0), receive=stays).status == 429
    late = ask(waiting(EngineError("it broke"), 0.15), receive=stays)
    assert late.status == 200 and b"[DONE]" not in late.body
    check_error(late.body.decode().replace(": ping\n\n", "").removeprefix("data: ").encode())


@pytest.mark.parametrize("error", [EngineError("it broke"), OSError("/secret/path")])
def test_a_broken_stream_ends_with_its_error(error: Exception) -> None:
    app, seen = streaming("second", error)
    events = ask(app).body.decode().split("\n\n")
    assert events[:2] == ['data: "first"', 'data: "second"'] and events[3:] == [""]
    check_error(events[2].removeprefix("data: ").encode())
    assert "secret" not in events[2]
    assert seen == ["closed"]


def test_a_disconnect_during_slow_cleanup_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """Regression test: after a disconnect, work with slow cleanup was closed twice at the same time (RuntimeError)."""

    async def leaves() -> Message:
        await asyncio.sleep(0.03)
        return {"type": "http.disconnect"}

    app, seen = streaming("second", wait_s=10, closing_s=0.05)

    async def ended(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ClientDisconnect):
            await app(scope, receive, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    ask(ended, receive=leaves)
    assert seen == ["closed"]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_client_that_does_not_read_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The work for a stalled client is cancelled, and the log has one line and no traceback."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(edge, "WRITE_DEADLINE_S", 0.05)
    app, seen = streaming(*["x"] * 10)
    num_sent = 0

    async def stalled(message: Message) -> None:
        nonlocal num_sent
        num_sent += 1
        if num_sent > 3:
            await asyncio.Future()

    async def stays() -> Message:
        return await asyncio.Future()

    asyncio.run(Edge(app, Settings())(a_scope("GET", "/x", {}), stays, stalled))
    assert seen == ["closed"]
    assert "does not read" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_work_ends_with_its_client() -> None:
    """If the client disconnects, the work is cancelled and ClientDisconnect is raised.

    If the client stays, the result or error of the work comes back.
    """

    async def check() -> None:
        ended: list[str] = []

        async def work(seconds: float) -> str:
            try:
                await asyncio.sleep(seconds)
            finally:
                ended.append("ended")
            return "done"

        async def fails() -> None:
            raise OSError("x")

        async def stays() -> Message:
            return await asyncio.Future()

        async def leaves() -> Message:
            await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        assert await until_disconnect(stays, work(0)) == "done"
        with pytest.raises(ClientDisconnect):
            await until_disconnect(leaves, work(60))
        assert ended == ["ended", "ended"]
        with pytest.raises(OSError, match="x"):
            await until_disconnect(stays, fails())

    asyncio.run(check())


def test_the_json_of_events_is_text() -> None:
    """Characters outside ASCII are sent as UTF-8 and not as JSON escapes."""
    app, _ = streaming({"text": "北京 😀 \0"})
    event = ask(app).body.decode().split("\n\n")[1]
    assert json.loads(event.removeprefix("data: ")) == {"text": "北京 😀 \0"}
    assert "北京 😀" in event
