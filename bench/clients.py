"""Measures tokens/s and the time to the first token of an OpenAI-compatible server with many clients at once.

`python -m bench.clients` starts `server.py`; with `--url URL --model NAME` it measures a server that already runs.
There are two workloads. Chats: each request has a different prompt and an answer of 48 tokens. Calls: each request has
the same three functions and a different question; the model decides whether to call, or is forced to. Each stream is
read to its end, and `usage` gives the number of its tokens. The program prints a table, and writes the table and the
figures of all rounds to `bench/results/`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bench.one_stream import machine
from bench.servers import ROOT, server
from bench.workloads import CLIENTS, Workload, call, chat, forced_call, run_clients
from client.json_lines import write_whole

Json = dict[str, Any]

WORKLOADS: dict[str, Workload] = {"chat": chat, "calls": call, "forced calls": forced_call}


@contextmanager
def server_port(url: str | None) -> Iterator[int]:
    """Yield the port of the server at `url`. Without a URL, start a server and yield its port."""
    if url:
        yield urlsplit(url).port or 80
        return
    with server() as port:
        yield port


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.clients", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--url", help="of a server on this machine that runs already")
    parser.add_argument("--model", default="functionary", help="its name there (default: %(default)s)")
    parser.add_argument("--name", default="functionary", help="of the files in bench/results (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds: list[Json] = []
    with server_port(options.url) as port:
        for number in range(options.rounds + 1):
            measured = {
                f"{name}, {num}": run_clients(port, options.model, workload, num, max(8, 2 * num))
                for name, workload in WORKLOADS.items()
                for num in CLIENTS
            }
            rounds += [measured] if number else []  # the first round is a warm-up
    text = "\n".join((f"{machine()}, medians of {options.rounds} rounds", "", *table(rounds), ""))
    folder = ROOT / "bench" / "results"
    write_whole(folder / f"clients_{options.name}.json", json.dumps(rounds) + "\n")
    write_whole(folder / f"clients_{options.name}.md", text)
    print(text)


def table(rounds: list[Json]) -> Iterator[str]:
    yield "| workload, clients | tokens/s | answers/s | first token, ms |"
    yield "|---|---:|---:|---:|"
    for case in rounds[0]:
        values = (median(one[case][key] for one in rounds) for key in ("tokens_per_s", "answers_per_s", "first_ms"))
        tokens, answers, first = values
        yield f"| {case} | {tokens:.0f} | {answers:.2f} | {first:.0f} |"


if __name__ == "__main__":
    main()
