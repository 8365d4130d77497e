"""No side effect happens twice: Idempotency-Key, and errors after a tool has run."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from fastapi import FastAPI
from openai import OpenAI
from starlette.requests import Request

from core.errors import EngineBusy
from inference import Model
from server import create_app
from tests.support.abuse_client import CHAT, Client
from tests.support.server_tools import RAN, SERVER_TOOLS
from tests.support.serving import serving
from tests.support.turns_engine import TurnsEngine
from web.errors import HttpError
from web.idempotency import KEPT_S, Replays, note_body
from web.settings import Settings

Json = dict[str, Any]
RESPONSES = "/v1/responses"
BODIES: dict[str, Json] = {
    CHAT: {"model": "tiny", "messages": [{"role": "user", "content": "2 + 3?"}], "server_tools": True},
    RESPONSES: {"model": "tiny", "input": "2 + 3?", "server_tools": True},
}
ADD = 'add\n{"a": 2, "b": 3}'
ASKED: Any = {**BODIES[CHAT], "extra_body": {"server_tools": True}}
del ASKED["server_tools"]


@pytest.fixture(scope="module")
def app(turns: tuple[Model, TurnsEngine]) -> FastAPI:
    return create_app(lambda: turns[0], Settings(server_tools=SERVER_TOOLS))


@pytest.fixture
def engine(engine: TurnsEngine) -> TurnsEngine:
    engine.play(ADD, "all\nIt is 5.")
    return engine


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


# Errors


def test_the_official_client_does_not_repeat_a_request_after_a_tool_has_run(url: str, engine: TurnsEngine) -> None:
    """OpenAI's clients repeat a request after a 500, so a payment would be made three times."""
    engine.play(ADD, fails_in=1)
    with OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**ASKED)
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert (RAN, len(engine.prompts)) == (["add 2 3"], 2)
        RAN.clear()
        engine.play(ADD, fails_in=1)
        with pytest.raises(openai.InternalServerError):
            client.responses.create(model="tiny", input="2 + 3?", extra_body={"server_tools": True})
        assert RAN == ["add 2 3"]


def test_an_error_before_any_tool_may_be_tried_again(url: str, engine: TurnsEngine) -> None:
    engine.play("all\nHi.", fails_in=0)
    with OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=1) as client:
        answer = client.chat.completions.create(**ASKED, extra_headers=key("before"))
    assert answer.choices[0].message.content == "Hi."


@pytest.mark.parametrize("path", BODIES)
def test_an_error_after_a_tool_is_repeated_as_it_was(raw: Client, engine: TurnsEngine, path: str) -> None:
    engine.play(ADD, fails_in=1)
    for _ in range(2):
        answer = raw.send("POST", path, as_body(path), key("failed" + path))
        assert (answer.status, answer.headers["x-should-retry"]) == (500, "false")
    assert RAN == ["add 2 3"]


def as_body(path: str, **fields: Any) -> bytes:
    return httpx2.Request("POST", "http://x", json={**BODIES[path], **fields}).content


