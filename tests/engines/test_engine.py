"""The contract that every engine fulfils, and the behaviour of the local engine."""

from __future__ import annotations

import asyncio
import gc
import math
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from engines.remote.engine import RemoteEngine
from inference import Model
from tests.support.remote_model import peer_of, remote
from tests.support.scripted_engine import ScriptedEngine
from tests.support.small_engine import num_requests

PROMPT = [5, 6, 7, 8]
GREEDY = Sampling(max_tokens=12, temperature=0.0)


@pytest.fixture(params=["local", "scripted", "vllm", "llama.cpp"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine. The remote one has servers that play vLLM and llama.cpp with the local engine's model."""
    if request.param == "scripted":
        yield ScriptedEngine(range(10, 60), stop_id=2, max_context=512)
        return
    model: Model = request.getfixturevalue("llama")
    if request.param == "local":
        yield model.engine
        return
    with remote(model, peer_of(model, request.getfixturevalue("llama_folder"), request.param)) as elsewhere:
        yield elsewhere.engine


@pytest.fixture
def local_engine(llama: Model) -> LocalEngine:
    assert isinstance(llama.engine, LocalEngine)
    return llama.engine


async def steps(engine: Engine, sampling: Sampling, prompt: Sequence[int] = PROMPT) -> list[Step]:
    async with aclosing(engine.generate(prompt, sampling)) as stream:
        return [step async for step in stream]


def ids(engine: Engine, sampling: Sampling, prompt: Sequence[int] = PROMPT) -> list[int]:
    return [token_id for step in asyncio.run(steps(engine, sampling, prompt)) for token_id in step.token_ids]


# Every engine


@pytest.mark.parametrize("max_tokens", [1, 2, 7])
def test_only_the_last_step_has_a_finish_reason(engine: Engine, max_tokens: int) -> None:
    got = asyncio.run(steps(engine, replace(GREEDY, max_tokens=max_tokens)))
    assert sum(len(step.token_ids) for step in got) == max_tokens
    assert [step.finish_reason for step in got] == [None] * (len(got) - 1) + ["length"]


def test_greedy_repeats_itself(engine: Engine) -> None:
    assert ids(engine, GREEDY) == ids(engine, GREEDY)


def test_concurrent_requests_get_the_same_answers(engine: Engine) -> None:
    """Concurrent requests get the same answers as when each runs alone.

    Bugs in other servers gave a request parts of another request's answer.
    """
    prompts = [[5, 6, 7, 8], [9] * 40, [10, 11]]
    expected = [ids(engine, GREEDY, prompt) for prompt in prompts]

    async def together() -> list[list[Step]]:
        return await asyncio.gather(*(steps(engine, GREEDY, prompt) for prompt in prompts))

    assert [[i for step in got for i in step.token_ids] for got in asyncio.run(together())] == expected


def test_a_prompt_that_fills_the_context_is_an_error(engine: Engine) -> None:
    with pytest.raises(PromptTooLong) as raised:
        ids(engine, GREEDY, [5] * engine.max_context)
    assert str(engine.max_context) in raised.value.message


def test_closing_stops_the_request(engine: Engine) -> None:
    """Closing the generator stops the request. Leaving a plain `async for` would not close it."""

    references: list[weakref.ref[Any]] = []

    async def leave_early() -> None:
        async with aclosing(engine.generate(PROMPT, replace(GREEDY, max_tokens=400))) as stream:
            await anext(stream)
            if isinstance(engine, LocalEngine):
                references.extend(map(weakref.ref, engine._scheduler.running))

    asyncio.run(leave_early())
    if isinstance(engine, ScriptedEngine):
        assert engine.num_active == 0
        return
    if isinstance(engine, RemoteEngine):  # test_remote_sharing.py looks at the other side
        assert engine.registry.get_sample_value("functionary:num_requests_running") == 0
        return
    assert references
    assert _soon(lambda: all(ref() is None for ref in references)), "the request and its cache are still in memory"


def _soon(condition: Callable[[], bool], *, collect: bool = True) -> bool:
    """Return whether the condition holds within a second. The engine's thread needs a moment."""
    for _ in range(50):
        if collect:
            gc.collect()
        if condition():
            return True
        time.sleep(0.02)
    return False


# The local engine


@pytest.fixture(scope="module")
def plain(llama_folder: Path) -> Any:
    """A plain transformers model with the weights of the local engine."""
    return AutoModelForCausalLM.from_pretrained(llama_folder)


def test_it_generates_what_transformers_generates(local_engine: LocalEngine, plain: Any) -> None:
    """The engine generates the same tokens as a greedy `model.generate` with the same weights."""
    output = plain.generate(
        torch.tensor([PROMPT]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert ids(local_engine, GREEDY) == output[0, len(PROMPT) :].tolist()


def test_a_long_prompt_is_computed_in_chunks_with_the_same_result(
    local_engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = [7 + i % 90 for i in range(300)]
    whole = ids(local_engine, GREEDY, prompt)
    monkeypatch.setattr(local_engine._prefill_budget, "num_tokens", lambda is_decoding: 64)
    assert ids(local_engine, GREEDY, [6, *prompt]) == ids(local_engine, GREEDY, [6, *prompt])
    assert ids(local_engine, GREEDY, prompt) == whole


def test_a_stop_id_ends_the_answer_and_is_its_last_id(local_engine: LocalEngine) -> None:
    free = ids(local_engine, GREEDY)
    got = asyncio.run(steps(local_engine, replace(GREEDY, stop_ids=frozenset({free[5]}))))
    assert [i for step in got for i in step.token_ids] == free[: free.index(free[5]) + 1]
    assert got[-1].finish_reason == "stop"


def test_seeds_repeat_and_differ(local_engine: LocalEngine) -> None:
    """Equal seeds give equal answers.

    Each request has its own random generator, so the seed of one request does not affect the sampling of another.
    """
    hot = Sampling(max_tokens=12, temperature=1.5)

    async def both() -> tuple[list[Step], list[Step]]:
        return await asyncio.gather(steps(local_engine, replace(hot, seed=1)), steps(local_engine, hot))

    first, second = asyncio.run(both()), asyncio.run(both())
    assert first[0] == second[0] != first[1]
    assert first[1] != second[1]
    assert ids(local_engine, replace(hot, seed=2)) != ids(local_engine, replace(hot, seed=1))
    assert ids(local_engine, replace(hot, seed=-(2**63))) == ids(local_engine, replace(hot, seed=-(2**63)))


def test_the_context_ends_an_answer(local_engine: LocalEngine) -> None:
    got = asyncio.run(steps(local_engine, replace(GREEDY, max_tokens=10_000), [5] * (local_engine.max_context - 4)))
    assert sum(len(step.token_ids) for step in got) == 4
    assert got[-1].finish_reason == "length"


def test_logit_bias_forces_and_forbids(local_engine: LocalEngine) -> None:
    assert ids(local_engine, replace(GREEDY, logit_bias=((77, 100.0),))) == [77] * 12
    first = ids(local_engine, GREEDY)[0]
    assert first not in ids(local_engine, replace(GREEDY, logit_bias=((first, -100.0),)))


@pytest.mark.parametrize("token_id", [-1, 512, 2**31 - 1])
def test_a_token_id_outside_the_vocabulary_is_an_error(local_engine: LocalEngine, token_id: int) -> None:
    """A bias for a token id outside the vocabulary is an error.

    Such a bias changed other users' logits in other servers (CVE-2026-93840).
    """
    with pytest.raises(RequestError, match="vocabulary of 512"):
        ids(local_engine, replace(GREEDY, logit_bias=((token_id, 1.0),)))
    with pytest.raises(RequestError, match="vocabulary of 512"):
        ids(local_engine, GREEDY, [token_id])


def test_an_empty_prompt_is_an_error(local_engine: LocalEngine) -> None:
    """An empty prompt is an error. An empty prompt stopped the whole engine of another server (CVE-2024-8768)."""
    with pytest.raises(RequestError, match="empty"):
        ids(local_engine, GREEDY, [])


def test_penalties_reduce_repetition(local_engine: LocalEngine) -> None:
    forced = replace(GREEDY, logit_bias=((77, 50.0),))
    assert len(set(ids(local_engine, forced))) == 1
    assert len(set(ids(local_engine, replace(forced, presence_penalty=2.0, frequency_penalty=2.0, max_tokens=40)))) > 1
    repeated = Sampling(max_tokens=40, temperature=0.0, repetition_penalty=10.0)
    assert len(set(ids(local_engine, repeated))) == 40


def test_logprobs_are_those_of_the_model(local_engine: LocalEngine, plain: Any) -> None:
    got = asyncio.run(steps(local_engine, replace(GREEDY, max_tokens=3, logprobs=4)))
    with torch.inference_mode():
        expected = torch.log_softmax(plain(input_ids=torch.tensor([PROMPT])).logits[0, -1].float(), -1)
    report = got[0].logprobs[0]
    assert report.token_id == got[0].token_ids[0] == report.top[0][0]
    assert report.logprob == pytest.approx(float(expected.max()), abs=1e-4)
    assert [value for _, value in report.top] == sorted((value for _, value in report.top), reverse=True)
    assert len(report.top) == 4
    assert not asyncio.run(steps(local_engine, GREEDY))[0].logprobs


def test_the_queue_is_bounded(local_engine: LocalEngine) -> None:
    """A request fails at once if the queue is full. A waiting request whose reader leaves never starts."""

    async def crowd() -> list[Any]:
        tasks = [
            asyncio.create_task(steps(local_engine, replace(GREEDY, max_tokens=300))) for _ in range(MAX_WAITING + 40)
        ]
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    kinds = Counter(type(result) for result in asyncio.run(crowd()))
    assert kinds[EngineBusy] >= 20
    assert _soon(lambda: num_requests(local_engine) == 0)
    assert len(ids(local_engine, GREEDY)) == 12


def test_only_the_request_at_fault_fails(local_engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN logits or an exception in the forward of one request do not change the answers of the others."""
    expected = ids(local_engine, GREEDY)

    def nan_logits(logits: Tensor) -> Tensor:
        return torch.full_like(logits, torch.nan)

    def out_of_memory(logits: Tensor) -> Tensor:
        raise RuntimeError("CUDA out of memory at 0x7f00")

    def panic(logits: Tensor) -> Tensor:
        raise BaseException("a Rust panic: a BaseException, which once ended the engine's thread")

    for fault in (nan_logits, out_of_memory, panic):
        monkeypatch.setattr("engines.local.stepping.forward", failing(fault, guilty=99))

        async def three() -> list[Any]:
            requests = [steps(local_engine, GREEDY), steps(local_engine, GREEDY, [99, 1]), steps(local_engine, GREEDY)]
            return await asyncio.gather(*requests, return_exceptions=True)

        first, guilty, third = asyncio.run(three())
        assert isinstance(guilty, EngineError)
        assert "0x7f00" not in str(guilty)
        assert [[i for step in got for i in step.token_ids] for got in (first, third)] == [expected, expected]


def failing(fault: Callable[[Tensor], Tensor], guilty: int) -> Callable[[Any, Sequence[Span]], list[Tensor]]:
    """Return a forward that applies `fault` to the logits of the sequence whose first token is `guilty`."""
    caches: set[int] = set()  # id() of each KV cache of the guilty sequence

    def wrapped(model: Any, spans: Sequence[Span]) -> list[Tensor]:
        caches.update(id(span.kv_cache) for span in spans if span.ids[0] == guilty)
        logits = forward(model, spans)
        pairs = zip(spans, logits, strict=True)
        return [fault(rows) if id(span.kv_cache) in caches else rows for span, rows in pairs]

    return wrapped


def test_an_error_does_not_keep_its_request_in_memory(
    local_engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression test: a reference cycle through an error's traceback kept the request's KV cache alive.

    The garbage collector does not count GPU memory, so it may run much too late.
    """
    caches = []

    def fails(model: Any, spans: Sequence[Span]) -> list[Tensor]:
        caches.append(weakref.ref(spans[0].kv_cache))
        return [torch.full_like(rows, torch.nan) for rows in forward(model, spans)]

    monkeypatch.setattr("engines.local.stepping.forward", fails)
    gc.disable()
    try:
        with pytest.raises(EngineError):
            ids(local_engine, GREEDY)
        assert _soon(lambda: [cache() for cache in caches] == [None], collect=False)
    finally:
        gc.enable()


def test_a_slow_reader_pauses_its_request(local_engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request pauses while its reader is slow, since its answer would pile up in memory.

    When the reader continues, it gets every step.
    """
    monkeypatch.setattr("engines.local.scheduler.MAX_UNREAD_STEPS", 5)

    async def read_late() -> int:
        async with aclosing(local_engine.generate(PROMPT, replace(GREEDY, max_tokens=60))) as stream:
            await anext(stream)
            await asyncio.sleep(0.5)
            (running,) = local_engine._scheduler.running
            assert running.num_unread_steps == 5
            return 1 + len([step async for step in stream])

    assert asyncio.run(read_late()) == 60


# Sampling


def sample(
    logits: list[float], sampling: Sampling, times: int = 2000, allowed: list[bool] | None = None
) -> Counter[int]:
    sampler = Sampler(replace(sampling, seed=3), [])
    mask = None if allowed is None else torch.tensor(allowed)
    return Counter(sampler.sample(torch.tensor(logits), mask)[0] for _ in range(times))


def test_temperature_scales_the_odds() -> None:
    """The odds of two tokens whose logits differ by 1 are exp(1/T) to one, within five standard deviations."""
    for temperature in (0.5, 1.0, 2.0):
        share = sample([1.0, 0.0], Sampling(9, temperature=temperature))[0] / 2000
        expected = 1 / (1 + math.exp(-1 / temperature))
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 2000)


def test_top_p_keeps_the_smallest_sufficient_set() -> None:
    logits = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]
    assert set(sample(logits, Sampling(9, top_p=0.4))) == {0}
    assert set(sample(logits, Sampling(9, top_p=0.6))) == {0, 1}
    assert set(sample(logits, Sampling(9, top_p=0.9))) == {0, 1, 2}
    assert set(sample(logits, Sampling(9, top_p=0.0))) == {0}
    assert set(sample([0.0] * 600, Sampling(9, top_p=0.999), times=8000)) > set(range(550))


def test_top_k_and_min_p() -> None:
    logits = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]
    assert set(sample(logits, Sampling(9, top_k=2))) == {0, 1}
    assert set(sample(logits, Sampling(9, top_k=2, top_p=0.6))) == {0}, "0.5 of 0.8 is 0.625"
    assert set(sample(logits, Sampling(9, min_p=0.25))) == {0, 1, 2}


def test_a_masked_token_is_never_sampled() -> None:
    for temperature in (0.0, 1.0, 2.0):
        assert set(sample([9.0, 1.0, 1.0], Sampling(9, temperature=temperature), allowed=[False, True, True])) <= {1, 2}


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_logits_that_are_not_finite_fail_the_request(logits: list[float]) -> None:
    """Logits that are not finite fail the request: a silent fallback to greedy would look like an answer."""
    with pytest.raises(EngineError):
        sample(logits, Sampling(9))


def test_extreme_logits_can_be_sampled() -> None:
    assert set(sample([1e30, -1e30, 0.0], Sampling(9, temperature=2.0))) == {0}
    assert set(sample([-math.inf, 0.0], Sampling(9))) == {1}


def test_min_tokens_delays_the_stop() -> None:
    sampler = Sampler(Sampling(9, temperature=0.0, stop_ids=frozenset({1}), min_tokens=3), [])
    assert [sampler.sample(torch.tensor([0.0, 5.0]), None)[0] for _ in range(4)] == [0, 0, 0, 1]
