"""Many clients at once, over HTTP: tokens/s and the time to the first token, of any OpenAI-compatible server.

`python -m bench.clients` starts `server.py`; `--url URL --model NAME` asks a server that runs already, so that other
servers are measured with the same workloads. Chat: other words in each prompt, 48 tokens. Calls: the same three
functions, another question each time, the model decides. Streams are read to their end; tokens are those of `usage`.
Prints a table and writes it and the figures of all rounds to `bench/results/`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import count
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bench.one_stream import ROOT, machine, server

Json = dict[str, Any]

CLIENTS = (1, 8, 16, 32)
CITIES = ("Istanbul", "Lyon", "Turin", "Oslo", "Porto", "Ghent", "Graz", "Split")
FIELDS = ("location", "format"), ("origin", "destination"), ("amount", "currency")
NAMES = ("get_current_weather", "find_trains", "convert_money")
NUMBERS = count()


def chat() -> Json:
    """About 120 tokens, none of which stand in two prompts at the same place."""
    number = next(NUMBERS)
    words = " ".join(f"{CITIES[(number + i) % 8]} has {number + i} bridges." for i in range(14))
    return {"messages": [{"role": "user", "content": f"{number}. {words} Describe the prettiest."}], "ignore_eos": True}


def call() -> Json:
    city = CITIES[next(NUMBERS) % 8]
    functions = [
        {"name": name, "description": name.replace("_", " "), "parameters": _object(fields)}
        for name, fields in zip(NAMES, FIELDS, strict=True)
    ]
    question = f"What is the weather in {city}, in celsius?"
    tools = [{"type": "function", "function": function} for function in functions]
    return {"messages": [{"role": "user", "content": question}], "tools": tools}


WORKLOADS: dict[str, Callable[[], Json]] = {"chat": chat, "calls": call}


def _object(fields: tuple[str, ...]) -> Json:
    return {"type": "object", "properties": {name: {"type": "string"} for name in fields}, "required": [*fields]}


def ask(port: int, model: str, body: Json) -> tuple[float, int]:
    """Seconds to the first token, and the number of tokens."""
    settings = {"model": model, "temperature": 0, "max_tokens": 48, "stream": True}
    asked = json.dumps({**settings, **body, "stream_options": {"include_usage": True}})
    first, num_tokens, begun = 0.0, 0, time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request("POST", "/v1/chat/completions", asked, {"Content-Type": "application/json"})
        for line in iter(connection.getresponse().readline, b""):
            if not line.startswith(b"data: {"):
                continue
            first = first or time.perf_counter() - begun
            num_tokens = ((json.loads(line[6:])).get("usage") or {}).get("completion_tokens", num_tokens)
    if not num_tokens:
        raise SystemExit("clients: a stream ended without usage; the server's answer was no stream of chunks")
    return first, num_tokens


def crowd(port: int, model: str, workload: Callable[[], Json], num_clients: int, num_requests: int) -> Json:
    """All requests of one workload by so many clients, each asking again when it is answered."""
    bodies = [workload() for _ in range(num_requests)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(num_clients) as pool:
        answers = list(pool.map(lambda body: ask(port, model, body), bodies))
    seconds = time.perf_counter() - begun
    num_tokens = sum(tokens for _, tokens in answers)
    first_ms = 1000 * median(first for first, _ in answers)
    return {"tokens_per_s": num_tokens / seconds, "answers_per_s": len(answers) / seconds, "first_ms": first_ms}


@contextmanager
def asked(url: str | None) -> Iterator[int]:
    """The port of a server on this machine."""
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
    with asked(options.url) as port:
        for number in range(options.rounds + 1):
            measured = {
                f"{name}, {num}": crowd(port, options.model, workload, num, max(8, 2 * num))
                for name, workload in WORKLOADS.items()
                for num in CLIENTS
            }
            rounds += [measured] if number else []  # the first one warms up
    text = "\n".join((f"{machine()}, medians of {options.rounds} rounds", "", *table(rounds), ""))
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"clients_{options.name}.json").write_text(json.dumps(rounds) + "\n")
    (folder / f"clients_{options.name}.md").write_text(text)
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