# Keys


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", BODIES)
def test_a_repetition_gets_the_same_answer(raw: Client, engine: TurnsEngine, path: str, stream: bool) -> None:
    name = f"{path}{stream}"
    answers = [raw.send("POST", path, as_body(path, stream=stream), key(name)) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[0].body == answers[1].body == answers[2].body
    assert RAN == ["add 2 3"]
    engine.play(ADD, "all\nIt is 5.")
    other = raw.send("POST", path, as_body(path, stream=stream), key(name + "x"))
    assert other.body != answers[0].body and len(RAN) == 2


def test_another_body_with_the_same_key(raw: Client, engine: TurnsEngine) -> None:
    assert raw.send("POST", CHAT, as_body(CHAT), key("one")).status == 200
    for path, body in ((CHAT, as_body(CHAT, seed=1)), (RESPONSES, as_body(RESPONSES))):
        answer = raw.send("POST", path, body, key("one"))
        assert (answer.status, answer.error["code"]) == (409, "idempotency_key_in_use")
        assert answer.headers["x-should-retry"] == "false"
    assert RAN == ["add 2 3"]


@pytest.mark.parametrize("name", ["", "x" * 256, "a b", "é"])
def test_keys_that_are_none(raw: Client, engine: TurnsEngine, name: str) -> None:
    answer = raw.send("POST", CHAT, as_body(CHAT), key(name))
    assert answer.status == 400 and "1 to 255 visible ASCII characters" in answer.error["message"]
    assert RAN == []


def test_a_repetition_waits_for_the_first(url: str, engine: TurnsEngine) -> None:
    """A client that gives up waiting asks again while the first answer is still being made."""
    engine.play(ADD, "all\nIt is 5.", step_s=0.02)
    bodies: list[bytes] = []

    def ask() -> None:
        with Client(url) as client:
            bodies.append(client.send("POST", CHAT, as_body(CHAT), key("both")).body)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert len(set(bodies)) == 1 and len(bodies) == 3
    assert RAN == ["add 2 3"]


def test_an_answer_with_a_key_is_finished_without_its_client(url: str, engine: TurnsEngine) -> None:
    """The repetition after a broken connection gets the answer, and no tool runs again."""
    engine.play(ADD, "all\nIt is 5.", step_s=0.01)
    with httpx2.Client(base_url=url) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(CHAT, json=BODIES[CHAT], headers=key("left"), timeout=0.1)
        answer = client.post(CHAT, json=BODIES[CHAT], headers=key("left"), timeout=20)
    assert answer.json()["choices"][0]["message"]["content"] == "It is 5."
    assert (RAN, len(engine.prompts)) == (["add 2 3"], 2)


def test_keys_belong_to_their_owner(turns: tuple[Model, TurnsEngine], engine: TurnsEngine) -> None:
    app = create_app(lambda: turns[0], Settings(server_tools=SERVER_TOOLS, api_keys=["a-secret", "b-secret"]))
    with serving(app) as url, Client(url, "a-secret") as one, Client(url, "b-secret") as other:
        first = one.send("POST", CHAT, as_body(CHAT), key("same"))
        engine.play(ADD, "all\nIt is 5.")
        second = other.send("POST", CHAT, as_body(CHAT), key("same"))
        assert first.json["id"] != second.json["id"] and len(RAN) == 2


def test_other_requests_do_not_look_at_the_key(raw: Client, engine: TurnsEngine) -> None:
    engine.play("all\nHi.")
    body = as_body(CHAT, server_tools=False)
    first, second = (raw.send("POST", CHAT, body, key("plain")).json["id"] for _ in range(2))
    assert first != second


# The bounds of what is kept


NUMBERS = itertools.count()


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    moved = Clock()
    monkeypatch.setattr("web.idempotency.time", moved)
    yield moved


def request(name: str, body: bytes = b"{}") -> Request:
    headers = [(b"idempotency-key", name.encode()), (b"host", b"x")]
    made = Request(
        {"type": "http", "method": "POST", "path": CHAT, "query_string": b"", "headers": headers, "state": {}}
    )
    note_body(made, body)
    return made


async def read(replays: Replays, name: str, size: int = 1) -> list[Json]:
    async def produce(on_run: Callable[[], None]) -> AsyncGenerator[Json]:
        on_run()
        yield {"text": "x" * size, "number": next(NUMBERS)}

    return [item async for item in replays.items(request(name), "", produce)]


def test_answers_are_kept_for_a_time(clock: Clock) -> None:
    async def run() -> None:
        replays = Replays()
        first = await read(replays, "a")
        clock.now += KEPT_S - 1
        assert await read(replays, "a") == first
        clock.now += 2
        assert await read(replays, "a") != first

    asyncio.run(run())


def test_the_oldest_answers_are_dropped_first(clock: Clock) -> None:
    """A repetition of a request whose answer is dropped must not run its tools again, so it is an error."""

    async def run() -> None:
        replays = Replays(max_bytes=2500)
        kept = [await read(replays, name, 1000) for name in ("a", "b", "c")]
        assert await read(replays, "c") == kept[2]
        assert await read(replays, "b") == kept[1]
        with pytest.raises(HttpError) as caught:
            await read(replays, "a")
        assert (caught.value.status, caught.value.headers["x-should-retry"]) == (409, "false")

    asyncio.run(run())


def test_the_number_of_answers_is_bounded(clock: Clock) -> None:
    async def run() -> None:
        replays = Replays(max_records=10)
        for number in range(100):
            await read(replays, f"key{number}")
            assert len(replays._records) <= 11
        assert await read(replays, "key99") == await read(replays, "key99")

    asyncio.run(run())


def test_the_number_of_unfinished_answers_is_bounded() -> None:
    """They go on without their clients, so that clients that leave could start any number of them."""

    async def run() -> None:
        replays = Replays(max_running=3)

        async def endless(on_run: Callable[[], None]) -> AsyncGenerator[Json]:
            on_run()
            while True:
                await asyncio.sleep(3600)
                yield {}

        for number in range(3):
            replays.items(request(f"key{number}"), "", endless)
        with pytest.raises(EngineBusy):
            replays.items(request("another"), "", endless)
        await replays.close()

    asyncio.run(run())


def test_kept_answers_take_the_memory_of_their_text() -> None:
    """The bound counts JSON, but the objects of a streamed answer took nearly three times as much memory."""

    async def chunks(on_run: Callable[[], None]) -> AsyncGenerator[Json]:
        on_run()
        for number in range(3_000):
            delta = {"content": f"word {number}"}
            yield {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    async def run() -> None:
        replays = Replays()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        async for _item in replays.items(request("a"), "", chunks):
            pass
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        (record,) = replays._records.values()
        assert after - before < 2 * record.size

    asyncio.run(run())
