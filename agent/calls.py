"""Runs one call of the model: its arguments are checked, it may need a confirmation, and it has a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping

from anyio import to_thread

from agent.events import ToolResult
from agent.python.threads import in_thread
from agent.results import ERROR, MAX_ERROR, MAX_RESULT, as_text, error_text
from agent.tools import Json, Tool, ToolError
from client.rows import call_fault, parse_arguments
from core.conversation import Call

Confirm = Callable[[Tool, Json], bool | Awaitable[bool]]

GRACE_S = 1.0  # what a cancelled coroutine has to close its files and connections


class Confirmation:
    """Asks the hook of an agent's caller. It is asked for one call at a time, since a person may answer."""

    def __init__(self, confirm: Confirm | None) -> None:
        self._confirm = confirm
        self._lock = asyncio.Lock()

    async def refusal(self, tool: Tool, arguments: Json) -> str:
        """Return why a call may not run, or "" if it may. A hook that raises an exception does not allow it."""
        if not tool.needs_confirmation:
            return ""
        if self._confirm is None:
            return "it needs a confirmation, which is not possible"
        try:
            async with self._lock:
                is_confirmed = await _asked(self._confirm, tool, arguments)
        except Exception as error:
            return f"the confirmation failed: {error_text(error).removeprefix(ERROR)}"
        return "" if is_confirmed else "nobody confirmed the call"


async def _asked(confirm: Confirm, tool: Tool, arguments: Json) -> bool:
    """Ask the hook. One that is no coroutine function may block, so that it runs in a thread."""
    if inspect.iscoroutinefunction(confirm):
        return bool(await confirm(tool, arguments))
    said = await in_thread(lambda: confirm(tool, arguments))
    return bool(await said if inspect.isawaitable(said) else said)


def not_run(call: Call, reason: str) -> ToolResult:
    """Return the result of a call that is not run. `reason` is a phrase."""
    return ToolResult(call.id, call.name, f"{ERROR}not run: {reason}"[:MAX_ERROR], is_error=True, has_run=False)


async def run_call(tools: Mapping[str, Tool], call: Call, confirmation: Confirmation, max_result: int) -> ToolResult:
    """Run a call and return its result. Whatever fails is a result that says why; only cancellation is an exception.

    max_result: characters of the result.
    """
    tool = tools.get(call.name)
    if tool is None:
        known = ", ".join(sorted(tools)) or "none"
        return not_run(call, f"there is no function {call.name[:64]!r}; the functions are {known}")
    try:
        arguments = parse_arguments(call) if call.arguments.strip() else {}
    except ValueError as error:
        return not_run(call, f"the arguments are not a JSON object: {error}")
    # It may take seconds of computing (client/schemas.py).
    if fault := await to_thread.run_sync(call_fault, [tool.function], call.name, arguments, abandon_on_cancel=True):
        return not_run(call, f"the arguments do not fit the function: {fault}")
    if refusal := await confirmation.refusal(tool, arguments):
        return not_run(call, refusal)
    MAX_RESULT.set(max_result)
    started = time.monotonic()
    text, is_error = await _within(tool, arguments, max_result)
    return ToolResult(call.id, call.name, text, is_error, seconds=time.monotonic() - started)


async def _within(tool: Tool, arguments: Json, max_result: int) -> tuple[str, bool]:
    """Run a tool within its time. Returns the text of its result, or of what went wrong, and whether something did.

    A coroutine that goes on in spite of its cancellation is left alone.
    """
    task = asyncio.create_task(_text(tool, arguments, max_result))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # so that asyncio logs nothing
    try:
        ended, _ = await asyncio.wait({task}, timeout=tool.timeout_s)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE_S)
    if not ended:
        return error_text(ToolError(f"{tool.name} took longer than {tool.timeout_s:g} s and was stopped")), True
    if task.cancelled():
        return error_text(ToolError(f"{tool.name} was cancelled")), True
    if error := task.exception():
        return error_text(error), True
    return task.result(), False


async def _text(tool: Tool, arguments: Json, max_result: int) -> str:
    """Run a tool. `sys.exit` and KeyboardInterrupt would end the event loop if they left a task."""
    try:
        value = await tool.run(arguments)
        if isinstance(value, str):
            return as_text(value, max_result)
        return str(await in_thread(lambda: as_text(value, max_result)))  # it may take seconds, or hang
    except (SystemExit, KeyboardInterrupt) as error:
        raise ToolError(error_text(error).removeprefix(ERROR)) from None
