"""Measures times and memory of `server.py` with the embedded model at its limits: `python -m bench.limits`.

The program measures five things: the time from the start to the first answer; the longest gap of a stream during the
prefill of a long prompt; the time to the first token with cached functions, compared with the time of a step; the
memory by the number of requests so far and by the number of simultaneous requests; and the time per token by context
length. It prints a table, and writes the table and a plot to `bench/results/`.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from itertools import pairwise
from statistics import median
from typing import Any
from urllib.request import urlopen

import matplotlib

from client.json_lines import write_whole

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from bench.one_stream import machine
from bench.servers import ROOT, server
from bench.workloads import ask, call, chat, cold

Json = dict[str, Any]

MODEL = "functionary"
CONTEXTS = (250, 500, 1000, 2000, 4000, 6000)
SLOTS = (1, 4, 8, 16)
WITHOUT_DRAFTS = {"temperature": 2, "seed": 1}  # random tokens do not repeat, so there are no drafts


def resident_mb(port: int) -> float:
    """Read the resident memory of the server's process, in MB, from the server's /metrics."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    (line,) = (line for line in lines if line.startswith("process_resident_memory_bytes "))
    return float(line.split()[1]) / 1e6


def chunk_times(port: int, body: Json) -> Iterator[float]:
    """Yield the time in seconds at which each chunk of a stream arrives."""
    asked = json.dumps({"model": MODEL, "temperature": 0, "stream": True, **body})
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request("POST", "/v1/chat/completions", asked, {"Content-Type": "application/json"})
        for line in iter(connection.getresponse().readline, b""):
            if line.startswith(b"data: {"):
                yield time.perf_counter()


def gap_beside_a_long_prompt(port: int) -> float:
    """Measure the longest gap between two chunks of a chat, in seconds, while a prompt of 6,200 words is prefilled."""
    long = threading.Thread(target=ask, args=(port, MODEL, cold(6200)))
    times: list[float] = []
    for number, arrived in enumerate(chunk_times(port, {**chat(), "max_tokens": 400})):
        times.append(arrived)
        if number == 10:
            long.start()
        if number > 10 and not long.is_alive():
            break
    long.join()
    return max(after - before for before, after in pairwise(times[10:]))


def first_behind_known_functions(port: int) -> dict[str, float]:
    """Measure the time to the first chunk with cached functions, and two other times for comparison, as medians in ms.

    known: the time to the first chunk of a call whose functions are in the prefix cache. alone: the time to the first
    chunk of a short prompt that has as many tokens as the prompt of `known` has uncached tokens. step: the time between
    two tokens of a chat.
    """
    known = [ask(port, MODEL, call()) for _ in range(9)][1:]
    usage = known[-1][2]
    num_new = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    fixed = ask(port, MODEL, cold(1))[2]["prompt_tokens"] - 1
    alone = [ask(port, MODEL, cold(max(1, num_new - fixed)))[0] for _ in range(9)][1:]
    times = list(chunk_times(port, {**chat(), **WITHOUT_DRAFTS, "max_tokens": 64}))
    steps = [after - before for before, after in pairwise(times[4:])]
    medians = {"known": median(first for first, _, _ in known), "alone": median(alone), "step": median(steps)}
    return {name: 1000 * seconds for name, seconds in medians.items()}


def by_context(port: int) -> dict[int, Json]:
    """Measure the time per token in ms and the prefill speed in tokens/s, by the number of words in the prompt."""
    measured: dict[int, Json] = {}
    for size in CONTEXTS:
        first, seconds, usage = ask(port, MODEL, {**cold(size), **WITHOUT_DRAFTS, "max_tokens": 17})
        token_ms = 1000 * (seconds - first) / 16
        measured[size] = {
            "tokens": usage["prompt_tokens"],
            "token_ms": token_ms,
            "read": usage["prompt_tokens"] / first,
        }
    return measured


def by_slots(port: int) -> dict[int, float]:
    """Measure the resident memory in MB after several simultaneous chats of 1,000 words, by the number of chats."""
    measured: dict[int, float] = {}
    for num in SLOTS:
        with ThreadPoolExecutor(num) as pool:
            list(pool.map(lambda _: ask(port, MODEL, {**cold(1000), "max_tokens": 8}), range(num)))
        measured[num] = resident_mb(port)
    return measured


def over_many(port: int, num_requests: int) -> list[float]:
    """Measure the resident memory in MB after each tenth of the requests.

    The requests come from 16 clients and have prompts of 1 to 100 words.
    """
    measured = []
    with ThreadPoolExecutor(16) as pool:
        for _ in range(10):
            bodies = [{**cold(1 + number % 100), "max_tokens": 4} for number in range(num_requests // 10)]
            list(pool.map(lambda body: ask(port, MODEL, body), bodies))
            measured.append(resident_mb(port))
    return measured


def measure(num_requests: int) -> Json:
    started = time.perf_counter()
    with server() as port:
        ask(port, MODEL, {"messages": [{"role": "user", "content": "Hello, who are you?"}]})
        found: Json = {"start_s": time.perf_counter() - started, "mb_at_start": resident_mb(port)}
        found["ms"] = first_behind_known_functions(port)
        found["contexts"] = by_context(port)
        found["slots_mb"] = by_slots(port)
        found["gap_s"] = gap_beside_a_long_prompt(port)
        found["many_mb"] = over_many(port, num_requests)
    return found


def table(found: Json, num_requests: int) -> Iterator[str]:
    yield "| | |"
    yield "|---|---:|"
    yield f"| start to the first answer | {found['start_s']:.1f} s |"
    yield f"| first chunk of a call, functions remembered | {found['ms']['known']:.0f} ms |"
    yield f"| first chunk behind a prompt of the new tokens alone | {found['ms']['alone']:.0f} ms |"
    yield f"| a step of one stream | {found['ms']['step']:.0f} ms |"
    yield f"| longest gap of a stream beside a prompt of 6,200 words | {found['gap_s']:.2f} s |"
    yield f"| resident after the first answer | {found['mb_at_start']:.0f} MB |"
    for num, size in found["slots_mb"].items():
        yield f"| resident after {num} chats of 1,000 words at once | {size:.0f} MB |"
    yield f"| resident after {num_requests // 10:,} more requests | {found['many_mb'][0]:.0f} MB |"
    yield f"| resident after {num_requests:,} | {found['many_mb'][-1]:.0f} MB |"
    for figures in found["contexts"].values():
        about = f"{figures['token_ms']:.0f} ms a token, read at {figures['read']:.0f} tokens/s"
        yield f"| behind {figures['tokens']:,} tokens | {about} |"


def plot(found: Json, path: str) -> None:
    figure, (tokens, memory) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    contexts = found["contexts"].values()
    tokens.plot([one["tokens"] for one in contexts], [one["token_ms"] for one in contexts], marker="o")
    tokens.set_xlabel("tokens before it")
    tokens.set_title("ms of a token, one stream")
    memory.plot([*found["slots_mb"]], [*found["slots_mb"].values()], marker="o")
    memory.set_xlabel("chats of 1,000 words at once")
    memory.set_title("resident MB")
    for axes in (tokens, memory):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.limits", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=2000, help="to see whether memory grows (default: %(default)s)")
    num_requests = parser.parse_args().requests
    found = measure(num_requests)
    folder = ROOT / "bench" / "results"
    text = "\n".join((f"{machine()}, one run", "", *table(found, num_requests), ""))
    write_whole(folder / "limits.json", json.dumps(found) + "\n")
    write_whole(folder / "limits.md", text)
    plot(found, str(folder / "limits.png"))
    print(text)


if __name__ == "__main__":
    main()
