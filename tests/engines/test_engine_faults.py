"""Exceptions are injected into every function that the engine's thread calls.

Only the right requests end, and no memory is left behind. In all tests with a `scene`, two requests run, the guilty
one joins them, and a fourth request waits for a slot.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import EngineDown, EngineError
from engines.local.engine import LocalEngine
from engines.local.kv_cache import KVCache
from engines.local.scheduler import Request
from engines.local.stepping import Stepper
from tests.support.injected_faults import (
    ANSWER_S,
    ERRORS,
    FIRST,
    GUILTY,
    LAST,
    LONG,
    POINTS,
    SECOND,
    SUSPECT,
    Injection,
    Point,
    as_ids,
    check_nothing_is_left,
    failing,
    num_faults,
    spy_on_kv_caches,
    until,
)
from tests.support.small_engine import GREEDY, ids, num_requests, prompts_of, small_engine, steps

Results = list[list[int] | BaseException]


@pytest.fixture(scope="module")
def engine(llama_folder: Path) -> Iterator[LocalEngine]:
    """An engine with three slots."""
    made = small_engine(llama_folder, max_running=3, num_blocks=16)
    yield made
    asyncio.run(made.close())


@pytest.fixture(scope="module")
def expected(engine: LocalEngine) -> Results:
    """The answer that each request of the scene gets when it runs alone."""
    asked = ((FIRST, LONG), (SECOND, LONG), (GUILTY, SUSPECT), (LAST, GREEDY))
    return [ids(asyncio.run(steps(engine, prompt, sampling))) for prompt, sampling in asked]


async def scene(engine: LocalEngine, injection: Injection, point: Point, seen: Callable[[], bool]) -> Results:
    """Run all four requests. Return their answers or exceptions.

    `seen` tells whether the injected exception has had its effect.
    """
    resumed = asyncio.Event()

    async def patient(prompt: list[int], has_started: asyncio.Event) -> list[int]:
        """Read one step, then pause until `resumed` is set.

        The request keeps running for as long as the scene needs it.
        """
        async with aclosing(engine.generate(prompt, LONG)) as stream:
            got = [await anext(stream)]
            has_started.set()
            await resumed.wait()
            return ids([*got, *[step async for step in stream]])

    async def suspect() -> list[int]:
        async with aclosing(engine.generate(GUILTY, SUSPECT)) as stream:
            got = [await anext(stream)]
            started[2].set()
            if point.since == "together":
                await resumed.wait()
            injection.arm()
            return ids([*got, *[step async for step in stream]])

    started = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(patient(prompt, one)) for prompt, one in zip((FIRST, SECOND), started, strict=False)]
    await until(lambda: started[0].is_set() and started[1].is_set())
    if point.since == "submitted":
        injection.arm()
    tasks.append(asyncio.create_task(suspect()))
    await until(lambda: num_requests(engine) > 2 or tasks[2].done())
    tasks.append(asyncio.create_task(as_ids(engine, LAST, GREEDY)))
    if point.since == "together":
        await until(started[2].is_set)
        resumed.set()
    await until(seen)
    resumed.set()
    async with asyncio.timeout(ANSWER_S):
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[KVCache]]:
    """Weak references to all KV caches of the test, in which a request pauses after four unread steps."""
    monkeypatch.setattr("engines.local.scheduler.MAX_UNREAD_STEPS", 4)
    return spy_on_kv_caches(monkeypatch)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.path} {point.times}")
def test_an_error_ends_only_the_requests_that_it_must(
    engine: LocalEngine, expected: Results, point: Point, made: list[weakref.ref[KVCache]]
) -> None:
    threads = threading.active_count()
    for error in ERRORS:
        engine._memory.clear()
        faults = num_faults(engine)

        def fault(*args: Any, error: Callable[[], BaseException] = error) -> None:
            raise error()

        with pytest.MonkeyPatch.context() as patch:
            injection = Injection(engine, point, fault, patch)
            results = asyncio.run(scene(engine, injection, point, injection.has_fired))
        assert injection.has_fired()
        ended = [isinstance(result, EngineError) for result in results]
        assert (
            ended
            == {
                "guilty": [False, False, True, False],
                "running": [True, True, True, False],
                "none": [False] * 4,
            }[point.ends]
        )
        for result, answer in zip(results, expected, strict=True):
            if isinstance(result, BaseException):
                assert type(result) is EngineError
                assert "0x7f" not in str(result)
                assert "secret" not in str(result)
            else:
                assert result == answer
        assert num_faults(engine) > faults
        assert engine.health() == ""
        check_nothing_is_left(engine, made)
        assert ids(asyncio.run(steps(engine, FIRST, LONG))) == expected[0], "the next request"
    assert threading.active_count() == threads


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.path} {point.times}")
def test_a_hung_step_shows_in_health_and_harms_no_request(
    engine: LocalEngine, expected: Results, point: Point, made: list[weakref.ref[KVCache]]
) -> None:
    """A hung step makes /health fail and does not block the event loop.

    The lock of `generate` is held only while the scheduler's lists change.
    """
    engine._memory.clear()
    faults, told, is_locked = num_faults(engine), [""], list[bool]()

    def hung() -> bool:
        told.append(engine.health())
        return bool(injection.num_fired and told[-1])

    with pytest.MonkeyPatch.context() as patch:

        def hang(*args: Any) -> None:
            patch.setattr(engine, "_step_timeout_s", 0.1)
            is_locked.append(not engine._lock.acquire(timeout=0.2))
            if not is_locked[-1]:
                engine._lock.release()
            time.sleep(0.3)

        injection = Injection(engine, replace(point, times=1), hang, patch)
        results = asyncio.run(scene(engine, injection, point, hung))
    assert is_locked == [point.path.removeprefix("_scheduler.") in ("drop_closed", "next_waiting", "admit")]
    assert told[-1].startswith("a step has been running for")
    assert results[:3] == expected[:3]
    assert results[3] == expected[3] or isinstance(results[3], EngineDown), "an error while the step hung"
    assert num_faults(engine) == faults
    assert engine.health() == ""
    check_nothing_is_left(engine, made)


def test_nan_logits_end_only_their_request(
    engine: LocalEngine, expected: Results, made: list[weakref.ref[KVCache]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine._memory.clear()
    point = Point("_sample", "guilty", of=True, owner=Stepper)

    def spoil(stepper: Stepper, request: Request, logits: torch.Tensor) -> None:
        with torch.inference_mode():
            logits.fill_(torch.nan)

    injection = Injection(engine, point, spoil, monkeypatch)
    results = asyncio.run(scene(engine, injection, point, injection.has_fired))
    assert isinstance(results.pop(2), EngineError)
    assert results == [*expected[:2], expected[3]]
    check_nothing_is_left(engine, made)


def test_an_error_while_a_request_is_preempted(
    llama_folder: Path, made: list[weakref.ref[KVCache]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three requests outgrow memory for two and a half, so the engine preempts the newest one, and preempting fails."""
    monkeypatch.setattr("engines.local.scheduler.MAX_UNREAD_STEPS", 256)
    tight = small_engine(llama_folder, max_running=3, num_blocks=5)
    prompts = prompts_of([250, 250, 250], seed=3)

    async def crowd() -> list[Any]:
        return await asyncio.gather(*(as_ids(tight, one, LONG) for one in prompts), return_exceptions=True)

    answers = asyncio.run(crowd())
    assert all(len(answer) == 20 for answer in answers)
    for error in ERRORS:
        with pytest.MonkeyPatch.context() as patch:
            failing(tight, "_scheduler.preempt", error, patch, times=1)
            results = asyncio.run(crowd())
        (guilty,) = [guilty for guilty, result in enumerate(results) if isinstance(result, EngineError)]
        assert [*results[:guilty], *results[guilty + 1 :]] == [*answers[:guilty], *answers[guilty + 1 :]]
        assert asyncio.run(crowd()) == answers
        check_nothing_is_left(tight, made)
    asyncio.run(tight.close())
