"""The middleware around tiny applications: request ids, API keys, errors, logs and request bodies."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import EngineBusy, EngineDown, EngineError, PromptTooLong, QueueTimeout, RequestError, UnknownModel
from tests.support.abuse_client import check_error
from tests.support.edge import ask, ok
from web import body
from web.body import read_body
from web.errors import HttpError

KEY = "sk-0123456789abcdef-right"


def raising(error: Exception) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


# Request ids


@pytest.mark.parametrize("own", ["a", "A-b_9", "x" * 64])
def test_a_plain_request_id_comes_back(own: str) -> None:
    assert ask(ok, headers={"X-Request-Id": own}).headers["x-request-id"] == own


@pytest.mark.parametrize(
    "own", ["", "x" * 65, "a b", "a\r\nSet-Cookie: b=c", "é", "127.0.0.1:80", "../x", "a\x1b[31m", "a\n", "{}"]
)
def test_any_other_request_id_is_replaced(own: str, caplog: pytest.LogCaptureFixture) -> None:
    """A client's request id that is not of the expected form is replaced, since it could inject text into logs."""
    caplog.set_level(logging.INFO)
    answers = [ask(ok, headers={"X-Request-Id": own}) for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(one.startswith("req_") and len(one) == 28 for one in ids)
    assert ids[0] != ids[1]
    assert "Set-Cookie" not in caplog.text


def test_errors_have_request_ids_too() -> None:
    assert ask(raising(EngineBusy()), headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    assert ask(ok, api_keys=[KEY], headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"


# Keys


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """All keys are compared in constant time, so that the time of an answer tells nothing about a key."""
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    keys = [KEY, "second", "third"]
    for key in (*keys, "wrong", KEY[:-1], KEY + "x"):
        compared.clear()
        answer = ask(ok, api_keys=keys, headers={"Authorization": f"Bearer {key}"})
        assert answer.status == (200 if key in keys else 401)
        assert len(set(compared)) == 3
        assert all(len(digest) == 32 for digest in compared)  # comparing the keys would reveal their lengths


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("sk-VK0123456789wjh3", "sk-***wjh3"),
        ("0123456789abcdef", "012***cdef"),
        ("0123456789abcde", "***"),
        ("short", "***"),
        ("é" * 30, "***"),
        ("\x07" * 30, "***"),
        ("k" * 5_000, "kkk***kkkk"),
    ],
)
def test_only_the_ends_of_a_wrong_key_are_shown(key: str, shown: str) -> None:
    """A short key is hidden completely, since its ends would be most of it."""
    answer = ask(ok, api_keys=[KEY], headers={"Authorization": f"Bearer {key}"})
    assert answer.error["message"] == f"Incorrect API key provided: {shown}."
    assert answer.error["code"] == "invalid_api_key"


def test_only_these_paths_are_public() -> None:
    for path in ("/", "/live", "/ready", "/health"):
        assert ask(ok, path=path, api_keys=[KEY]).status == 200
    for path in ("", "//", "/live/", "/Live", "/live/x", "//live", "/x/live", "/v1/models", "/docs", "/nope"):
        assert ask(ok, path=path, api_keys=[KEY]).status == 401


def test_our_own_names() -> None:
    for host in ("our-name", "OUR-NAME:80", "localhost", "127.0.0.1:8000", "[::1]", "our-name."):
        assert ask(ok, headers={"Host": host}).status == 200
    for host in (
        "",
        "other",
        "our-name.other",
        "[::1].other",
        "[::1",
        "::1",
        "localhost/x",
        "a@localhost",
        "localhost:x",
    ):
        assert ask(ok, headers={"Host": host}).status == 403, host


# Errors


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (RequestError("Bad.", "n"), 400, "invalid_request_error", None),
        (PromptTooLong(10, 5), 400, "invalid_request_error", "context_length_exceeded"),
        (UnknownModel("x", ["tiny"]), 404, "invalid_request_error", "model_not_found"),
        (HttpError(418, "No.", "permission_error"), 418, "permission_error", None),
        (EngineBusy(), 429, "rate_limit_error", "slow_down"),
        (QueueTimeout(60), 503, "service_unavailable_error", "server_is_overloaded"),
        (EngineDown("a step has been running for 130 s"), 503, "service_unavailable_error", "server_is_overloaded"),
        (EngineDown("it ends", "shutting_down"), 503, "service_unavailable_error", "shutting_down"),
        (EngineError("a step failed"), 500, "server_error", "internal_error"),
        (OSError(2, "No such file", "/secret/path.py"), 500, "server_error", "internal_error"),
        (RecursionError("at 0x7f0000000000"), 500, "server_error", "internal_error"),
        (UnicodeEncodeError("utf-8", "\ud800 secret", 0, 1, "bad"), 500, "server_error", "internal_error"),
    ],
)
def test_each_error_becomes_one_shape(error: Exception, status: int, kind: str, code: str | None) -> None:
    """Every error has the same shape, and the text of an unforeseen exception, which may hold paths, is not shown."""
    answer = ask(raising(error))
    check_error(answer.body)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (status, kind, code)
    assert "secret" not in answer.body.decode()
    assert answer.headers.get("retry-after") == {429: "2", 503: "5"}.get(status)


