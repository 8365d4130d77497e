"""Hostile HTTP: ambiguous and broken framing, huge and slow bodies, and clients that leave."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from inference import Model
from server import create_app
from tests.support.abuse_bytes import AMBIGUOUS, GOOD, MALFORMED, ODD_BUT_LEGAL, post
from tests.support.abuse_client import (
    BODY,
    CANARY,
    CHAT,
    RAW,
    Client,
    as_json,
    check_answer,
    check_error,
    connect,
    head,
    raw,
    statuses,
)
from tests.support.scripted_engine import scripted
from web import body
from web.command_line import bind


@pytest.fixture(scope="module")
def app(chatml: Model) -> FastAPI:
    model, _ = scripted(chatml, "all\nhello")
    return create_app(lambda: model)


@pytest.fixture(autouse=True)
def silent_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server logs no traceback, no prompt and no line break of a client."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record.getMessage() for record in caplog.records if record.exc_info]
    assert CANARY not in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)


def check_health(url: str) -> None:
    with Client(url) as client:
        client.check_health()


def test_an_ambiguous_request_gets_one_error_at_most(
    url: str, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for name, request in AMBIGUOUS.items():
        with subtests.test(name):
            received = raw(url, request)
            assert all(400 <= status < 500 for status in statuses(received)), received
            assert len(statuses(received)) <= 1
            if received:
                check_error(received.partition(b"\r\n\r\n")[2])
            assert "/smuggled" not in caplog.text
            check_health(url)


def test_invalid_http_gets_one_error(url: str, subtests: pytest.Subtests) -> None:
    for name, request in MALFORMED.items():
        with subtests.test(name):
            received = raw(url, request)
            assert len(statuses(received)) <= 1
            assert all(400 <= status < 500 for status in statuses(received)), received
            if received:
                check_error(received.partition(b"\r\n\r\n")[2])
            check_health(url)


def test_odd_requests(url: str, subtests: pytest.Subtests) -> None:
    for name, (request, expected) in ODD_BUT_LEGAL.items():
        with subtests.test(name):
            with connect(url) as connection:
                connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                received = b"".join(iter(lambda: connection.recv(65536), b""))
            assert statuses(received) == [expected], received
            if expected >= 400:
                check_error(received.partition(b"\r\n\r\n")[2])
            check_health(url)


def test_requests_in_a_row_are_answered_in_a_row(url: str) -> None:
    received = raw(
        url, head("GET", "/live") * 3 + post(GOOD) * 2 + post(b"{") + head("GET", "/live", "Connection: close")
    )
    assert statuses(received) == [200, 200, 200, 200, 200, 400, 200]


def test_the_error_for_a_large_body_arrives(url: str) -> None:
    """The error for a too large body reaches the client.

    If the server sent the error before it had read the body, a TCP reset would discard the error.
    """
    body = as_json({**BODY, "user": "x" * 16 * 2**20})
    with Client(url) as client:
        for _ in range(2):
            answer = client.send("POST", CHAT, body)
            check_answer(answer)
            assert (answer.status, answer.error["code"]) == (413, "request_too_large")
            client.check_health()
        just_over = as_json({**BODY, "user": "x" * 2 * 2**20})
        assert client.send("POST", RAW, just_over).status == 413
        assert client.send("POST", CHAT, GOOD + b" " * (2 * 2**20 - len(GOOD))).status == 200


def test_a_large_body_in_chunks(url: str) -> None:
    chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    received = raw(
        url,
        head("POST", CHAT, "Transfer-Encoding: chunked", "Connection: close"),
        *[chunk] * 256,
        b"0\r\n\r\n",
        silence_s=5,
    )
    assert statuses(received) == [413]
    check_error(received.partition(b"\r\n\r\n")[2])
    check_health(url)


@pytest.mark.parametrize("expects", [(), ("Expect: 100-continue",)])
@pytest.mark.parametrize("length", [10**12, 10**19, 65 * 2**20])
def test_a_terabyte_gets_no_100_continue(url: str, length: int, expects: tuple[str, ...]) -> None:
    """A huge Content-Length gets an error at once, and the connection is closed."""
    started = time.monotonic()
    received = raw(url, head("POST", CHAT, f"Content-Length: {length}", *expects), silence_s=5)
    assert statuses(received) == [413]
    assert b"100 Continue" not in received
    assert time.monotonic() - started < 2
    check_health(url)


def test_a_small_body_gets_100_continue(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(
            head("POST", CHAT, f"Content-Length: {len(GOOD)}", "Expect: 100-continue", "Connection: close")
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(GOOD)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("drip", [(), (b"1", b"\r", b"\n", b"{", b"\r", b"\n")])
def test_a_slow_body_gets_a_408(
    url: str, monkeypatch: pytest.MonkeyPatch, framing: str, drip: tuple[bytes, ...]
) -> None:
    """A body that does not arrive, or only byte by byte, gets a 408 after the deadline and a closed connection."""
    monkeypatch.setattr(body, "RECEIVE_DEADLINE_S", 0.5)
    started = time.monotonic()
    with connect(url) as connection:
        connection.sendall(head("POST", CHAT, framing))
        for byte in drip:
            time.sleep(0.05)
            connection.sendall(byte)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert statuses(received) == [408]
    check_error(received.partition(b"\r\n\r\n")[2])
    assert b"within 0.5 seconds" in received
    assert 0.4 < time.monotonic() - started < 3
    check_health(url)


@pytest.mark.parametrize("cut", [1, 20, len(head("POST", CHAT)) - 2, len(post(GOOD)) - len(GOOD), len(post(GOOD)) - 1])
def test_clients_that_leave_in_the_middle(url: str, cut: int) -> None:
    for _ in range(3):
        with connect(url) as connection:
            connection.sendall(post(GOOD)[:cut])
    check_health(url)


def test_keepalive_detects_a_vanished_client() -> None:
    """TCP keepalive detects a client that vanished without closing its connection.

    Without keepalive, the request of such a client would keep its slot until the end of the answer.
    """
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
