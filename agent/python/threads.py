"""Runs functions in threads, since they may block or hang, and coroutines in an event loop of a thread of its own.

The threads are daemons, so that a function that hangs does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from agent.results import ERROR, error_text
from agent.tools import Json, ToolError

MAX_THREADS = 32  # functions that run at the same time; one that hangs counts until it ends
WAIT_S = 5.0  # how long a function waits for a free thread
MAX_BLOCKED_S = 1.0  # how long a coroutine may block the event loop before another loop takes its place

_SLOTS = threading.BoundedSemaphore(MAX_THREADS)


async def in_thread(function: Callable[[], object]) -> object:
    """Run a function in a thread, with the caller's context variables. When it is cancelled, the function goes on.

    Raises what the function raises, and ToolError when all threads are busy.
    """
    await _take_slot()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[object, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def end(outcome: tuple[object, BaseException | None]) -> None:
        if not ended.done():
            ended.set_result(outcome)

    def run() -> None:
        outcome: tuple[object, BaseException | None]
        try:
            outcome = context.run(function), None
        except Exception as error:
            outcome = None, error
        except BaseException as error:  # sys.exit, for example, which would end the event loop
            outcome = None, ToolError(error_text(error).removeprefix(ERROR))
        finally:
            _SLOTS.release()
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(end, outcome)

    _start(run, "tool")
    value, error = await ended
    if isinstance(error, StopIteration):  # no coroutine may raise it
        raise ToolError(f"StopIteration: {error}" if str(error) else "StopIteration") from error
    if error:
        raise error
    return value


async def _take_slot() -> None:
    """Wait for a free thread. Semaphores of asyncio belong to one event loop, and a process may have several."""
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not _SLOTS.acquire(blocking=False):
        if asyncio.get_running_loop().time() > deadline:
            raise ToolError(f"not run: {MAX_THREADS} other calls have not ended, and no more run at the same time")
        await asyncio.sleep(0.01)


class OwnLoop:
    """An event loop in a thread of its own, so that a coroutine that blocks does not stop the caller's loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def moved(self, run: Callable[[Json], Awaitable[object]]) -> Callable[[Json], Coroutine[Any, Any, object]]:
        """Return a coroutine function that runs `run` in the own loop."""

        async def call(arguments: Json) -> object:
            loop = await self._free_loop()

            async def awaited() -> object:
                try:
                    return await run(arguments)
                except (SystemExit, KeyboardInterrupt) as error:  # they would end the loop
                    raise ToolError(error_text(error).removeprefix(ERROR)) from None

            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(awaited(), loop))

        return call

    async def _free_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, or a new one if the loop does not react."""
        if self._loop is not None and self._loop.is_closed():  # a tool has stopped it
            self._loop = None
        stuck = self._loop
        if stuck is not None:
            is_free = asyncio.Event()
            here = asyncio.get_running_loop()
            stuck.call_soon_threadsafe(lambda: here.call_soon_threadsafe(is_free.set))
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_BLOCKED_S):
                    await is_free.wait()
                    return stuck
        await _take_slot()
        if self._loop is not None and self._loop is not stuck:  # another call has made it
            _SLOTS.release()
            return self._loop
        if stuck is not None:
            asyncio.run_coroutine_threadsafe(_end_when_idle(), stuck)
        self._loop = loop = asyncio.new_event_loop()

        def run() -> None:
            try:
                loop.run_forever()
                loop.close()
            finally:
                _SLOTS.release()

        _start(run, "tools' event loop")
        return loop


async def _end_when_idle() -> None:
    """End the event loop as soon as it runs no other coroutine."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    asyncio.get_running_loop().stop()


def _start(run: Callable[[], None], name: str) -> None:
    """Start a thread, which frees its place in _SLOTS at its end."""
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:  # the system has no more threads
        _SLOTS.release()
        raise
