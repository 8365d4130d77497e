"""When the engine is down, every request gets an error, all memory is freed, and later requests get the status 503."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import EngineDown, EngineError
from core.generation import Step
from engines.local.engine import LocalEngine
from engines.local.kv_cache import KVCache
from tests.support.injected_faults import (
    ANSWER_S,
    FIRST,
    LAST,
    LONG,
    POINTS,
    Point,
    check_nothing_is_left,
    failing,
    num_faults,
    spy_on_kv_caches,
    until,
)
from tests.support.small_engine import GREEDY, ids, num_requests, small_engine, steps


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[KVCache]]:
    """Weak references to all KV caches of the test."""
    return spy_on_kv_caches(monkeypatch)


@pytest.fixture
def fresh(llama_folder: Path) -> LocalEngine:
    """An engine with one slot."""
    return small_engine(llama_folder, max_running=1, num_blocks=16)


async def ask_until_down(engine: LocalEngine) -> list[BaseException]:
    """Send requests until the engine is down. Return the errors that requests got before it was down."""
    errors: list[BaseException] = []
    for _ in range(9):
        try:
            async with asyncio.timeout(ANSWER_S):
                await steps(engine, FIRST, GREEDY)
        except EngineDown:
            return errors
        except EngineError as error:
            errors.append(error)
    raise AssertionError("the engine is still up")


def check_it_is_down(engine: LocalEngine, made: list[weakref.ref[KVCache]]) -> None:
    engine._thread.join(ANSWER_S)
    assert not engine._thread.is_alive()
    assert engine.is_down
    assert engine.health()
    with pytest.raises(EngineDown) as raised:
        asyncio.run(steps(engine, FIRST, GREEDY))
    assert raised.value.code == "server_is_overloaded"
    assert len(engine._memory._cache) == 0
    check_nothing_is_left(engine, made)
    asyncio.run(engine.close())
    assert not engine.is_down, "a closed engine is not down"


@pytest.mark.parametrize("point", [point for point in POINTS if point.ends == "running"], ids=lambda point: point.path)
def test_three_errors_in_a_row_end_the_engine(
    fresh: LocalEngine, point: Point, made: list[weakref.ref[KVCache]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ids(asyncio.run(steps(fresh, FIRST, GREEDY)))
    failing(fresh, point, MemoryError, monkeypatch)
    assert len(asyncio.run(ask_until_down(fresh))) <= 3
    assert fresh.health() == "the engine failed 3 times in a row"
    assert num_faults(fresh) == 3
    check_it_is_down(fresh, made)


def test_waiting_requests_end_with_503(
    fresh: LocalEngine, made: list[weakref.ref[KVCache]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the engine fails, the running request gets an internal error, and a waiting request gets 503.

    The status 503 tells the client that it may send the request again.
    """

    async def scene() -> list[Any]:
        running = fresh.generate(FIRST, LONG)
        await anext(running)
        tasks = [asyncio.create_task(steps(fresh, LAST, GREEDY)) for _ in range(5)]
        await until(lambda: num_requests(fresh) == 6)
        failing(fresh, "_update_running", MemoryError, monkeypatch)
        tasks.append(asyncio.create_task(collect(running)))
        async with asyncio.timeout(ANSWER_S):
            return await asyncio.gather(*tasks, return_exceptions=True)

    async def collect(stream: AsyncGenerator[Step]) -> list[Step]:
        return [step async for step in stream]

    *waiting, running = asyncio.run(scene())
    assert type(running) is EngineError
    assert [type(error) for error in waiting] == [EngineDown] * 5
    check_it_is_down(fresh, made)


