"""Measures one stream on the CPU in three ways: over HTTP, with the bare engine, and with transformers' `generate`.

The difference between the times over HTTP and with the bare engine is the cost of HTTP, parsing and constraints.
`python -m bench.one_stream` starts `server.py` and measures every way once in each round. All ways use prompts of the
same length and generate the same number of greedy tokens. Each prompt begins with a different number, so nothing comes
from the prefix cache. Ratios are computed within a round, since other programs slow down all measurements of a round
about equally. The program prints a table, and writes the table and the times of all rounds to `bench/results/`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from functools import cache, partial
from http.client import HTTPConnection
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from apis.chat_completions import chat_request
from bench.servers import ROOT, native_dtype, plain_model, server
from client.json_lines import write_whole
from core.generation import Sampling
from inference import Model, chat_prompt, load_model

Json = dict[str, Any]

WRITER = (
    "You are a friendly writer. You answer with long, vivid stories. You write for children of ten: short sentences, "
    "plain words, the smell of the sea and of old books, and now and then a little joke."
)
PLANTS = "What is photosynthesis? Describe it in one long paragraph, from the light to the sugar."
TRIP = "Book two seats on the train from Istanbul to Ankara on 14 May."
TRAIN = {key: {"type": "string"} for key in ("departure", "destination", "date", "class", "name")}
BOOK = {"name": "book_train", "parameters": {"type": "object", "properties": TRAIN, "required": [*TRAIN]}}
COMMON: Json = {"model": "functionary", "temperature": 0, "max_tokens": 48, "stream": True}
NUMBERS = count(100)


def text_request() -> Json:
    system = {"role": "system", "content": f"{next(NUMBERS)}. {WRITER}"}
    return {**COMMON, "messages": [system, {"role": "user", "content": PLANTS}], "ignore_eos": True}


def call_request() -> Json:
    function = {**BOOK, "description": f"Ticket office {next(NUMBERS)}"}
    asked = {"functions": [function], "function_call": {"name": "book_train"}}
    return {**COMMON, **asked, "messages": [{"role": "user", "content": TRIP}]}


REQUESTS = {"text": text_request, "forced call": call_request}


@dataclass
class Stopwatch:
    """The arrival times of the parts of one answer, in seconds. `num_tokens` may exceed the number of parts."""

    started: float = field(default_factory=time.perf_counter)
    arrivals: list[float] = field(default_factory=list)
    num_tokens: int = 0

    def tick(self) -> None:
        self.arrivals.append(time.perf_counter())

    def put(self, value: torch.Tensor) -> None:
        """Record the arrival of tokens that transformers' `generate` streams: first the prompt, then each new token.

        The prompt is a matrix, and each new token a vector.
        """
        if value.dim() == 1:
            self.tick()

    def end(self) -> None:
        self.num_tokens = len(self.arrivals)

    def times_ms(self) -> tuple[float, float]:
        """Return the time to the first token, and the mean time of each further token, in ms."""
        rest = (self.arrivals[-1] - self.arrivals[0]) / (self.num_tokens - 1)
        return 1000 * (self.arrivals[0] - self.started), 1000 * rest


Ask = Callable[[], Stopwatch]
_plain_model = cache(plain_model)


def over_http(port: int, request: Callable[[], Json]) -> Stopwatch:
    """Time a streamed request over a new connection, with a minimal client.

    A chunk has several tokens if drafts were accepted. Therefore `usage` gives the number of tokens.
    """
    body = json.dumps({**request(), "stream_options": {"include_usage": True}})
    watch, lines = Stopwatch(), []
    with closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("POST", "/v1/chat/completions", body)
        for line in iter(connection.getresponse().readline, b""):
            if line.startswith(b'data: {"id"'):
                watch.tick()
                lines.append(json.loads(line.removeprefix(b"data: ")))
    watch.arrivals.pop()  # the last chunk has only `usage`
    watch.num_tokens = lines.pop()["usage"]["completion_tokens"]
    if len(lines) < 3:
        sys.exit(f"{len(lines)} chunks for {watch.num_tokens} tokens: choose another prompt")
    return watch


def over_engine(model: Model, prompt_ids: Sequence[int], num_tokens: int) -> Stopwatch:
    """Time the bare engine, without constraints and without decoding tokens to text."""
    sampling = Sampling(max_tokens=num_tokens, temperature=0.0, owner=str(next(NUMBERS)))
    watch = Stopwatch()

    async def read() -> None:
        async with aclosing(model.engine.generate(prompt_ids, sampling)) as steps:
            async for step in steps:
                watch.tick()
                watch.num_tokens += len(step.token_ids)

    asyncio.run(read())
    return watch


def over_generate(other: ProcessPoolExecutor, prompt_ids: Sequence[int], num_tokens: int) -> Stopwatch:
    """Time transformers' `generate`. It runs in another process, since its threads and the engine's would compete."""
    return other.submit(_generate, list(prompt_ids), num_tokens).result()


def _generate(prompt_ids: list[int], num_tokens: int) -> Stopwatch:
    plain, ids = _plain_model(native_dtype()), torch.tensor([prompt_ids])
    watch = Stopwatch()
    mask = torch.ones_like(ids)
    plain.generate(ids, attention_mask=mask, max_new_tokens=num_tokens, do_sample=False, streamer=watch)
    return watch


def ways(port: int, other: ProcessPoolExecutor) -> Iterator[tuple[str, dict[str, Ask]]]:
    """Yield each prompt's name and the ways to answer it. All ways are compared with the way "engine"."""
    model = load_model(device="cpu")
    for name, request in REQUESTS.items():
        num_tokens = over_http(port, request).num_tokens
        ids = chat_prompt(model, chat_request(request()))
        by_way: dict[str, Ask] = {
            "engine": partial(over_engine, model, ids, num_tokens),
            "HTTP": partial(over_http, port, request),
            "generate": partial(over_generate, other, ids, num_tokens),
        }
        yield f"{name}, {len(ids)} + {num_tokens} tokens", by_way


