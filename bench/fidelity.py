"""Compares our engine's greedy tokens with transformers' own model in float32: `python -m bench.fidelity`.

The engine answers fifty requests with functions in batches, 64 tokens each. transformers then computes the logits of
each prompt and answer in one forward. A token of the engine counts as the same if transformers gives it the largest
logit at its position. An answer counts as equal to that of greedy `generate` if all its tokens are the same. For every
differing token, the distance between its logit and the largest one is computed, and the report gives the largest
distance.
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
    """A token that the engine generated although transformers' model gives another token a larger logit.

    answer: the index of the answer. token: the index of the token in the answer. below: how far the logit of the token
    is below the largest one.
    """

    answer: int
    token: int
    below: float


def prompts(model: Model, number: int = 50) -> list[list[int]]:
    lines = islice(read_lines(ROOT / "examples" / "everyday.jsonl"), number)
    rows = [parse_row(line, where) for line, where in lines]
    return [chat_prompt(model, chat_request({"model": "x", **row.request()})) for row in rows]


def greedy_answers(model: Model, asked: Sequence[Sequence[int]], num_tokens: int = NUM_TOKENS) -> list[list[int]]:
    """Generate greedy answers to all prompts at the same time with the engine. Stop tokens are ignored."""

    async def one(ids: Sequence[int]) -> list[int]:
        sampling = Sampling(max_tokens=num_tokens, temperature=0.0)
        async with aclosing(model.engine.generate(ids, sampling)) as steps:
            return [token async for step in steps for token in step.token_ids]

    async def together() -> list[list[int]]:
        return list(await asyncio.gather(*map(one, asked)))

    return asyncio.run(together())


@torch.inference_mode()
def differences(plain: Any, asked: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[Mismatch]:
    """Find all tokens of the answers that are not the best ones of the model `plain`, given the tokens before them."""
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
