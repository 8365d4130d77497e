"""A server that fails, stalls or lies at any point: the client gets an error of OpenAI's shape, and soon."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import httpx2
import pytest

from core.errors import EngineBusy, EngineDown, EngineError, RequestError
from core.generation import Sampling
from engines.remote import health, servers
from engines.remote.engine import RemoteEngine
from inference import Model
from prompt_template import Piece
from server import create_app
from tests.support.remote_model import engine_over, peer_of
from tests.support.scripted_peer import Fault, How, Peer, Reply, When, running
from tests.support.serving import serving, shared
from tests.support.small_engine import ids, steps
from tests.support.toy_model import script_model

SILENCE_S = 0.6
SOON_S = 15.0  # many times the deadline, for a busy machine
PROMPT = [5, 6, 7]
WRITES = Sampling(max_tokens=40, temperature=0.0, stop_ids=frozenset({258}))
BEFORE: list[When] = ["before head", "in head", "after head"]
HOW: list[How] = ["reset", "close", "stall"]


@pytest.fixture(scope="module")
def started(chatml: Model) -> Iterator[list[Peer]]:
    script = chatml.tokenizer.encode([Piece("all\nhello there<|im_end|>", markup=True)]).ids
    peers = [peer_of(chatml, script_model(272, script)) for _ in range(2)]
    with running(*peers):
        yield peers


@dataclass
class Front:
    """Our server over the first `len(peers)` peers."""

    url: str
    engine: RemoteEngine
    peers: list[Peer]

    def reset(self) -> None:
        for peer in self.peers:
            peer.forget()
        for server in self.engine._servers:
            self.engine._servers.recover(server)


@contextmanager
def front_over(chatml: Model, peers: list[Peer]) -> Iterator[Front]:
    with engine_over(chatml, *peers, silence_s=SILENCE_S) as engine:
        close = engine.close
        model = shared(replace(chatml, engine=engine))
        with serving(create_app(lambda: model)) as url:
            yield Front(url, engine, peers)
        engine.close = close  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def fronts(chatml: Model, started: list[Peer]) -> Iterator[dict[int, Front]]:
    with front_over(chatml, started[:1]) as one, front_over(chatml, started) as two:
        yield {1: one, 2: two}


@pytest.fixture
def front(fronts: dict[int, Front]) -> Front:
    """A front with one server."""
    fronts[1].reset()
    return fronts[1]


@pytest.fixture
def two(fronts: dict[int, Front]) -> Front:
    fronts[2].reset()
    return fronts[2]


def chat(url: str, *, stream: bool = False, **others: Any) -> httpx2.Response:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 40, "temperature": 0}
    began = time.monotonic()
    answer = httpx2.post(f"{url}/v1/chat/completions", json={**body, "stream": stream, **others}, timeout=60)
    assert time.monotonic() - began < SOON_S
    return answer


def error_of(answer: httpx2.Response) -> str:
    """Return the message of an error, whose shape is checked."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "127.0.0.1" not in error["message"], "a client learns an address"
    return str(error["message"])


def events(answer: httpx2.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]


def said(answer: httpx2.Response) -> str:
    content = answer.json()["choices"][0]["message"]["content"]
    return str(content)


def stream(data: str) -> Reply:
    return Reply(200, f"data: {data}\n\n", content_type="text/event-stream")


@pytest.mark.parametrize(("when", "how"), list(product(BEFORE, HOW)))
def test_a_server_that_breaks_before_the_first_token(front: Front, when: When, how: How) -> None:
    front.peers[0].fault = Fault(when, how)
    for stream in (False, True):
        answer = chat(front.url, stream=stream)
        assert answer.status_code == 503 and answer.headers["retry-after"], answer.text
        assert "the engine's server" in error_of(answer)


@pytest.mark.parametrize(("when", "how"), list(product(BEFORE, HOW)))
def test_a_request_that_has_sent_nothing_goes_to_another_server(two: Front, when: When, how: How) -> None:
    for peer in two.peers:
        peer.fault = Fault(when, how, times=1)
    two.peers[1].fault = None
    answers = [chat(two.url) for _ in range(2)]  # one of them meets the fault
    assert [said(answer) for answer in answers] == ["hello there"] * 2
    assert two.engine.health() == ""