def test_a_successful_step_resets_the_count_of_errors(fresh: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        failing(fresh, "_scheduler.schedule", MemoryError, monkeypatch, times=2)
        for _ in range(2):
            with pytest.raises(EngineError):
                asyncio.run(steps(fresh, FIRST, GREEDY))
        assert ids(asyncio.run(steps(fresh, FIRST, GREEDY)))
    assert num_faults(fresh) == 6
    assert fresh.health() == ""
    asyncio.run(fresh.close())


@pytest.mark.parametrize("path", ["_recover", "_iterate", "_memory.clear"])
def test_an_error_in_the_recovery_ends_the_engine(
    fresh: LocalEngine, path: str, made: list[weakref.ref[KVCache]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(fresh, path, MemoryError, monkeypatch, times=1)
    failing(fresh, "_scheduler.schedule", MemoryError, monkeypatch, times=1)
    asyncio.run(ask_until_down(fresh))
    assert fresh.health() == "the engine's thread has ended"
    check_it_is_down(fresh, made)


@pytest.mark.parametrize(
    "path", ["_faults.fail", "_faults.record_unless_fatal", "_faults.record", "_faults.end", "_faults._deliver"]
)
def test_an_error_in_the_handling_of_an_error(
    fresh: LocalEngine, path: str, made: list[weakref.ref[KVCache]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error while an error is handled counts as an error of the engine's loop. The request still ends."""
    failing(fresh, "_stepper._sample", RuntimeError, monkeypatch, times=1)
    failing(fresh, path, MemoryError, monkeypatch, times=1)
    with pytest.raises(EngineError, match="all requests that ran"):
        asyncio.run(asyncio.wait_for(steps(fresh, FIRST, GREEDY), ANSWER_S))
    assert ids(asyncio.run(steps(fresh, FIRST, GREEDY)))
    check_nothing_is_left(fresh, made)
    asyncio.run(fresh.close())


def test_a_dead_thread_means_down(
    llama_folder: Path, made: list[weakref.ref[KVCache]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is down when its thread is dead, even if the thread never reached its `finally`."""
    monkeypatch.setattr(LocalEngine, "_run", lambda engine: None)
    engine = small_engine(llama_folder, max_running=1, num_blocks=16)
    assert engine.health() == "the engine's thread has ended"
    check_it_is_down(engine, made)


def test_a_failed_gpu_ends_all_running_requests(fresh: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a GPU error all running requests end at once.

    CUDA repeats a kernel's error in every later call, so that retrying single requests would find all of them guilty.
    """
    failing(fresh, "_stepper._sample", lambda: torch.AcceleratorError("CUDA error: device-side assert"), monkeypatch)
    assert len(asyncio.run(ask_until_down(fresh))) == 3
    assert fresh.is_down
    asyncio.run(fresh.close())


def test_running_out_of_memory_frees_the_prefix_cache(fresh: LocalEngine) -> None:
    asyncio.run(steps(fresh, FIRST, GREEDY))
    asyncio.run(until(lambda: len(fresh._memory._cache) == 1))
    fresh._faults.record_unless_fatal(ValueError())
    assert len(fresh._memory._cache) == 1
    for error in (MemoryError(), torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):
        fresh._faults.record_unless_fatal(error)
        assert len(fresh._memory._cache) == 0
        asyncio.run(steps(fresh, FIRST, GREEDY))
        asyncio.run(until(lambda: len(fresh._memory._cache) == 1))
    asyncio.run(fresh.close())


def test_closing_ends_all_requests_with_503(fresh: LocalEngine) -> None:
    """Closing the engine ends all requests with 503, which tells clients that they may send their requests again."""

    async def scene() -> list[Any]:
        tasks = [asyncio.create_task(steps(fresh, FIRST, replace(GREEDY, max_tokens=400))) for _ in range(3)]
        await until(lambda: num_requests(fresh) == 3)
        await fresh.close()
        tasks.append(asyncio.create_task(steps(fresh, FIRST, GREEDY)))
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(scene())
    assert [type(error) for error in results] == [EngineDown] * 4
    assert {error.code for error in results} == {"shutting_down"}
    assert num_requests(fresh) == 0