def measure(num_rounds: int) -> Json:
    """Measure all rounds. Returns (ms to the first token, ms per further token) of each round, by prompt and way.

    A warm-up round comes first and is dropped.
    """
    with server() as port, ProcessPoolExecutor(1, get_context("spawn")) as other:
        asked = dict(ways(port, other))
        times: Json = {prompt: {way: [] for way in by_way} for prompt, by_way in asked.items()}
        for _ in range(num_rounds + 1):
            for prompt, by_way in asked.items():
                for way, ask in by_way.items():
                    times[prompt][way].append(ask().times_ms())
    return {prompt: {way: rounds[1:] for way, rounds in by_way.items()} for prompt, by_way in times.items()}


def machine() -> str:
    """Describe the machine in one line: the CPU, its cores and instruction sets, PyTorch's version and threads."""
    known = dict(line.split("\t", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if "\t" in line)
    flags = ", ".join(sorted({"avx2", "avx512f", "avx512_bf16", "amx_bf16"}.intersection(known["flags"].split())))
    cpu = f"{known['model name'].strip(': ')}, {os.cpu_count()} cores ({flags})"
    return f"{cpu}, torch {torch.__version__} with {torch.get_num_threads()} threads"


def cpu_seconds() -> tuple[float, float, float]:
    """Return three counts of CPU seconds: of all programs; of this program and its ended children; busy plus idle."""
    spent = [
        int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    ]
    return sum(spent) - sum(spent[3:5]), sum(os.times()[:4]), sum(spent)


def table(times: Json) -> Iterator[str]:
    """Yield the lines of the table: the median times, and their ratios to the engine's times.

    A ratio is taken within a round; its median and range are shown. Above 1 means slower than the engine.
    """
    yield "| prompt + answer | way | first token, ms | to engine | per token, ms | to engine | tokens/s |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for prompt, by_way in times.items():
        for way, rounds in by_way.items():
            first, token = (median(column) for column in zip(*rounds, strict=True))
            pairs = list(zip(rounds, by_way["engine"], strict=True))
            ratios = [sorted(own[part] / engine[part] for own, engine in pairs) for part in (0, 1)]
            first_ratio, token_ratio = (f"{median(of):.2f} ({of[0]:.2f} to {of[-1]:.2f})" for of in ratios)
            shown = f"{first:.0f} | {first_ratio} | {token:.1f} | {token_ratio} | {1000 / token:.1f}"
            yield f"| {prompt} | {way} | {shown} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    num_rounds = parser.parse_args().rounds
    started = cpu_seconds()
    times = measure(num_rounds)
    busy, own, everything = (after - before for before, after in zip(started, cpu_seconds(), strict=True))
    about = (
        f"{machine()}, medians of {num_rounds} rounds; other programs took {(busy - own) / everything:.0%} of the CPU"
    )
    text = "\n".join((about, "", *table(times), ""))
    folder = ROOT / "bench" / "results"
    write_whole(folder / "one_stream.json", json.dumps({"about": about, "times_ms": times}) + "\n")
    write_whole(folder / "one_stream.md", text)
    print(text)


if __name__ == "__main__":
    main()
