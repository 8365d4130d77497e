"""Measures the resident memory of `server.py` with the embedded model under mixed requests: `python -m bench.memory`.

The requests are short and long prompts, chats with new system prompts, calls with functions in `auto` and forced, and
answers by a schema; half of them are streamed, several at a time. The program prints the resident memory before, during
and after them, its peak, and the bound of the KV cache and the prefix cache.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.servers import server
from bench.workloads import ask, call, chat, cold, forced_call

Json = dict[str, Any]

MODEL = "functionary"
NUMBERS = count()


def metric(port: int, name: str) -> float:
    """Read one metric without labels from the server's /metrics."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name} "))
    return float(line.split()[1])


def resident_mb(port: int) -> float:
    return metric(port, "process_resident_memory_bytes") / 1e6


def peak_mb(port: int) -> float | None:
    """Return the highest resident memory of the server's process so far; None on a system without /proc."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = status.with_name("cmdline").read_bytes().split(b"\0")
            if str(port).encode() in command and b"server.py" in command:
                (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
                return int(line.split()[1]) * 1024 / 1e6
        except OSError:  # the process has ended
            continue
    return None


def mixed() -> Json:
    """Make the next request of the mixture."""
    number = next(NUMBERS)
    system = {"role": "system", "content": f"You are assistant number {number}. Answer in {1 + number % 3} words."}
    schema = {"type": "object", "properties": {f"field_{number}": {"type": "string", "maxLength": 9}}}
    kinds: tuple[Json, ...] = (
        cold(1 + number % 60),
        chat(),
        {"messages": [system, {"role": "user", "content": "Who are you?"}]},
        call(),
        forced_call(),
        cold(200 + number % 400),
        {"messages": [{"role": "user", "content": "Name a city."}], "guided_json": schema},
        cold(1_500 if number % 50 == 7 else 20),
    )
    return {**kinds[number % len(kinds)], "max_tokens": 4}


def send(port: int, body: Json) -> None:
    """Send one request and read its answer, streamed or whole in turns."""
    if next(NUMBERS) % 2:
        ask(port, MODEL, body)
        return
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        document = json.dumps({"model": MODEL, "temperature": 0, **body})
        connection.request("POST", "/v1/chat/completions", document, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"bench: the server answered {answer.status}: {answer.read()[:300]!r}")
        answer.read()


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.memory", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=16, help="requests at the same time (default: %(default)s)")
    parser.add_argument("options", nargs="*", help="options of server.py, after --")
    asked = parser.parse_args()
    with server(*asked.options) as port:
        ask(port, MODEL, {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4})
        print(f"bound of the caches {metric(port, 'functionary:kv_cache_max_bytes') / 1e6:.0f} MB", flush=True)
        print(f"resident after 1 request {resident_mb(port):.0f} MB", flush=True)
        with ThreadPoolExecutor(asked.clients) as pool:
            for tenth in range(1, 11):
                list(pool.map(lambda body: send(port, body), [mixed() for _ in range(asked.requests // 10)]))
                print(f"resident after {tenth * asked.requests // 10} {resident_mb(port):.0f} MB", flush=True)
        peak = peak_mb(port)
        print("peak unknown" if peak is None else f"peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