@pytest.mark.parametrize("how", HOW)
def test_a_server_that_breaks_in_an_answer(two: Front, how: How) -> None:
    """What was sent stays sent: the client gets an error event and no [DONE], and a whole answer is status 500."""
    for peer in two.peers:
        peer.fault = Fault("mid-chunk", how, num_events=6)
    got = events(chat(two.url, stream=True))
    assert "[DONE]" not in got and len(got) > 2
    assert set(json.loads(got[-1])["error"]) == {"message", "type", "param", "code"}
    assert "127.0.0.1" not in got[-1]
    two.reset()
    for peer in two.peers:
        peer.fault = Fault("mid-chunk", how, num_events=6)
    answer = chat(two.url)
    assert answer.status_code == 500 and error_of(answer)


@pytest.mark.parametrize("how", HOW)
def test_a_server_that_breaks_after_the_last_token_harms_nothing(front: Front, how: How) -> None:
    front.peers[0].fault = Fault("before end", how)
    assert said(chat(front.url)) == "hello there"
    assert events(chat(front.url, stream=True))[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(400, {"error": {"message": "No.", "code": 400}}), 400),
        (Reply(401, {"error": "Unauthorized"}), 503),
        (Reply(404, {"error": {"message": "The model `x` does not exist."}}), 503),
        (Reply(429, {"error": {"message": "slow down"}}), 429),
        (Reply(500, "Internal Server Error"), 503),
        (Reply(503, {"error": {"message": "Loading model"}}), 503),
        (Reply(302, "", {"Location": "http://127.0.0.1:9/"}), 503),
        (Reply(302, ""), 503),
        (Reply(200, "<html>Sign in</html>"), 503),
        (Reply(200, {"choices": []}), 500),
        (stream("{]"), 503),
        (stream("[]"), 503),
        (stream("" + "[" * 100_000 + ""), 503),
        (stream('{"error": {"message": "boom", "code": 500}}'), 503),
        (
            stream('{"error": {"message": "too long", "code": 400}}'),
            400,
        ),
        (stream('{"error": "boom"}'), 503),
        (stream("[DONE]"), 500),
        (Reply(200, "", content_type="text/event-stream"), 500),
    ],
    ids=lambda value: str(value)[:60],
)
def test_another_answer_than_a_stream_of_tokens(front: Front, reply: Reply, status: int) -> None:
    peer = front.peers[0]
    peer.replies[peer.dialect.completions] = reply
    for stream in (False, True):
        answer = chat(front.url, stream=stream)
        assert answer.status_code == status, answer.text
        assert error_of(answer)
        assert ("retry-after" in answer.headers) == (status in (429, 503))


def test_servers_that_are_only_busy_are_not_failed(two: Front) -> None:
    """After 429 of all servers, /health said 503, and an orchestrator would have ended this process."""
    for peer in two.peers:
        peer.replies[peer.dialect.completions] = Reply(429, {"error": {"message": "slow down"}})
    assert chat(two.url).status_code == 429
    assert two.engine.health() == ""
    two.peers[1].replies.clear()
    assert [said(chat(two.url)) for _ in range(3)] == ["hello there"] * 3


def test_a_busy_and_a_failed_server_are_a_full_queue(two: Front) -> None:
    """The order of the servers must not decide between 429 and 503."""
    for busy, failed in ((0, 1), (1, 0)):
        two.reset()
        path = two.peers[0].dialect.completions
        two.peers[busy].replies[path] = Reply(429, {"error": {"message": "slow down"}})
        two.peers[failed].replies[path] = Reply(500, "")
        assert chat(two.url).status_code == 429


def changed(**fields: Any) -> Any:
    """Return a change of the third event of an answer in vLLM's shape."""
    seen: list[Any] = []

    def change(event: Any) -> Any:
        seen.append(event)
        if len(seen) == 3:
            event["choices"][0] |= fields
        return event

    return change


@pytest.mark.parametrize(
    "fields",
    [
        {"token_ids": [272]},
        {"token_ids": [-1]},
        {"token_ids": [10**30]},
        {"token_ids": ["5"]},
        {"token_ids": [1.0]},
        {"token_ids": [None]},
        {"token_ids": [True]},
        {"token_ids": [[5]]},
        {"token_ids": None},
        {"token_ids": {}, "finish_reason": "abort"},
        {"token_ids": 7},
        {"finish_reason": 7},
    ],
    ids=str,
)
def test_ids_that_are_none_are_an_error_of_this_request_only(front: Front, fields: Any) -> None:
    front.peers[0].change = changed(**fields)
    answer = chat(front.url)
    assert answer.status_code == 500 and "the engine's server" in error_of(answer)
    front.peers[0].change = None
    assert said(chat(front.url)) == "hello there"


