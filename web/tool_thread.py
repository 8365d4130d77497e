"""Runs the server's tools outside its event loop, so that a tool that blocks does not delay other requests."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import traceback
from dataclasses import replace
from pathlib import Path

from agent.tools import Json, Tool, ToolError

UNRESPONSIVE_S = 1.0  # a loop that does not answer in this time is blocked by a tool, and left alone
_PATH = re.compile(r"(?<![\w:/.])(?:/[^/\s'\":,]+)+/([^/\s'\":,]+)")

log = logging.getLogger("functionary")


class ToolThread:
    """An event loop in a thread of its own for the tools. If a tool blocks it, the next call gets a new one."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def moved(self, tool: Tool) -> Tool:
        """Return the tool as one that runs in the thread.

        An exception that is no ToolError is logged without its text, and the model reads it without paths of files.
        """

        async def run(arguments: Json) -> object:
            loop = await self._responsive()
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_guarded(tool, arguments), loop))

        return replace(tool, run=run)

    def close(self) -> None:
        """End the thread, unless a tool blocks it."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def _responsive(self) -> asyncio.AbstractEventLoop:
        if self._loop and not await _answers(self._loop):
            log.warning("a tool blocks the thread of the tools; the next calls get a new one")
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(self._loop,), name="tools", daemon=True).start()
        return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _answers(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop runs what it is given."""
    answered = asyncio.Event()
    own = asyncio.get_running_loop()
    loop.call_soon_threadsafe(lambda: own.call_soon_threadsafe(answered.set))
    try:
        async with asyncio.timeout(UNRESPONSIVE_S):
            await answered.wait()
    except TimeoutError:
        return False
    return True


async def _guarded(tool: Tool, arguments: Json) -> object:
    """Run a tool. `sys.exit` in it would end the loop."""
    try:
        return await tool.run(arguments)
    except ToolError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        log.warning("the tool %s failed: %s at %s", tool.name, type(error).__name__, _place(error))
        if isinstance(error, SystemExit):
            raise ToolError(f"{tool.name} called sys.exit") from None
        raise ToolError(f"{type(error).__name__}: {without_paths(_text(error))}") from None


def without_paths(text: str) -> str:
    """Return a text with the last part of each path of a file only. A URL is none."""
    return _PATH.sub(r"\1", text)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the `__str__` of a class that a tool defines
        return "an error without a text"


def _place(error: BaseException) -> str:
    """Return the file and the line where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
