"""What clients get whose answers the end of the server cuts, and that they do not ask for them again."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from agent.tools import Tool
from core.conversation import Function
from inference import Model
from server import create_app
from tests.support.serving import serving
from tests.support.turns_engine import with_turns
from web.settings import Settings

STARTED = threading.Event()


async def slow(_: dict[str, Any]) -> str:
    STARTED.set()
    await asyncio.sleep(60)
    return "late"


@pytest.fixture
def answer(chatml: Model, request: pytest.FixtureRequest) -> httpx2.Response:
    """The answer to a request whose tool runs while the server stops."""
    model, engine = with_turns(chatml)
    engine.play("slow\n{}", "all\nDone.")
    STARTED.clear()
    app = create_app(lambda: model, Settings(server_tools=[Tool(Function("slow", "", None), slow)]))
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "server_tools": True}
    headers, stream = request.param
    with ThreadPoolExecutor(1) as thread:
        with serving(app, timeout_graceful_shutdown=1) as url:
            ask = thread.submit(
                httpx2.post, f"{url}/v1/chat/completions", json={**body, "stream": stream}, headers=headers, timeout=30
            )
            assert STARTED.wait(30)
        return ask.result(30)


@pytest.mark.parametrize("answer", [({}, False), ({"Idempotency-Key": "a"}, False)], indirect=True)
def test_an_answer_that_the_end_of_the_server_cuts(answer: httpx2.Response) -> None:
    """Clients got a plain 500, repeated the request at the next server, and the tool ran twice."""
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "shutting_down"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("answer", [({}, True), ({"Idempotency-Key": "a"}, True)], indirect=True)
def test_a_stream_that_the_end_of_the_server_cuts(answer: httpx2.Response) -> None:
    """A stream broke off without a word."""
    assert answer.status_code == 200
    lines = [line for line in answer.text.split("\n") if line.startswith("data: ")]
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "shutting_down"
