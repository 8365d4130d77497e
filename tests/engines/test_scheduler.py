"""The scheduler chooses which requests take part in a step, and with how many tokens.

Abandoned requests free their slots.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.generation import Sampling
from engines.local.engine import LocalEngine
from engines.local.kv_cache import KVCache
from engines.local.prefill_budget import DECODE_STEP_S, MAX_TOKENS, MIN_TOKENS, PREFILL_STEP_S, PrefillBudget
from engines.local.scheduler import Request, Scheduler
from tests.support.small_engine import GREEDY, ids, num_requests, prompts_of, small_engine, steps

UNCOMPUTED = st.lists(st.integers(1, 3000), max_size=12)


def running_request(num_uncomputed: int, owner: str = "") -> Request:
    """Return a request with only the fields that the scheduler uses."""
    nothing: Any = None
    request = Request([5] * num_uncomputed, Sampling(max_tokens=1, owner=owner), nothing, None, nothing, nothing)
    request.kv_cache = KVCache()
    return request


@given(all_uncomputed=UNCOMPUTED, num_tokens=st.integers(1, 2048))
def test_prefills_share_the_budget_and_decoding_requests_always_run(all_uncomputed: list[int], num_tokens: int) -> None:
    scheduler = Scheduler(16, 128)
    scheduler.running = [running_request(left) for left in all_uncomputed]
    shares = dict(scheduler.schedule(num_tokens))
    prefilling = [request for request in scheduler.running if request.num_uncomputed > 1]
    assert all(shares[request] == 1 for request in scheduler.running if request.num_uncomputed == 1)
    assert all(1 <= shares[request] <= request.num_uncomputed for request in prefilling if request in shares)
    assert sum(shares.get(request, 0) for request in prefilling) <= max(num_tokens, 1)
    if prefilling:
        assert shares[prefilling[0]] >= min(prefilling[0].num_uncomputed, max(1, num_tokens // 4)), "the oldest"
        shortest = min(prefilling, key=lambda request: request.num_uncomputed)
        assert shares.get(shortest, 0) >= min(shortest.num_uncomputed, num_tokens - max(1, num_tokens // 4))


def test_slots_go_round_the_owners() -> None:
    scheduler = Scheduler(4, 128)
    for owner in "aaaabc":
        scheduler.submit(running_request(1, owner))
    order = []
    while request := scheduler.next_waiting():
        scheduler.admit(request)
        order.append(request.sampling.owner)
    assert order == ["a", "b", "c", "a"]


def test_a_preempted_request_is_the_first_of_its_owner() -> None:
    scheduler = Scheduler(1, 128)
    first, second = running_request(1), running_request(2)
    for request in (first, second):
        scheduler.submit(request)
    scheduler.admit(first)
    scheduler.preempt(first)
    assert scheduler.next_waiting() is first
    assert first.kv_cache is None
    assert first.was_admitted, "it has waited for its slot already: its time for waiting must not end it"


@given(speeds=st.lists(st.floats(1, 1e6), min_size=30, max_size=30))
def test_the_prefill_budget_follows_the_speed(speeds: list[float]) -> None:
    """The prefill of a step takes about its target time at the measured speed, within bounds."""
    budget = PrefillBudget()
    for speed in speeds:
        budget.record(128, 128 / speed)
    for is_decoding, seconds in ((True, DECODE_STEP_S), (False, PREFILL_STEP_S)):
        wanted = budget.num_tokens(is_decoding)
        assert MIN_TOKENS <= wanted <= MAX_TOKENS
        assert wanted & (wanted - 1) == 0
        assert wanted <= max(MIN_TOKENS, max([512.0, *speeds]) * seconds)
        assert wanted >= min(MAX_TOKENS, max(MIN_TOKENS, min([512.0, *speeds]) * seconds / 2))


# Abandoned requests


@pytest.fixture
def engine(llama_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEngine]:
    """An engine with two slots that prefills 32 tokens per step."""
    made = small_engine(llama_folder, max_running=2, num_blocks=8)
    monkeypatch.setattr(made._prefill_budget, "num_tokens", lambda is_decoding: 32)
    yield made
    asyncio.run(made.close())


def is_queued(engine: LocalEngine) -> bool:
    return engine._scheduler.num_waiting > 0


def is_prefilling(engine: LocalEngine) -> bool:
    return any(1 < one.num_uncomputed < one.num_prompt_tokens for one in list(engine._scheduler.running))


def is_decoding_now(engine: LocalEngine) -> bool:
    return any(one.num_sampled > 5 and len(one.ids) < 450 for one in list(engine._scheduler.running))


class WrongDrafter:
    """A drafter whose tokens the model rejects in every step."""

    def read(self, token_ids: Any) -> None: ...

    def propose(self, limit: int) -> list[int]:
        return [9, 9, 9][:limit]

    def record_accepted(self, num_accepted: int) -> None: ...


@pytest.mark.parametrize("point", [is_queued, is_prefilling, is_decoding_now])
@pytest.mark.parametrize("has_drafts", [False, True])
def test_an_abandoned_request_frees_its_slot_at_every_point(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, point: Callable[[LocalEngine], bool], has_drafts: bool
) -> None:
    """A request may be abandoned while waiting, in prefill, in decode or with drafts. Other answers stay the same."""
    if has_drafts:
        monkeypatch.setattr(engine, "_make_drafter", lambda prompt_ids, sampling: WrongDrafter())
    (other,) = prompts_of([40], seed=5)
    expected = ids(asyncio.run(steps(engine, other, replace(GREEDY, max_tokens=60, owner="fresh"))))
    leaving = prompts_of([400] if point is is_prefilling else [20] * (4 if point is is_queued else 1))

    async def leave(prompt: list[int]) -> None:
        async with aclosing(engine.generate(prompt, replace(GREEDY, max_tokens=400))) as stream:
            async for _ in stream:
                pass

    async def scene() -> list[int]:
        tasks = [asyncio.create_task(leave(prompt)) for prompt in leaving]
        for _ in range(20_000):
            if point(engine):
                break
            await asyncio.sleep(0.001)
        else:
            pytest.fail("the request never came to that point")
        answer = asyncio.create_task(steps(engine, other, replace(GREEDY, max_tokens=60)))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return ids(await answer)

    assert asyncio.run(scene()) == expected
    deadline = time.monotonic() + 5
    while num_requests(engine) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert num_requests(engine) == 0
