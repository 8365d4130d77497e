"""Compares our engine's greedy tokens with transformers' own model in float32: `python -m bench.fidelity`.

The engine answers fifty requests with functions in batches, 64 tokens each. transformers then computes the logits of
each prompt and answer in one forward. A token is the same if its logit is the largest at its position; an answer equals
that of greedy `generate` if all its tokens are the same. For other tokens the report gives the largest distance of
their logits from the best one.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from tqdm import tqdm

from apis.chat_completions import chat_request
from bench.one_stream import machine
from bench.servers import ROOT, plain_model
from client.json_lines import read_lines, write_whole
from client.rows import parse_row
from core.generation import Sampling
from inference import Model, chat_prompt, load_model

NUM_TOKENS = 64


@dataclass(frozen=True)
class Mismatch:
    """A token of the engine that is not the other model's best one.

    answer, token: the indices of the answer and of the token in it. below: the distance of its logit from the best one.
    """

    answer: int
    token: int
    below: float


def prompts(model: Model, number: int = 50) -> list[list[int]]:
    lines = islice(read_lines(ROOT / "examples" / "everyday.jsonl"), number)
    rows = [parse_row(line, where) for line, where in lines]
    return [chat_prompt(model, chat_request({"model": "x", **row.request()})) for row in rows]


def greedy_answers(model: Model, asked: Sequence[Sequence[int]], num_tokens: int = NUM_TOKENS) -> list[list[int]]:
    """The engine's greedy answers to all prompts at the same time. Stop tokens are ignored."""

    async def one(ids: Sequence[int]) -> list[int]:
        sampling = Sampling(max_tokens=num_tokens, temperature=0.0)
        async with aclosing(model.engine.generate(ids, sampling)) as steps:
            return [token async for step in steps for token in step.token_ids]

    async def together() -> list[list[int]]:
        return list(await asyncio.gather(*map(one, asked)))

    return asyncio.run(together())


@torch.inference_mode()
def differences(plain: Any, asked: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[Mismatch]:
    """All tokens of the answers that are not the best of the model `plain`, given the tokens before them."""
    found: list[Mismatch] = []
    pairs = list(zip(asked, answers, strict=True))
    for number, (ids, answer) in enumerate(tqdm(pairs, "comparing")):
        output = plain(input_ids=torch.tensor([[*ids, *answer]]), logits_to_keep=len(answer) + 1)
        logits = output.logits[0, :-1].float()
        below = logits.amax(-1) - logits.gather(1, torch.tensor(answer)[:, None])[:, 0]
        found += [Mismatch(number, place, float(gap)) for place, gap in enumerate(below) if gap > 0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.fidelity", description=(__doc__ or "").split("\n\n")[0])
    parser.parse_args()
    plain = plain_model(torch.float32)
    lines = [f"{machine()}. 50 answers of {NUM_TOKENS} tokens against transformers in float32.", ""]
    lines += ["| engine | tokens | same | equal answers | most below the best |", "|---|---:|---:|---:|---:|"]
    for name, quantize in (("float32", None), ("auto", None), ("bfloat16", None), ("auto, int8", "int8")):
        model = load_model(device="cpu", dtype=name.split(",")[0], quantize=quantize)
        asked = prompts(model)
        answers = greedy_answers(model, asked)
        found = differences(plain, asked, answers)
        total = sum(map(len, answers))
        equal = len(answers) - len({place.answer for place in found})
        most = max((place.below for place in found), default=0.0)
        lines.append(f"| {name} | {total} | {total - len(found)} | {equal} of {len(answers)} | {most:.3g} |")
        asyncio.run(model.engine.close())
    text = "\n".join((*lines, ""))
    write_whole(ROOT / "bench" / "results" / "fidelity.md", text)
    print(text)


if __name__ == "__main__":
    main()
