"""The contract of engines, over all of them: what a request may rely on, alone and beside others."""

from __future__ import annotations

import asyncio
import gc
import math
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from core.errors import EngineBusy, EngineError, PromptTooLong, RequestError
from core.generation import Engine, Sampling, Step
from engines.local.engine import LocalEngine
from engines.local.forward import Span, forward
from engines.local.sampling import Sampler
from engines.local.scheduler import MAX_WAITING
from inference import Model
from tests.support.scripted_engine import ScriptedEngine
from tests.support.small_engine import num_requests

PROMPT = [5, 6, 7, 8]
GREEDY = Sampling(max_tokens=12, temperature=0.0)


@pytest.fixture(params=["hf", "scripted"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "scripted":
        return ScriptedEngine(range(10, 60), stop_id=2, max_context=512)
    model: Model = request.getfixturevalue("llama")
    return model.engine


@pytest.fixture
def hf(llama: Model) -> LocalEngine:
    assert isinstance(llama.engine, LocalEngine)
    return llama.engine


async def steps(engine: Engine, sampling: Sampling, prompt: Sequence[int] = PROMPT) -> list[Step]:
    async with aclosing(engine.generate(prompt, sampling)) as stream:
        return [step async for step in stream]


def ids(engine: Engine, sampling: Sampling, prompt: Sequence[int] = PROMPT) -> list[int]:
    return [token_id for step in asyncio.run(steps(engine, sampling, prompt)) for token_id in step.token_ids]


# Every engine


@pytest.mark.parametrize("max_tokens", [1, 2, 7])
def test_the_last_step_and_no_other_has_a_reason(engine: Engine, max_tokens: int) -> None:
    got = asyncio.run(steps(engine, replace(GREEDY, max_tokens=max_tokens)))
    assert sum(len(step.token_ids) for step in got) == max_tokens
    assert [step.finish_reason for step in got] == [None] * (len(got) - 1) + ["length"]


def test_greedy_repeats_itself(engine: Engine) -> None:
    assert ids(engine, GREEDY) == ids(engine, GREEDY)


def test_together_they_answer_as_alone(engine: Engine) -> None:
    """Answers of one request in another's place were a whole family of bugs in other servers."""
    prompts = [[5, 6, 7, 8], [9] * 40, [10, 11]]
    alone = [ids(engine, GREEDY, prompt) for prompt in prompts]

    async def together() -> list[list[Step]]:
        return await asyncio.gather(*(steps(engine, GREEDY, prompt) for prompt in prompts))

    assert [[i for step in got for i in step.token_ids] for got in asyncio.run(together())] == alone


def test_a_prompt_that_fills_the_context_is_refused(engine: Engine) -> None:
    with pytest.raises(PromptTooLong) as refusal:
        ids(engine, GREEDY, [5] * engine.max_context)
    assert str(engine.max_context) in refusal.value.message


def test_closing_stops_the_request(engine: Engine) -> None:
    """With a plain `async for`, leaving the loop leaves the engine running."""

    held: list[weakref.ref[Any]] = []

    async def leave_early() -> None:
        async with aclosing(engine.generate(PROMPT, replace(GREEDY, max_tokens=400))) as stream:
            await anext(stream)
            if isinstance(engine, LocalEngine):
                held.extend(map(weakref.ref, engine._scheduler.running))

    asyncio.run(leave_early())
    if isinstance(engine, ScriptedEngine):
        assert engine.num_active == 0
        return
    assert held
    assert _soon(lambda: all(ref() is None for ref in held)), "the request and its cache are still in memory"


def _soon(condition: Callable[[], bool], *, collect: bool = True) -> bool:
    """Whether it holds within a second; the engine's thread needs a moment."""
    for _ in range(50):
        if collect:
            gc.collect()
        if condition():
            return True
        time.sleep(0.02)
    return False


# transformers in this process


@pytest.fixture(scope="module")
def plain(llama_folder: Path) -> Any:
    """The same weights as transformers runs them."""
    return AutoModelForCausalLM.from_pretrained(llama_folder)


def test_it_generates_what_transformers_generates(hf: LocalEngine, plain: Any) -> None:
    """The same weights, greedy, through `model.generate`."""
    output = plain.generate(
        torch.tensor([PROMPT]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert ids(hf, GREEDY) == output[0, len(PROMPT) :].tolist()


def test_a_long_prompt_is_read_in_chunks_with_the_same_result(hf: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = [7 + i % 90 for i in range(300)]
    whole = ids(hf, GREEDY, prompt)
    monkeypatch.setattr(hf._prefill_budget, "num_tokens", lambda is_decoding: 64)
    assert ids(hf, GREEDY, [6, *prompt]) == ids(hf, GREEDY, [6, *prompt])
    assert ids(hf, GREEDY, prompt) == whole


def test_a_stop_id_ends_the_answer_and_is_its_last_id(hf: LocalEngine) -> None:
    free = ids(hf, GREEDY)
    got = asyncio.run(steps(hf, replace(GREEDY, stop_ids=frozenset({free[5]}))))
    assert [i for step in got for i in step.token_ids] == free[: free.index(free[5]) + 1]
    assert got[-1].finish_reason == "stop"


def test_seeds_repeat_and_differ(hf: LocalEngine) -> None:
    """One user's seed must not fix another's sampling: each request has its own generator."""
    hot = Sampling(max_tokens=12, temperature=1.5)

    async def both() -> tuple[list[Step], list[Step]]:
        return await asyncio.gather(steps(hf, replace(hot, seed=1)), steps(hf, hot))

    first, second = asyncio.run(both()), asyncio.run(both())
    assert first[0] == second[0] != first[1]
    assert first[1] != second[1]
    assert ids(hf, replace(hot, seed=2)) != ids(hf, replace(hot, seed=1))
    assert ids(hf, replace(hot, seed=-(2**63))) == ids(hf, replace(hot, seed=-(2**63)))


def test_the_context_ends_an_answer(hf: LocalEngine) -> None:
    got = asyncio.run(steps(hf, replace(GREEDY, max_tokens=10_000), [5] * (hf.max_context - 4)))
    assert sum(len(step.token_ids) for step in got) == 4
    assert got[-1].finish_reason == "length"


def test_logit_bias_forces_and_forbids(hf: LocalEngine) -> None:
    assert ids(hf, replace(GREEDY, logit_bias=((77, 100.0),))) == [77] * 12
    first = ids(hf, GREEDY)[0]
    assert first not in ids(hf, replace(GREEDY, logit_bias=((first, -100.0),)))


@pytest.mark.parametrize("token_id", [-1, 512, 2**31 - 1])
def test_a_token_id_outside_the_logits_is_refused(hf: LocalEngine, token_id: int) -> None:
    """Other servers wrote it into other users' logits (CVE-2026-93840)."""
    with pytest.raises(RequestError, match="vocabulary of 512"):
        ids(hf, replace(GREEDY, logit_bias=((token_id, 1.0),)))
    with pytest.raises(RequestError, match="vocabulary of 512"):
        ids(hf, GREEDY, [token_id])


def test_an_empty_prompt_is_refused(hf: LocalEngine) -> None:
    """It ended the whole engine elsewhere (CVE-2024-8768)."""
    with pytest.raises(RequestError, match="empty"):
        ids(hf, GREEDY, [])


def test_penalties_make_repetition_dear(hf: LocalEngine) -> None:
    forced = replace(GREEDY, logit_bias=((77, 50.0),))
    assert len(set(ids(hf, forced))) == 1
    assert len(set(ids(hf, replace(forced, presence_penalty=2.0, frequency_penalty=2.0, max_tokens=40)))) > 1
    repeated = Sampling(max_tokens=40, temperature=0.0, repetition_penalty=10.0)
    assert len(set(ids(hf, repeated))) == 40


def test_logprobs_are_those_of_the_model(hf: LocalEngine, plain: Any) -> None:
    got = asyncio.run(steps(hf, replace(GREEDY, max_tokens=3, logprobs=4)))
    with torch.inference_mode():
        expected = torch.log_softmax(plain(input_ids=torch.tensor([PROMPT])).logits[0, -1].float(), -1)
    report = got[0].logprobs[0]
    assert report.token_id == got[0].token_ids[0] == report.top[0][0]
    assert report.logprob == pytest.approx(float(expected.max()), abs=1e-4)
    assert [value for _, value in report.top] == sorted((value for _, value in report.top), reverse=True)
    assert len(report.top) == 4
    assert not asyncio.run(steps(hf, GREEDY))[0].logprobs


def test_the_queue_is_bounded(hf: LocalEngine) -> None:
    """What does not fit is refused at once; what waits when its reader leaves is never started."""

    async def crowd() -> list[Any]:
        tasks = [asyncio.create_task(steps(hf, replace(GREEDY, max_tokens=300))) for _ in range(MAX_WAITING + 40)]
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    kinds = Counter(type(result) for result in asyncio.run(crowd()))
    assert kinds[EngineBusy] >= 20
    assert _soon(lambda: num_requests(hf) == 0)
    assert len(ids(hf, GREEDY)) == 12


def test_only_the_guilty_request_fails(hf: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits that are no numbers, or an error in the forward of one request: the others' answers stay the same."""
    expected = ids(hf, GREEDY)

    def no_numbers(logits: Tensor) -> Tensor:
        return torch.full_like(logits, torch.nan)

    def out_of_memory(logits: Tensor) -> Tensor:
        raise RuntimeError("CUDA out of memory at 0x7f00")

    def panic(logits: Tensor) -> Tensor:
        raise BaseException("a Rust panic, which is no Exception and once ended the thread for all")

    for fault in (no_numbers, out_of_memory, panic):
        monkeypatch.setattr("engines.local.stepping.forward", failing(fault, guilty=99))

        async def three() -> list[Any]:
            requests = [steps(hf, GREEDY), steps(hf, GREEDY, [99, 1]), steps(hf, GREEDY)]
            return await asyncio.gather(*requests, return_exceptions=True)

        first, guilty, third = asyncio.run(three())
        assert isinstance(guilty, EngineError)
        assert "0x7f00" not in str(guilty)
        assert [[i for step in got for i in step.token_ids] for got in (first, third)] == [expected, expected]


def failing(fault: Callable[[Tensor], Tensor], guilty: int) -> Callable[[Any, Sequence[Span]], list[Tensor]]:
    """A forward that does something to the logits of the sequence that has begun with a token."""
    begun: set[int] = set()  # the ids of its keys and values

    def wrapped(model: Any, spans: Sequence[Span]) -> list[Tensor]:
        begun.update(id(span.kv_cache) for span in spans if span.ids[0] == guilty)
        logits = forward(model, spans)
        pairs = zip(spans, logits, strict=True)
        return [fault(rows) if id(span.kv_cache) in begun else rows for span, rows in pairs]

    return wrapped


def test_an_error_does_not_hold_its_request(hf: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its traceback led to the request's cache, in a circle: memory of the GPU, which the collector does not count."""
    caches = []

    def fails(model: Any, spans: Sequence[Span]) -> list[Tensor]:
        caches.append(weakref.ref(spans[0].kv_cache))
        return [torch.full_like(rows, torch.nan) for rows in forward(model, spans)]

    monkeypatch.setattr("engines.local.stepping.forward", fails)
    gc.disable()
    try:
        with pytest.raises(EngineError):
            ids(hf, GREEDY)
        assert _soon(lambda: [cache() for cache in caches] == [None], collect=False)
    finally:
        gc.enable()


def test_a_reader_that_does_not_read_pauses_its_request(hf: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its answer would pile up in memory; when it reads again it gets everything."""
    monkeypatch.setattr("engines.local.scheduler.MAX_UNREAD_STEPS", 5)

    async def read_late() -> int:
        async with aclosing(hf.generate(PROMPT, replace(GREEDY, max_tokens=60))) as stream:
            await anext(stream)
            await asyncio.sleep(0.5)
            (running,) = hf._scheduler.running
            assert running.num_unread_steps == 5
            return 1 + len([step async for step in stream])

    assert asyncio.run(read_late()) == 60


# Sampling


def draw(logits: list[float], sampling: Sampling, times: int = 2000, allowed: list[bool] | None = None) -> Counter[int]:
    sampler = Sampler(replace(sampling, seed=3), [])
    mask = None if allowed is None else torch.tensor(allowed)
    return Counter(sampler.sample(torch.tensor(logits), mask)[0] for _ in range(times))


def test_temperature_scales_the_odds() -> None:
    """exp(1/T) to one, within five standard deviations."""
    for temperature in (0.5, 1.0, 2.0):
        share = draw([1.0, 0.0], Sampling(9, temperature=temperature))[0] / 2000
        expected = 1 / (1 + math.exp(-1 / temperature))
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 2000)


def test_top_p_keeps_the_smallest_sufficient_set() -> None:
    logits = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]
    assert set(draw(logits, Sampling(9, top_p=0.4))) == {0}
    assert set(draw(logits, Sampling(9, top_p=0.6))) == {0, 1}
    assert set(draw(logits, Sampling(9, top_p=0.9))) == {0, 1, 2}
    assert set(draw(logits, Sampling(9, top_p=0.0))) == {0}
    assert set(draw([0.0] * 600, Sampling(9, top_p=0.999), times=8000)) > set(range(550))


def test_top_k_and_min_p() -> None:
    logits = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]
    assert set(draw(logits, Sampling(9, top_k=2))) == {0, 1}
    assert set(draw(logits, Sampling(9, top_k=2, top_p=0.6))) == {0}, "0.5 of 0.8 is 0.625"
    assert set(draw(logits, Sampling(9, min_p=0.25))) == {0, 1, 2}


def test_what_is_not_allowed_is_never_drawn() -> None:
    for temperature in (0.0, 1.0, 2.0):
        assert set(draw([9.0, 1.0, 1.0], Sampling(9, temperature=temperature), allowed=[False, True, True])) <= {1, 2}


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_logits_that_are_no_numbers_fail_the_request(logits: list[float]) -> None:
    """A silent fallback to greedy would look like an answer."""
    with pytest.raises(EngineError):
        draw(logits, Sampling(9))


def test_extreme_logits_are_drawn_from() -> None:
    assert set(draw([1e30, -1e30, 0.0], Sampling(9, temperature=2.0))) == {0}
    assert set(draw([-math.inf, 0.0], Sampling(9))) == {1}


def test_min_tokens_keeps_the_stop_back() -> None:
    sampler = Sampler(Sampling(9, temperature=0.0, stop_ids=frozenset({1}), min_tokens=3), [])
    assert [sampler.sample(torch.tensor([0.0, 5.0]), None)[0] for _ in range(4)] == [0, 0, 0, 1]
