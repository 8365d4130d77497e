"""Greedy answers in batches: the same as one by one, whatever stands beside them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from engines import Sampling, Step
from errors import EngineError, PromptTooLong
from evaluate.batches import MAX_ROWS, MAX_TOKENS, GreedyBatches, Row, answer, chosen, is_plain
from evaluate.local import EngineEndpoint
from inference import Model

GREEDY = Sampling(max_tokens=24, temperature=0.0)


@pytest.fixture(scope="module")
def weights(chatml_folder: Path) -> PreTrainedModel:
    found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(chatml_folder, dtype=torch.float32)
    return found  # as it is given, ready for inference


def answered(engine: GreedyBatches, asked: list[tuple[list[int], Sampling]]) -> list[list[Step]]:
    """The steps of each request, all asked at once."""

    async def one(prompt_ids: list[int], sampling: Sampling) -> list[Step]:
        return [step async for step in engine.generate(prompt_ids, sampling)]

    async def ask() -> list[list[Step]]:
        return await asyncio.gather(*(one(*request) for request in asked))

    return asyncio.run(ask())


def tokens(steps: list[Step]) -> tuple[list[int], str | None]:
    return [token_id for step in steps for token_id in step.token_ids], steps[-1].finish_reason


def test_batched_answers_are_those_of_the_serving_engine(chatml: Model, weights: PreTrainedModel) -> None:
    """Prompts of all lengths, some that stop early and some at once; more of them than a batch takes."""
    draw = random.Random(0)
    asked = []
    for _ in range(3 * MAX_ROWS):
        prompt = [draw.randrange(256) for _ in range(draw.choice([1, 2, 7, 40, 41, 150]))]
        stop_ids = frozenset(draw.sample(range(272), draw.choice([0, 5, 60])))
        asked.append((prompt, replace(GREEDY, stop_ids=stop_ids, max_tokens=draw.choice([1, 5, 24]))))
    one_by_one = [tokens(answered(chatml.engine, [request])[0]) for request in asked]  # type: ignore[arg-type]
    together = [tokens(steps) for steps in answered(GreedyBatches(weights, chatml.engine), asked)]
    assert together == one_by_one
    assert {reason for _, reason in together} == {"stop", "length"}


def test_what_is_not_plainly_greedy_goes_to_the_serving_engine(chatml: Model, weights: PreTrainedModel) -> None:
    sampled = replace(GREEDY, temperature=1.0, seed=3)
    biased = replace(GREEDY, logit_bias=((5, 100.0),))
    assert is_plain(replace(GREEDY, seed=3, stop_ids=frozenset({1})))
    for sampling in (sampled, biased, replace(GREEDY, logprobs=1), replace(GREEDY, repetition_penalty=1.2)):
        assert not is_plain(sampling)
        (steps,) = answered(GreedyBatches(weights, chatml.engine), [([1, 2, 3], sampling)])
        (alone,) = answered(chatml.engine, [([1, 2, 3], sampling)])  # type: ignore[arg-type]
        assert tokens(steps) == tokens(alone)


def test_a_batch_takes_the_oldest_and_those_near_it_in_length() -> None:
    rows = [Row([0] * length, GREEDY) for length in (500, 10, 520, 2000, 480, 11)]
    assert [len(row.prompt_ids) for row in chosen(rows)[:3]] == [500, 520, 480]
    assert len(chosen([Row([0], GREEDY)] * 1 + [Row([0], GREEDY) for _ in range(40)])) == MAX_ROWS
    wide = [Row([0] * 3000, GREEDY) for _ in range(4)]
    assert chosen(wide) == wide[: MAX_TOKENS // 3024]
    assert chosen([Row([0] * 9000, GREEDY)])  # alone, however long


def test_faults_are_told_to_each_request(chatml: Model, weights: PreTrainedModel) -> None:
    engine = GreedyBatches(weights, chatml.engine)
    with pytest.raises(PromptTooLong):
        answered(engine, [([1] * 5000, GREEDY)])
    with pytest.raises(EngineError, match="a batch of the model failed"):
        answered(engine, [([1_000_000], GREEDY), ([1], GREEDY)])
    assert tokens(answered(engine, [([1], GREEDY)])[0])[0]


def test_a_chat_is_answered_alike_with_and_without_batches(chatml: Model, weights: PreTrainedModel) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 12}
    batched = replace(chatml, engine=GreedyBatches(weights, chatml.engine))
    alone, together = (asyncio.run(EngineEndpoint(model).answer(body)) for model in (chatml, batched))
    assert (alone.text, alone.completion_tokens, alone.finish_reason) == (
        together.text,
        together.completion_tokens,
        together.finish_reason,
    )
    assert "in batches" in batched.engine.description()


def test_who_leaves_the_queue_is_not_answered(chatml: Model, weights: PreTrainedModel) -> None:
    engine = GreedyBatches(weights, chatml.engine)

    async def leave() -> None:
        requests = [asyncio.ensure_future(anext(engine.generate([i], GREEDY))) for i in range(MAX_ROWS + 1)]
        await asyncio.sleep(0)
        requests[-1].cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    asyncio.run(leave())
    assert engine._waiting == []


def test_a_batch_that_nobody_waits_for_ends_within_a_step(chatml: Model, weights: PreTrainedModel) -> None:
    """Else Ctrl-C would wait for the longest answer of the batch."""
    row = Row([1, 2], replace(GREEDY, max_tokens=10**9))
    row.has_left = True
    answer(weights, [row])
    assert row.output_ids == []
