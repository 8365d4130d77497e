"""Many requests share the servers of a remote engine: leaving, closing, health, routing, and several event loops."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing

import httpx2
import pytest

from core.errors import EngineBusy, EngineDown, EngineError, RequestError
from engines.remote import health, servers
from engines.remote.engine import RemoteEngine
from inference import Model
from tests.support.remote_front import (
    BEFORE,
    PROMPT,
    WRITES,
    Front,
    chat,
    front_over,
    is_idle,
    said,
    soon,
)
from tests.support.remote_model import engine_over
from tests.support.scripted_peer import Fault, Reply, When
from tests.support.small_engine import ids, steps


async def left_at(engine: RemoteEngine, num: int) -> None:
    async with aclosing(engine.generate(PROMPT, WRITES)) as stream:
        for _ in range(num):
            await anext(stream)


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
        task = asyncio.create_task(steps(front.engine, PROMPT, WRITES))
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
            return ids(await steps(two.engine, [5, 6, number], WRITES))

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
            found.append(ids(asyncio.run(steps(two.engine, PROMPT, WRITES))))

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
            task = asyncio.create_task(steps(engine, PROMPT, WRITES))
            await asyncio.to_thread(soon, lambda: bool(front.peers[0].num_running))
            await engine.close()
            with pytest.raises(EngineDown) as caught:
                await asyncio.wait_for(task, 5)
            assert caught.value.code == "shutting_down"
            with pytest.raises(EngineDown):
                await steps(engine, PROMPT, WRITES)

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
        asyncio.run(steps(two.engine, [5, number], WRITES))

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
        found = await asyncio.gather(*(steps(front.engine, PROMPT, WRITES) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(one, EngineDown) for one in found)

    asyncio.run(together())
    (server,) = front.engine._servers
    assert server.pause_s <= 2 * servers.FIRST_PAUSE_S


def test_a_prompt_goes_where_its_beginning_was_read(two: Front) -> None:
    prompts = [[owner, *range(100)] for owner in (11, 12, 13, 14)]
    for prompt in prompts:
        asyncio.run(steps(two.engine, prompt, WRITES))
    firsts = {body["prompt"][0]: peer for peer in two.peers for body in peer.bodies}
    for peer in two.peers:
        peer.bodies.clear()
    for prompt in prompts:
        asyncio.run(steps(two.engine, [*prompt, 7], WRITES))
    assert all(firsts[body["prompt"][0]] is peer for peer in two.peers for body in peer.bodies)


def test_errors_are_of_the_contracts_types(front: Front) -> None:
    path = front.peers[0].dialect.completions
    for status, kind in ((400, RequestError), (429, EngineBusy), (500, EngineDown)):
        front.peers[0].replies[path] = Reply(status, {"error": {"message": "no"}})
        with pytest.raises(kind):
            asyncio.run(steps(front.engine, PROMPT, WRITES))
    front.peers[0].replies.clear()
    front.peers[0].fault = Fault("mid-chunk")
    with pytest.raises(EngineError):
        asyncio.run(steps(front.engine, PROMPT, WRITES))
