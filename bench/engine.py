"""Measures the engine's tokens/s without HTTP, for several numbers of streams, and those of transformers' `generate`.

`python -m bench.engine` uses the embedded model on this machine's device. Each prompt has 120 random tokens, each
answer 48 greedy tokens. The time includes prefill and decode; the figures are medians of the rounds. On a GPU the
program also prints the peak memory.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from random import Random
from statistics import median
from typing import Any

import torch

from bench.servers import native_dtype, plain_model
from core.generation import Sampling
from engines.local.devices import pick_device, pick_dtype
from inference import load_model

PROMPT, ANSWER = 120, 48
RANDOM = Random(0)


def prompt() -> list[int]:
    return [RANDOM.randrange(1000, 40_000) for _ in range(PROMPT)]


async def _num_sampled(engine: Any, ids: Sequence[int]) -> int:
    sampling = Sampling(max_tokens=ANSWER, temperature=0.0)
    async with aclosing(engine.generate(ids, sampling)) as steps:
        return sum([len(step.token_ids) async for step in steps])


async def _tokens_per_s(engine: Any, num_streams: int) -> float:
    started = time.perf_counter()
    num_sampled = await asyncio.gather(*(_num_sampled(engine, prompt()) for _ in range(num_streams)))
    return sum(num_sampled) / (time.perf_counter() - started)


def _generate(plain: Any) -> float:
    ids = torch.tensor([prompt()], device=plain.device)
    started = time.perf_counter()
    plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=ANSWER, do_sample=False)
    return ANSWER / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    most = max(options.streams)
    model = load_model(device=options.device, max_running=most, max_context=1024)
    print(model.engine.description())
    for num_streams in options.streams:
        speeds = [asyncio.run(_tokens_per_s(model.engine, num_streams)) for _ in range(options.rounds + 1)][1:]
        print(f"{num_streams} streams: {median(speeds):.1f} tokens/s", flush=True)
    asyncio.run(model.engine.close())  # the engine's threads would slow down those of generate
    device = pick_device(options.device)
    plain = plain_model(native_dtype() if device.type == "cpu" else pick_dtype("auto", device), str(device))
    speeds = [_generate(plain) for _ in range(options.rounds + 1)][1:]
    print(f"generate: {median(speeds):.1f} tokens/s")
    if device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB at most")


if __name__ == "__main__":
    main()
