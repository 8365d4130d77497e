"""How the server stops on SIGTERM: running and waiting requests end, new ones get 503, and what is late is cut."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.started_server import Started, started
from tests.support.strict_fold import events, strict_fold

CHAT = "/v1/chat/completions"
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 200, "ignore_eos": True}
# Each step takes as long, so that streams run when the signal comes.
SLOW_STEPS = """
import time
from engines.local.prefill_budget import PrefillBudget
record = PrefillBudget.record
def slow(self, num_tokens, seconds):
    time.sleep({seconds})
    record(self, num_tokens, seconds)
PrefillBudget.record = slow
"""


def draining(folder: Path, *options: str, step_s: float) -> Any:
    """Start a server of a tiny model whose steps take `step_s`."""
    named = ("--model", str(folder), "--served-model-name", "tiny")
    return started(*named, *options, before=SLOW_STEPS.format(seconds=step_s))


def gauge(url: str, name: str) -> int:
    found = re.search(rf"^functionary:{name}(?:{{.*}})? (\d+)", httpx2.get(f"{url}/metrics").text, re.MULTILINE)
    assert found
    return int(found[1])


def wait_for(url: str, **gauges: int) -> None:
    deadline = time.monotonic() + 60
    while any(gauge(url, name) != value for name, value in gauges.items()):
        assert time.monotonic() < deadline, httpx2.get(f"{url}/metrics").text
        time.sleep(0.05)


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_70_of_70_requests_survive(chatml_folder: Path) -> None:
    """50 streams run and 20 wait when SIGTERM comes: all of them end as if nothing had happened.

    Meanwhile the server is reached by load balancers, which learn that it takes no further requests.
    """

    async def stream(client: httpx2.AsyncClient, url: str) -> str:
        async with client.stream("POST", f"{url}{CHAT}", json={**ASKED, "stream": True}) as response:
            assert response.status_code == 200
            return "".join([part async for part in response.aiter_text()])

    async def all_streams(server: Started) -> list[str]:
        url = server.url
        limits = httpx2.Limits(max_connections=100)
        async with httpx2.AsyncClient(timeout=120, limits=limits) as client:
            streams = [asyncio.create_task(stream(client, url)) for _ in range(70)]
            await asyncio.to_thread(wait_for, url, num_requests_running=50, num_requests_waiting=20)
            await asyncio.to_thread(check_refusals, server)
            return await asyncio.gather(*streams)

    options = ("--max-running", "50", "--drain-timeout", "100")
    with draining(chatml_folder, *options, step_s=0.03) as server:
        bodies = asyncio.run(all_streams(server))
        assert server.exit_status() == 0
    assert len(bodies) == 70
    for body in bodies:
        (choice,) = strict_fold(events(body))["choices"]
        assert choice["finish_reason"] == "length"
        assert body.endswith("data: [DONE]\n\n")
    assert [line for line in server.lines if "shutting down" in line]
    assert not [line for line in server.lines if "Traceback" in line or "Error" in line]


def check_refusals(server: Started) -> None:
    """Stop a server whose slots are taken, and look at what others get from then on."""
    url = server.url
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with (
        socket.create_connection(address, timeout=30) as kept,
        socket.create_connection(address, timeout=30) as silent,
    ):
        kept.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_until(kept, b'{"status":"ok"}').startswith(b"HTTP/1.1 200")
        server.terminate()
        assert kept.recv(65536) == b""  # a connection without a request is closed
        silent.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")  # its first request was underway
        assert silent.recv(65536).startswith(b"HTTP/1.1 503")
        assert error_of(httpx2.get(f"{url}/ready")) == error_of(httpx2.get(f"{url}/health")) == (503, "shutting_down")
        assert httpx2.get(f"{url}/live").status_code == 200
        for padding in ("", "x" * 2**20):  # a long body is read, else the client would see a reset
            answer = httpx2.post(f"{url}{CHAT}", json={**ASKED, "user": padding})
            assert error_of(answer) == (503, "shutting_down")
            assert answer.headers["retry-after"]
            assert answer.headers["connection"] == "close"
        anthropic = httpx2.post(f"{url}/v1/messages", json=ASKED).json()
        assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "overloaded_error")
    assert gauge(url, "num_requests_running") == 50


def read_until(connection: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        part = connection.recv(65536)
        assert part, got
        got += part
    return got


def test_what_is_late_is_cut(chatml_folder: Path) -> None:
    """After --drain-timeout, a stream ends with an error, and any other request gets 503; the exit status is 0."""

    async def ask(client: httpx2.AsyncClient, url: str, stream: bool) -> httpx2.Response:
        return await client.post(f"{url}{CHAT}", json={**ASKED, "stream": stream})

    async def both(server: Started) -> list[httpx2.Response]:
        url = server.url
        async with httpx2.AsyncClient(timeout=60) as client:
            asked = [asyncio.create_task(ask(client, url, stream)) for stream in (True, False)]
            await asyncio.to_thread(wait_for, url, num_requests_running=2)
            server.terminate()
            return await asyncio.gather(*asked)

    with draining(chatml_folder, "--drain-timeout", "1", step_s=0.2) as server:
        streamed, whole = asyncio.run(both(server))
        assert server.exit_status() == 0
    lines = [line.removeprefix("data: ") for line in streamed.text.split("\n") if line.startswith("data: ")]
    assert streamed.status_code == 200
    assert json.loads(lines[-1])["error"]["code"] == "shutting_down"
    assert error_of(whole) == (503, "shutting_down")


def test_a_second_signal_ends_it_at_once(chatml_folder: Path) -> None:
    with draining(chatml_folder, step_s=0.2) as server:
        url = server.url
        with httpx2.stream("POST", f"{url}{CHAT}", json={**ASKED, "stream": True}, timeout=60) as response:
            parts = response.iter_text()
            next(parts)
            server.terminate()
            time.sleep(0.5)
            begun = time.monotonic()
            server.terminate()
            assert server.exit_status() == 128 + 15
            assert time.monotonic() - begun < 5
            with pytest.raises(httpx2.TransportError):
                list(parts)
