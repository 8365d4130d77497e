"""Connections that send the head of a request slowly, in part, or not at all; and connections that stay open."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference import Model
from server import create_app
from tests.support.abuse_client import CHAT, HANG_S, Client, check_error, connect, head, raw, statuses
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web import connection
from web.settings import Settings

DEADLINE_S = 0.5
LIVE = head("GET", "/live")


@pytest.fixture(scope="module")
def url(chatml: Model) -> Iterator[str]:
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model)) as url:
        yield url


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_DEADLINE_S", DEADLINE_S)


def until_closed(client: socket.socket, drip: bytes = b"") -> tuple[bytes, float]:
    """Send the bytes of `drip` one by one and read until the server closes the connection.

    Return everything received, and the time until then in seconds. Fail after HANG_S.
    """
    begun, received = time.monotonic(), b""
    client.settimeout(0.02)
    while time.monotonic() - begun < HANG_S:
        try:
            if drip:
                client.sendall(drip[:1])
                drip = drip[1:]
            data = client.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            data = b""
        if not data:
            return received, time.monotonic() - begun
        received += data
    raise AssertionError("the server keeps the connection")


def ask_live(client: socket.socket) -> bytes:
    """Send one request and read its whole answer."""
    client.sendall(LIVE)
    received = b""
    while not received.endswith(b'"}'):
        received += client.recv(65536)
    return received


@pytest.mark.parametrize("part", [LIVE[:1], LIVE[:12], LIVE[:-2], head("GET", "/live", "X: " + "a" * 30_000)[:-2]])
def test_half_a_head_gets_a_408(url: str, soon: None, part: bytes) -> None:
    """A client that sends half a head and is then silent gets a 408, and its connection is closed.

    Such connections stayed open without end, since uvicorn has no deadline for a head.
    """
    with connect(url) as client:
        client.sendall(part)
        received, took_s = until_closed(client)
    assert statuses(received) == [408]
    check_error(received.partition(b"\r\n\r\n")[2])
    assert b"x-request-id: req_" in received.lower() and b"within 0.5 seconds" in received
    assert 0.3 < took_s < 3


def test_a_head_byte_by_byte_gets_a_408(url: str, soon: None) -> None:
    """The deadline counts from the start of the connection, so single bytes do not extend it."""
    with connect(url) as client:
        received, took_s = until_closed(client, drip=head("GET", "/live", "X: " + "a" * 1_000))
    assert statuses(received) in ([408], [])  # the last bytes may meet a closed connection, which resets it
    assert 0.3 < took_s < 3


def test_a_silent_connection_is_closed_without_an_answer(url: str, soon: None) -> None:
    with connect(url) as client:
        received, took_s = until_closed(client)
    assert received == b""
    assert 0.3 < took_s < 3


def test_the_deadline_counts_anew_for_each_head(url: str, soon: None) -> None:
    """On a kept connection, the deadline starts with the first byte of the next head, not with the connection."""
    with connect(url) as client:
        for pause in (0.0, 2 * DEADLINE_S):
            time.sleep(pause)
            assert statuses(ask_live(client)) == [200]
        client.sendall(LIVE + LIVE[:9])
        received, took_s = until_closed(client)
    assert statuses(received) == [200, 408]
    assert 0.3 < took_s < 3


def test_a_long_answer_has_no_deadline(chatml: Model, soon: None) -> None:
    """The deadline is for the head only: a request whose answer takes longer is served, and the next one too."""
    model, _ = scripted(chatml, "all\nhello", step_s=2 * DEADLINE_S)
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        for _ in range(2):
            client.check_health()


def test_the_rest_of_an_answered_body_has_a_deadline(chatml: Model, soon: None) -> None:
    """A client without a key gets its 401 at once. If it goes on sending its body byte by byte, it is cut off."""
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=["right"]))) as url, connect(url) as client:
        client.sendall(head("POST", CHAT, "Content-Length: 100000") + b"{")
        received, took_s = until_closed(client, drip=b" " * 1_000)
    assert statuses(received) == [401]
    assert took_s < 3


def test_a_head_without_end_gets_a_431(url: str) -> None:
    received = raw(url, head("GET", "/live", "X: " + "a" * 70_000)[:-2], silence_s=2)
    assert statuses(received) == [431]
    check_error(received.partition(b"\r\n\r\n")[2])


def test_many_slow_connections_leave_a_good_client_alone(url: str, soon: None) -> None:
    """100 slow connections are all closed within the deadline, and a client beside them is served meanwhile."""

    def slow(number: int) -> float:
        with connect(url) as client:
            client.sendall(LIVE[: number % 3 * 8])
            return until_closed(client)[1]

    with ThreadPoolExecutor(100) as pool, Client(url) as good:
        times = pool.map(slow, range(100))
        for _ in range(20):
            good.check_health()
        assert max(times) < 4


def test_the_keep_alive_time_is_announced(chatml: Model) -> None:
    """Answers announce how long an idle connection stays open, and the connection stays open as long.

    Pools and proxies keep connections for 60 to 90 s. The server closed them after 5 s, and requests met resets.
    """
    model, _ = scripted(chatml, "all\nhello")
    with (
        serving(create_app(lambda: model, Settings(keep_alive_s=1)), timeout_keep_alive=1) as url,
        connect(url) as client,
    ):
        answer = ask_live(client).lower()
        assert b"\r\nkeep-alive: timeout=1\r\n" in answer and b"\r\nconnection: keep-alive\r\n" in answer
        received, took_s = until_closed(client)
    assert received == b""
    assert 0.8 < took_s < 4


@pytest.mark.parametrize(
    "request_", [head("GET", "/live", "Connection: close"), b"GET /live HTTP/1.0\r\n\r\n"], ids=["close", "HTTP/1.0"]
)
def test_a_closed_connection_announces_nothing(url: str, request_: bytes) -> None:
    received = raw(url, request_)
    assert statuses(received) == [200]
    assert b"keep-alive" not in received.lower()
    assert received.lower().count(b"connection: close") == 1


def test_the_default_outlasts_the_pools_of_clients(url: str) -> None:
    with Client(url) as client:
        assert client.send("GET", "/live").headers["keep-alive"] == "timeout=75"
