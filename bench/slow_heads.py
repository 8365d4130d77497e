"""Measures 500 clients that send their head slowly, beside a good client: `python -m bench.slow_heads`.

A third of the slow clients sends one byte each half second, a third sends half a head, and a third sends nothing. The
program measures how long the server keeps them, and the times of a good client's requests with and without them. It
prints a table and writes it to `bench/results/`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from statistics import quantiles
from typing import Any

from bench.one_stream import machine
from bench.servers import ROOT, server
from bench.workloads import chat
from client.json_lines import write_whole

NUM_SLOW = 500
GIVEN_UP_S = 30.0  # a connection that is still open then counts as kept without end
WINDOW_S = 13.0
HEAD = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nUser-Agent: slow\r\n"
MODEL = "functionary"


async def slow_client(port: int, kind: int) -> tuple[float, bytes]:
    """Open a connection and send slowly. Return the time until the server closes it, and what the server sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun, received = time.perf_counter(), b""
    to_send = HEAD if kind == 0 else b""
    if kind == 1:
        writer.write(HEAD[: len(HEAD) // 2])
    try:
        while time.perf_counter() - begun < GIVEN_UP_S:
            if to_send:
                writer.write(to_send[:1])
                to_send = to_send[1:]
            try:
                data = await asyncio.wait_for(reader.read(65536), 0.5)
            except TimeoutError:
                continue
            if not data:
                break
            received += data
    except ConnectionError:
        pass
    finally:
        writer.close()
    return time.perf_counter() - begun, received


def slow_clients(port: int) -> list[tuple[float, bytes]]:
    async def run() -> list[tuple[float, bytes]]:
        return await asyncio.gather(*(slow_client(port, number % 3) for number in range(NUM_SLOW)))

    return asyncio.run(run())


def list_models(connection: HTTPConnection) -> None:
    connection.request("GET", "/v1/models")
    connection.getresponse().read()


def short_chat(connection: HTTPConnection) -> None:
    body = json.dumps({"model": MODEL, "temperature": 0, **chat(), "max_tokens": 4})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    connection.getresponse().read()


def times_ms(port: int, ask: Callable[[HTTPConnection], None]) -> list[float]:
    """Ask again and again for WINDOW_S. Return the time of each request in ms."""
    times: list[float] = []
    begun = time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while (started := time.perf_counter()) - begun < WINDOW_S:
            ask(connection)
            times.append(1000 * (time.perf_counter() - started))
            time.sleep(0.005)
    return times


def percentiles(times: list[float]) -> str:
    cuts = quantiles(times, n=100)
    return f"{cuts[49]:.1f} | {cuts[98]:.1f}"


def main() -> None:
    lines = ["| | requests | p50 ms | p99 ms |", "|---|---:|---:|---:|"]
    kept: list[tuple[float, bytes]] = []
    with server() as port, ProcessPoolExecutor(1) as pool:
        asks: dict[str, Any] = {"GET /v1/models": list_models, "chat of 4 tokens": short_chat}
        for name, ask in asks.items():
            times_ms(port, ask)  # fills the caches
            without = times_ms(port, ask)
            attack = pool.submit(slow_clients, port)
            beside = times_ms(port, ask)
            kept += attack.result()
            lines.append(f"| {name}, no other client | {len(without)} | {percentiles(without)} |")
            lines.append(f"| {name}, beside {NUM_SLOW} slow clients | {len(beside)} | {percentiles(beside)} |")
    longest = max(took for took, _ in kept)
    num_told = sum(received.startswith(b"HTTP/1.1 408 ") for _, received in kept)
    about = f"{len(kept)} slow clients in two runs: the last was closed after {longest:.1f} s; {num_told} got a 408."
    text = "\n".join((f"{machine()}, one run", "", *lines, "", about, ""))
    write_whole(ROOT / "bench" / "results" / "slow_heads.md", text)
    print(text)


if __name__ == "__main__":
    main()