def test_an_error_event_in_a_stream(front: Front) -> None:
    seen: list[Any] = []

    def change(event: Any) -> Any:
        seen.append(event)
        return event if len(seen) < 5 else {"error": {"message": "CUDA error", "type": "x", "code": 500}}

    front.peers[0].change = change
    got = events(chat(front.url, stream=True))
    assert "CUDA error" in json.loads(got[-1])["error"]["message"] and "[DONE]" not in got


def test_a_stop_id_that_is_no_end_of_text(front: Front) -> None:
    """A server that ends at a token of its own is asked to go on: only the request's stop tokens end an answer."""
    front.peers[0].change = lambda event: early_end(event)
    seen: list[int] = []

    def early_end(event: Any) -> Any:
        choice = (event.get("choices") or [{}])[0]
        seen.extend(choice.get("token_ids", []))
        if len(seen) == 6:
            return event | {"choices": [choice | {"finish_reason": "stop", "stop_reason": seen[-1]}]}
        return event if len(seen) < 6 or front.peers[0].num_completions > 1 else None

    assert said(chat(front.url)) == "hello there"
    assert front.peers[0].num_completions == 2


def test_an_event_without_end_is_cut_with_little_memory(front: Front) -> None:
    front.peers[0].flood = 2**30
    tracemalloc.start()
    try:
        answer = chat(front.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 500 and "16777216 bytes" in error_of(answer)
    assert peak < 100 * 2**20, peak


def test_zipped_answers_are_read(front: Front) -> None:
    front.peers[0].is_zipped = True
    assert said(chat(front.url)) == "hello there"


# Leaving, closing, health, and several loops


async def left_at(engine: RemoteEngine, num: int) -> None:
    async with aclosing(engine.generate(PROMPT, WRITES)) as stream:
        for _ in range(num):
            await anext(stream)


def is_idle(front: Front) -> bool:
    running_here = sum(server.num_running for server in front.engine._servers)
    return not running_here and not any(peer.num_running for peer in front.peers)


def soon(condition: Callable[[], bool]) -> bool:
    """Return whether the condition holds within ten seconds."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("num", [1, 3])
def test_closing_an_answer_aborts_the_work_on_the_server(front: Front, num: int) -> None:
    front.peers[0].token_s = 0.05
    asyncio.run(left_at(front.engine, num))
    assert soon(lambda: is_idle(front)) and front.peers[0].num_aborted == 1


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("when", [None, *BEFORE, "mid-chunk"])
def test_cancelling_leaves_nothing_behind(front: Front, when: When | None, after_s: float) -> None:
    """At each point: no task, no count, no connection."""
    front.peers[0].token_s = 0.02
    front.peers[0].fault = Fault(when, "stall") if when else None

    async def cancelled() -> int:
        task = asyncio.create_task(steps(front.engine, PROMPT, WRITES))  # type: ignore[arg-type]
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(cancelled()) == 0
    assert soon(lambda: is_idle(front))
    assert not front.engine.health()


def test_one_request_never_harms_another(two: Front) -> None:
    """Of 40 requests at the same time, each fifth is left, and the others get their answers."""
    for peer in two.peers:
        peer.token_s = 0.002

    async def all_together() -> list[list[int] | None]:
        async def one(number: int) -> list[int] | None:
            if number % 5 == 0:
                await left_at(two.engine, 1 + number % 3)
                return None
            return ids(await steps(two.engine, [5, 6, number], WRITES))  # type: ignore[arg-type]

        return await asyncio.gather(*map(one, range(40)))

    answers = [answer for answer in asyncio.run(all_together()) if answer is not None]
    assert len(answers) == 32 and len({tuple(answer) for answer in answers}) == 1
    assert soon(lambda: is_idle(two))
    assert all(peer.num_completions > 10 for peer in two.peers), "the work is not shared"


def test_several_event_loops_use_one_engine(two: Front) -> None:
    """`inference.generate` runs a new loop for each answer, in any thread."""
    found: list[list[int]] = []

    def run() -> None:
        for _ in range(3):
            found.append(ids(asyncio.run(steps(two.engine, PROMPT, WRITES))))  # type: ignore[arg-type]

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 9 and len({tuple(one) for one in found}) == 1


def test_closing_the_engine_ends_its_requests(chatml: Model, front: Front) -> None:
    """Requests that waited for a server outlived the engine, up to the deadline of silence."""
    front.peers[0].fault = Fault("after head", "stall")
    with engine_over(chatml, front.peers[0], silence_s=60) as engine:

        async def closed() -> None:
            task = asyncio.create_task(steps(engine, PROMPT, WRITES))  # type: ignore[arg-type]
            await asyncio.to_thread(soon, lambda: bool(front.peers[0].num_running))
            await engine.close()
            with pytest.raises(EngineDown) as caught:
                await asyncio.wait_for(task, 5)
            assert caught.value.code == "shutting_down"
            with pytest.raises(EngineDown):
                await steps(engine, PROMPT, WRITES)  # type: ignore[arg-type]

        asyncio.run(closed())
        assert "shutting down" in engine.health()
    assert soon(lambda: is_idle(front))


def test_health_follows_the_servers(chatml: Model, two: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PERIOD_S", 0.05)
    with front_over(chatml, two.peers) as watched:

        def turns(status: int) -> bool:
            return soon(lambda: httpx2.get(f"{watched.url}/health").status_code == status)

        assert turns(200)
        two.peers[0].replies["/health"] = Reply(503, {"error": {"message": "dead"}})
        time.sleep(0.3)
        assert turns(200), "one of two servers works"
        two.peers[1].replies["/health"] = Reply(500, "")
        assert turns(503)
        assert "127.0.0.1" not in httpx2.get(f"{watched.url}/health").text
        two.peers[1].replies.clear()
        assert turns(200)
        assert said(chat(watched.url)) == "hello there"


def test_a_failed_server_is_left_out_and_tried_again(two: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FIRST_PAUSE_S", 0.5)
    bad, good = two.peers
    bad.fault = Fault("before head", "reset", times=1)

    def ask(number: int) -> None:
        asyncio.run(steps(two.engine, [5, number], WRITES))  # type: ignore[arg-type]

    for number in range(6):
        ask(number)
    num_before = bad.num_completions
    assert good.num_completions >= 5 and num_before <= 3
    time.sleep(0.6)
    for number in range(6):
        ask(number)
    assert bad.num_completions > num_before


def test_many_failures_at_once_pause_a_server_once(front: Front) -> None:
    """Ten requests that failed together doubled the pause ten times."""
    front.peers[0].fault = Fault("after head", "reset")

    async def together() -> None:
        found = await asyncio.gather(*(steps(front.engine, PROMPT, WRITES) for _ in range(10)), return_exceptions=True)  # type: ignore[arg-type]
        assert all(isinstance(one, EngineDown) for one in found)

    asyncio.run(together())
    (server,) = front.engine._servers
    assert server.pause_s <= 2 * servers.FIRST_PAUSE_S


def test_a_prompt_goes_where_its_beginning_was_read(two: Front) -> None:
    prompts = [[owner, *range(100)] for owner in (11, 12, 13, 14)]
    for prompt in prompts:
        asyncio.run(steps(two.engine, prompt, WRITES))  # type: ignore[arg-type]
    firsts = {body["prompt"][0]: peer for peer in two.peers for body in peer.bodies}
    for peer in two.peers:
        peer.bodies.clear()
    for prompt in prompts:
        asyncio.run(steps(two.engine, [*prompt, 7], WRITES))  # type: ignore[arg-type]
    assert all(firsts[body["prompt"][0]] is peer for peer in two.peers for body in peer.bodies)


def test_errors_are_of_the_contracts_types(front: Front) -> None:
    path = front.peers[0].dialect.completions
    for status, kind in ((400, RequestError), (429, EngineBusy), (500, EngineDown)):
        front.peers[0].replies[path] = Reply(status, {"error": {"message": "no"}})
        with pytest.raises(kind):
            asyncio.run(steps(front.engine, PROMPT, WRITES))  # type: ignore[arg-type]
    front.peers[0].replies.clear()
    front.peers[0].fault = Fault("mid-chunk")
    with pytest.raises(EngineError):
        asyncio.run(steps(front.engine, PROMPT, WRITES))  # type: ignore[arg-type]
