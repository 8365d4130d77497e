"""Functions that block, hang or end badly stop neither the agent nor the process."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.calls import Confirmation, run_call
from agent.events import ToolResult
from agent.python import threads
from agent.python.threads import OwnLoop
from agent.python.tools import PythonTool, tool
from agent.results import error_text
from agent.tools import Tool
from core.conversation import Call


async def result_of(made: Tool, arguments: str = "{}") -> ToolResult:
    return await run_call({made.name: made}, Call(made.name, arguments, "call_1"), Confirmation(None), 65_536)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event that ends the functions which wait for it."""
    event = threading.Event()
    yield event
    event.set()


def hanging(gate: threading.Event, timeout_s: float = 0.1) -> PythonTool:
    @tool(name="hang", timeout_s=timeout_s)
    def hang() -> str:
        gate.wait(60)
        return "late"

    return hang


@tool
def quick() -> str:
    return "quick"


def test_a_function_that_hangs_is_left_alone(gate: threading.Event) -> None:
    async def main() -> None:
        slow, fast = await asyncio.gather(result_of(hanging(gate)), result_of(quick))
        assert slow.is_error and "hang took longer than 0.1 s" in slow.text
        assert fast.text == "quick"

    asyncio.run(main())


def test_when_all_threads_hang_a_call_is_an_error_and_not_without_end(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that hangs once freed its place at the deadline, so that threads were added without a bound."""
    monkeypatch.setattr(threads, "WAIT_S", 0.2)

    async def main() -> None:
        hung = await asyncio.gather(*(result_of(hanging(gate)) for _ in range(threads.MAX_THREADS)))
        assert all("took longer" in one.text for one in hung)
        refused = await result_of(quick)
        assert refused.is_error and refused.text.startswith("Error: not run: 32 other calls have not ended")
        assert sum(one.name.startswith("tool") for one in threading.enumerate()) == threads.MAX_THREADS
        monkeypatch.setattr(threads, "WAIT_S", 10)
        asyncio.get_running_loop().call_later(0.1, gate.set)
        assert (await result_of(quick)).text == "quick"

    asyncio.run(main())


def test_many_calls_at_the_same_time_wait_for_a_thread() -> None:
    def nap() -> str:
        time.sleep(0.01)
        return "rested"

    async def main() -> None:
        found = await asyncio.gather(*(result_of(tool(nap)) for _ in range(100)))
        assert {one.text for one in found} == {"rested"}

    asyncio.run(main())


@pytest.mark.parametrize("body", ["time.sleep(60)", "while True: pass", "yield from itertools.repeat('', 10**12)"])
def test_the_process_ends_although_a_function_hangs(body: str) -> None:
    """Threads that are no daemons, as anyio's, keep a process alive until their functions end."""
    script = f"""
import asyncio, itertools, time
from agent.calls import Confirmation, run_call
from agent.python.tools import tool
from core.conversation import Call
@tool(timeout_s=0.2)
def hang():
    {body}
print(asyncio.run(run_call({{"hang": hang}}, Call("hang", "", "1"), Confirmation(None), 10**12)).text)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, cwd=root)
    assert done.returncode == 0 and "took longer than 0.2 s" in done.stdout, done.stderr


def test_the_end_of_a_function_after_its_event_loop_is_no_error(gate: threading.Event) -> None:
    asyncio.run(result_of(hanging(gate)))


# An event loop of its own


def moved(made: PythonTool, loop: OwnLoop) -> Tool:
    return Tool(made.function, loop.moved(made.run), timeout_s=made.timeout_s)


def test_an_async_function_that_blocks_does_not_stop_the_callers_loop(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "MAX_BLOCKED_S", 0.2)
    loops = []

    @tool(timeout_s=0.3)
    async def block() -> str:
        gate.wait(60)
        return "late"

    @tool
    async def good() -> str:
        await asyncio.sleep(0.01)
        loops.append(asyncio.get_running_loop())
        return "good"

    async def main() -> None:
        own = OwnLoop()
        assert (await result_of(moved(good, own))).text == "good"
        assert (await result_of(moved(good, own))).text == "good"
        started, ticks = time.monotonic(), 0
        blocked = asyncio.create_task(result_of(moved(block, own)))
        while not blocked.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert "took longer" in blocked.result().text and ticks > 5 and time.monotonic() - started < 10
        assert (await result_of(moved(good, own))).text == "good"  # in a new loop
        assert loops[0] is loops[1] is not loops[2]
        assert asyncio.get_running_loop() not in loops

    asyncio.run(main())


def test_a_coroutine_that_stops_its_loop_stops_no_other_call() -> None:
    """The closed loop was taken for each later call of an `async def` tool, which failed until the end."""

    @tool(timeout_s=0.2)
    async def stops() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(60)
        return "late"

    @tool
    async def good() -> str:
        return "good"

    async def main() -> None:
        own = OwnLoop()
        assert (await result_of(moved(stops, own))).is_error
        await asyncio.sleep(0.2)
        assert (await result_of(moved(good, own))).text == "good"

    asyncio.run(main())


def test_a_loop_that_was_blocked_ends_when_its_coroutines_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each such loop holds the place of a thread."""
    monkeypatch.setattr(threads, "MAX_BLOCKED_S", 0.05)
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    found = []

    @tool
    async def block() -> str:
        time.sleep(0.5)  # noqa: ASYNC251  that is the fault
        await asyncio.sleep(0.2)
        found.append(threading.current_thread())
        return user.get()

    async def main() -> None:
        own = OwnLoop()
        user.set("ada")
        first = asyncio.create_task(result_of(moved(block, own)))
        await asyncio.sleep(0.2)
        second, third = await asyncio.gather(result_of(moved(block, own)), result_of(moved(block, own)))
        assert (await first).text == second.text == third.text == "ada"
        assert len(set(found)) < 4
        await asyncio.to_thread(found[0].join, 10)
        assert not found[0].is_alive()

    asyncio.run(main())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_coroutine_cannot_end_the_loop(error: BaseException) -> None:
    @tool
    async def leave(is_last: bool = True) -> str:
        if is_last:
            raise error
        return "stayed"

    async def main() -> None:
        own = OwnLoop()
        assert (await result_of(moved(leave, own))).text == error_text(error)
        assert (await result_of(moved(leave, own), '{"is_last": false}')).text == "stayed"

    asyncio.run(main())


def test_an_async_function_is_cancelled_at_its_deadline() -> None:
    ended = threading.Event()

    @tool(timeout_s=0.1)
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def main() -> None:
        assert "took longer" in (await result_of(moved(slow, OwnLoop()))).text

    asyncio.run(main())
    assert ended.wait(10)


def test_a_hook_that_hangs_does_not_keep_the_process() -> None:
    """A hook for confirmations ran in a thread for which Python waits at its end, here half a minute."""
    script = (
        "import time\n"
        "from agent import Agent, Limits, tool\n"
        "from tests.support.scripted_chat import ScriptedChat\n"
        "@tool(confirm=True)\n"
        "def pay() -> str: return 'paid'\n"
        "agent = Agent([pay], confirm=lambda tool, arguments: time.sleep(45) or True, limits=Limits(seconds=0.5))\n"
        "agent._asked = ScriptedChat([('pay', {})], 'Ok')\n"
        "print(agent.run('Pay.').limit)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=40, cwd=root)
    assert done.stdout == "0.5 s\n", done.stderr
