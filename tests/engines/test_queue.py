"""Requests that wait for a slot: how many may, how long, and that those whose reader has left never get one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import EngineBusy, QueueTimeout
from engines.local.engine import LocalEngine
from inference import load_model
from server import create_app
from tests.support.serving import serving
from tests.support.small_engine import GREEDY, ids, num_requests, prompts_of, steps

LONG = replace(GREEDY, max_tokens=400)
TIMEOUT_S = 0.5


@pytest.fixture
def engine(llama_folder: Path) -> Iterator[LocalEngine]:
    """An engine with one slot and a short time for waiting."""
    model = AutoModelForCausalLM.from_pretrained(llama_folder)
    tokenizer = AutoTokenizer.from_pretrained(llama_folder).backend_tokenizer
    made = LocalEngine(model, tokenizer, 512, max_running=1, max_waiting=300, queue_timeout_s=TIMEOUT_S)
    yield made
    asyncio.run(made.close())


@asynccontextmanager
async def slot_taken(engine: LocalEngine) -> AsyncIterator[None]:
    """Hold the only slot: the request's reader takes one step, and the engine pauses when it is too far behind."""
    async with aclosing(engine.generate([5] * 20, LONG)) as stream:
        await anext(stream)
        yield


async def queued(engine: LocalEngine, number: int) -> None:
    """Wait until as many requests wait for a slot."""
    for _ in range(10_000):
        if engine._scheduler.num_waiting == number:
            return
        await asyncio.sleep(0.005)
    pytest.fail("the requests do not come to the queue")


def test_a_request_that_waits_too_long_ends(engine: LocalEngine) -> None:
    """Also while the engine's thread sleeps, since no request can run. Afterwards the slot is free for others."""
    waiting, last = prompts_of([10, 12], seed=1)

    async def scene() -> None:
        async with slot_taken(engine):
            begun = time.monotonic()
            with pytest.raises(QueueTimeout, match=r"it has waited 0\.5 s in the queue"):
                await steps(engine, waiting)
            assert time.monotonic() - begun >= TIMEOUT_S - 0.05
        assert len(ids(await steps(engine, last))) == GREEDY.max_tokens

    asyncio.run(scene())
    assert num_requests(engine) == 0


def test_a_request_with_a_slot_has_all_the_time(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long prefill is no waiting: the first token may come later than the time for waiting."""
    record = engine._prefill_budget.record

    def slow(num_tokens: int, seconds: float) -> None:
        if num_tokens > 1:
            time.sleep(3 * TIMEOUT_S)
        record(num_tokens, seconds)

    monkeypatch.setattr(engine._prefill_budget, "record", slow)
    monkeypatch.setattr(engine._prefill_budget, "num_tokens", lambda is_decoding: 32)
    (prompt,) = prompts_of([60])
    assert len(ids(asyncio.run(steps(engine, prompt)))) == GREEDY.max_tokens


def test_waiting_requests_whose_readers_leave_never_start(engine: LocalEngine) -> None:
    """200 waiters leave at the same time: none of them gets the slot, and the next request gets it at once."""

    async def scene() -> None:
        async with slot_taken(engine):
            waiters = [asyncio.create_task(steps(engine, prompt)) for prompt in prompts_of([15] * 200)]
            await queued(engine, 200)
            for waiter in waiters:
                waiter.cancel()
            await asyncio.gather(*waiters, return_exceptions=True)
        before = prompt_tokens()
        await steps(engine, prompts_of([7])[0])
        assert prompt_tokens() == before + 7

    def prompt_tokens() -> float:
        return engine.registry.get_sample_value("functionary:prompt_tokens_total") or 0.0

    engine._queue_timeout_s = None
    asyncio.run(scene())


def test_a_full_queue_takes_no_request(llama_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama_folder)
    tokenizer = AutoTokenizer.from_pretrained(llama_folder).backend_tokenizer
    engine = LocalEngine(model, tokenizer, 512, max_running=1, max_waiting=2)

    async def scene() -> None:
        async with slot_taken(engine):
            waiters = [asyncio.create_task(steps(engine, prompt)) for prompt in prompts_of([15, 15])]
            await queued(engine, 2)
            with pytest.raises(EngineBusy):
                await steps(engine, prompts_of([15])[0])
        assert all(len(ids(got)) == GREEDY.max_tokens for got in await asyncio.gather(*waiters))
        await engine.close()

    asyncio.run(scene())


ASKED: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
CHAT = "/v1/chat/completions"


def test_over_http(chatml_folder: Path) -> None:
    """Streams and whole answers get 503 before their first byte, in the shape of their API, with Retry-After."""

    def load() -> Any:
        bounds: dict[str, Any] = {"max_running": 1, "max_waiting": 2, "queue_timeout_s": 1.0}
        return load_model(str(chatml_folder), served_names=["tiny"], dtype="float32", **bounds)

    app = create_app(load)
    with serving(app) as url, ThreadPoolExecutor(4) as pool:
        engine = app.state.model.engine

        def post(path: str, **fields: Any) -> httpx2.Response:
            return httpx2.post(f"{url}{path}", json={**ASKED, "max_tokens": 5, **fields}, timeout=60)

        async def scene() -> list[httpx2.Response]:
            async with slot_taken(engine):
                loop = asyncio.get_running_loop()
                streamed = loop.run_in_executor(pool, lambda: post(CHAT, stream=True))
                whole = loop.run_in_executor(pool, lambda: post("/v1/messages"))
                await queued(engine, 2)
                refused = await loop.run_in_executor(pool, lambda: post(CHAT))
                return [await streamed, await whole, refused]

        streamed, whole, refused = asyncio.run(scene())
        assert streamed.status_code == whole.status_code == 503
        assert streamed.json()["error"] == {
            "message": "The server is too busy for this request: it has waited 1 s in the queue. "
            "Try again in a moment.",
            "type": "service_unavailable_error",
            "param": None,
            "code": "server_is_overloaded",
        }
        assert (whole.json()["type"], whole.json()["error"]["type"]) == ("error", "overloaded_error")
        assert streamed.headers["retry-after"] == whole.headers["retry-after"] == "5"
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "slow_down")
        assert post(CHAT).status_code == 200