def test_long_messages_are_cut() -> None:
    answer = ask(raising(RequestError("x" * 10_000)))
    assert len(answer.error["message"]) == 500


def test_an_error_after_the_start_adds_no_second_start() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise OSError("/secret/path")

    answer = ask(app)
    assert (answer.status, answer.body) == (200, b"")


# Logs


def test_a_log_line_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A path in the log is shortened and cannot break the line or contain terminal escapes."""
    caplog.set_level(logging.INFO)
    for path in ("/x\r\nfake 200", "/\x1b[31mred", "/\u2028\u202e", "/\x00\x07", "/" + "a" * 60_000):
        caplog.clear()
        ask(ok, path=path, method="BREW" * 100)
        [record] = caplog.records
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 350


def test_no_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Bearer x{KEY}"}, {"Cookie": KEY}):
        for app in (ok, raising(OSError("disk"))):
            ask(app, headers=headers, api_keys=[KEY])
    assert len(caplog.records) >= 6
    assert KEY not in caplog.text


def test_a_failure_is_found_in_the_log_by_its_id(caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(raising(OSError("/secret/path")))
    [record] = [record for record in caplog.records if record.exc_info]
    assert answer.headers["x-request-id"] in record.getMessage()


# Bodies


def reading(*parts: bytes, then: Callable[[], Awaitable[Message]] | None = None) -> Receive:
    """Return the `receive` of a client that sends these parts of a body.

    After the parts, the client disconnects or continues with `then`.
    """
    left = list(parts)

    async def receive() -> Message:
        if left:
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left) or then is not None}
        return await then() if then else {"type": "http.disconnect"}

    return receive


async def echo_size(scope: Scope, receive: Receive, send: Send) -> None:
    size = len(await read_body(Request(scope, receive)))
    await JSONResponse({"size": size})(scope, receive, send)


def test_a_body_is_bounded_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is slightly too large is read to its end, since otherwise its client would not see the error.

    A far larger body is not read to its end: the connection is closed.
    """
    monkeypatch.setattr(body, "MAX_BODY", 10)
    monkeypatch.setattr(body, "MAX_DRAINED", 100)
    assert ask(echo_size, "POST", receive=reading(b"12345", b"67890")).json == {"size": 10}
    little = ask(echo_size, "POST", receive=reading(*[b"12345"] * 3))
    far = ask(echo_size, "POST", receive=reading(*[b"12345"] * 1_000))
    announced = ask(echo_size, "POST", headers={"Content-Length": "101"}, receive=reading())
    assert [answer.status for answer in (little, far, announced)] == [413] * 3
    assert [answer.headers.get("connection") for answer in (little, far, announced)] == ["keep-alive", "close", "close"]
    assert little.error["message"] == "The request body is larger than 10 bytes."


def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "RECEIVE_DEADLINE_S", 0.05)

    async def never() -> Message:
        return await asyncio.Future()

    answer = ask(echo_size, "POST", receive=reading(b"{", then=never))
    assert (answer.status, answer.headers["connection"]) == (408, "close")
