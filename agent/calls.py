"""Runs one call of the model: its arguments are checked, it may need a confirmation, and it has a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping

from agent.events import ToolResult
from agent.results import MAX_ERROR, MAX_RESULT, as_text, error_text
from agent.tools import Json, Tool, ToolError
from client.rows import call_fault, parse_arguments
from core.conversation import Call

Confirm = Callable[[Tool, Json], bool | Awaitable[bool]]


def not_run(call: Call, reason: str) -> ToolResult:
    """Return the result of a call that is not run. `reason` is a phrase."""
    return ToolResult(call.id, call.name, f"Error: not run: {reason}"[:MAX_ERROR], is_error=True, has_run=False)


async def run_call(tools: Mapping[str, Tool], call: Call, confirm: Confirm | None, max_result: int) -> ToolResult:
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
    if fault := call_fault([tool.function], call.name, arguments):
        return not_run(call, f"the arguments do not fit the function: {fault}")
    if tool.needs_confirmation and not await _is_confirmed(confirm, tool, arguments):
        return not_run(
            call, "nobody confirmed the call" if confirm else "it needs a confirmation, which is not possible"
        )
    MAX_RESULT.set(max_result)
    started = time.monotonic()
    try:
        text, is_error = as_text(await _within(tool, arguments), max_result), False
    except Exception as error:
        text, is_error = error_text(error), True
    return ToolResult(call.id, call.name, text, is_error, seconds=time.monotonic() - started)


async def _within(tool: Tool, arguments: Json) -> object:
    """Run a tool within its time. A tool that does not end when it is cancelled is left alone."""
    task = asyncio.create_task(_guarded(tool, arguments))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # so that asyncio logs nothing
    try:
        await asyncio.wait({task}, timeout=tool.timeout_s)
    finally:
        task.cancel()
    if not task.done():
        raise ToolError(f"{tool.name} took longer than {tool.timeout_s:g} s and was stopped")
    if task.cancelled():
        raise ToolError(f"{tool.name} was cancelled")
    return task.result()


async def _guarded(tool: Tool, arguments: Json) -> object:
    """Run a tool. `sys.exit` in it would end the event loop if it left a task."""
    try:
        return await tool.run(arguments)
    except SystemExit as error:
        raise ToolError(f"{tool.name} called sys.exit({error})") from None


async def _is_confirmed(confirm: Confirm | None, tool: Tool, arguments: Json) -> bool:
    """Ask for a confirmation. A hook that is no coroutine function may block, so that it runs in a thread."""
    if confirm is None:
        return False
    if inspect.iscoroutinefunction(confirm):
        return bool(await confirm(tool, arguments))
    said = await asyncio.to_thread(confirm, tool, arguments)
    return bool(await said if inspect.isawaitable(said) else said)
