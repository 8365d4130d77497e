"""One call: whatever a tool, its result or its confirmation does wrong is a text that the model reads."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.calls import Confirm, Confirmation, run_call
from agent.events import ToolResult
from agent.python.tools import tool
from agent.results import MAX_ERROR
from agent.tools import Json, Tool, ToolError
from core.conversation import Call, Function

LATER = 20.0  # seconds that nothing in these tests takes
EMPTY = {"type": "object", "properties": {}}


def result_of(tools: Tool | list[Tool], *, confirm: Confirm | None = None, arguments: str = "{}") -> ToolResult:
    """Return the result of a call of the first tool."""
    given = tools if isinstance(tools, list) else [tools]

    async def run() -> ToolResult:
        call = Call(given[0].name, arguments, "call_1")
        return await run_call({one.name: one for one in given}, call, Confirmation(confirm), 1000)

    return asyncio.run(run())


def both(body: Callable[[], object]) -> list[Tool]:
    """Return a plain function and a coroutine function with this body, as tools that have two seconds."""

    async def coroutine() -> object:
        return body()

    def plain() -> object:
        return body()

    return [tool(timeout_s=2)(plain), Tool(Function("coroutine", "", EMPTY), lambda _: coroutine(), timeout_s=2)]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no message")


def raising(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "Error: ValueError: no such city"),
        (ToolError("no such city"), "Error: no such city"),
        (KeyError("x"), "Error: KeyError: 'x'"),
        (Exception(), "Error: Exception"),
        (Unspeakable(), "Error: Unspeakable: its message cannot be read"),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "Error: ExceptionGroup: two (2 sub-exceptions)"),
        (BaseExceptionGroup("all", [KeyboardInterrupt()]), "Error: BaseExceptionGroup: all (1 sub-exception)"),
        (TimeoutError("a socket"), "Error: TimeoutError: a socket"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_exception_is_a_result_with_class_and_message(error: BaseException, text: str) -> None:
    for one in both(raising(error)):
        result = result_of(one)
        assert (result.text, result.is_error, result.has_run) == (text, True, True)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_an_exception_that_would_end_the_program_ends_only_the_call(error: BaseException) -> None:
    """`sys.exit()` in a function ended the event loop, and with it all other answers of a server."""
    for one in both(raising(error)):
        result = result_of(one)
        assert result.is_error and result.has_run and result.text.startswith("Error: ")


def test_stop_iteration_is_an_error_too() -> None:
    for one in both(raising(StopIteration(1))):
        assert result_of(one).is_error


def test_a_call_of_exit_in_a_function() -> None:
    for one in both(lambda: sys.exit("bye")):
        assert result_of(one).text == "Error: SystemExit: bye"


def test_the_message_of_an_exception_is_cut() -> None:
    for one in both(raising(ValueError("x" * 10_000))):
        assert len(result_of(one).text) == MAX_ERROR


def test_an_exception_has_no_traceback_and_no_path() -> None:
    for one in both(raising(ValueError("wrong"))):
        assert __file__ not in result_of(one).text and "Traceback" not in result_of(one).text


def test_a_plain_function_that_hangs_is_left_alone() -> None:
    over = threading.Event()

    def hang() -> str:
        over.wait(LATER)
        return "late"

    async def run() -> ToolResult:
        hanging = tool(timeout_s=0.2)(hang)
        try:
            return await run_call({"hang": hanging}, Call("hang", "{}", "1"), Confirmation(None), 1000)
        finally:
            over.set()

    result = asyncio.run(run())
    assert result.text == "Error: hang took longer than 0.2 s and was stopped"
    assert result.is_error and result.has_run and 0.2 <= result.seconds < LATER


def test_a_coroutine_function_that_hangs_is_cancelled_and_may_clean_up() -> None:
    done: list[str] = []

    async def hang() -> str:
        try:
            await asyncio.sleep(LATER)
        finally:
            await asyncio.sleep(0.05)
            done.append("closed")
        return "late"

    result = result_of(Tool(Function("hang", "", EMPTY), lambda _: hang(), timeout_s=0.1))
    assert result.text == "Error: hang took longer than 0.1 s and was stopped" and done == ["closed"]


def test_a_result_that_comes_after_the_time_does_not_count() -> None:
    async def late() -> str:
        try:
            await asyncio.sleep(LATER)
        except asyncio.CancelledError:
            return "late"
        return "never"

    assert result_of(Tool(Function("late", "", EMPTY), lambda _: late(), timeout_s=0.1)).is_error


def test_a_run_that_is_no_coroutine_function_is_an_error_of_the_call() -> None:
    wrong: Any = lambda _: "text"  # noqa: E731
    assert result_of(Tool(Function("wrong", "", EMPTY), wrong)).text.startswith("Error: TypeError: ")


def test_a_function_without_parameters_may_be_called_without_arguments() -> None:
    assert result_of(Tool(Function("bare"), both(lambda: "ok")[0].run), arguments="").text == "ok"
    assert "was unexpected" in result_of(Tool(Function("bare"), both(lambda: "ok")[0].run), arguments='{"a": 1}').text


def test_a_schema_that_cannot_be_used_is_an_error_of_the_call() -> None:
    broken = Tool(Function("broken", "", {"$ref": "http://127.0.0.1:1/schema"}), both(lambda: "ok")[0].run)
    result = result_of(broken)
    assert not result.has_run and "the schema cannot be used" in result.text


class Hook:
    """A confirmation that answers `said`, or raises it."""

    def __init__(self, said: object) -> None:
        self.said = said
        self.asked: list[tuple[str, Json]] = []

    def plain(self, asked: Tool, arguments: Json) -> Any:
        self.asked.append((asked.name, arguments))
        if isinstance(self.said, BaseException):
            raise self.said
        return self.said

    async def coroutine(self, asked: Tool, arguments: Json) -> Any:
        return self.plain(asked, arguments)


def booking(runs: list[str]) -> Tool:
    @tool(confirm=True)
    def book(hotel: str) -> str:
        runs.append(hotel)
        return "booked"

    return book


BOOK = '{"hotel": "Ritz"}'


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_confirmed_call_runs(kind: str) -> None:
    runs: list[str] = []
    hook = Hook(True)
    result = result_of(booking(runs), confirm=getattr(hook, kind), arguments=BOOK)
    assert (result.text, runs, hook.asked) == ("booked", ["Ritz"], [("book", {"hotel": "Ritz"})])


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("said", [False, None, 0, "", ValueError("no terminal"), EOFError()])
def test_a_call_that_is_not_confirmed_does_not_run(kind: str, said: object) -> None:
    """Anything but a true value is a no, also an exception of the hook, which ended the whole answer before."""
    runs: list[str] = []
    result = result_of(booking(runs), confirm=getattr(Hook(said), kind), arguments=BOOK)
    told = f"the confirmation failed: {type(said).__name__}{f': {said}' if str(said) else ''}"
    told = told if isinstance(said, Exception) else "nobody confirmed the call"
    assert (result.text, result.is_error, result.has_run, runs) == (f"Error: not run: {told}", True, False, [])


def test_a_call_that_needs_a_confirmation_does_not_run_without_a_hook() -> None:
    runs: list[str] = []
    result = result_of(booking(runs), arguments=BOOK)
    assert result.text == "Error: not run: it needs a confirmation, which is not possible" and runs == []


def test_nobody_is_asked_about_arguments_that_do_not_fit() -> None:
    hook = Hook(True)
    assert not result_of(booking([]), confirm=hook.plain, arguments='{"hotel": 7}').has_run
    assert hook.asked == []


def test_a_hook_without_need_is_not_asked() -> None:
    hook = Hook(False)
    assert result_of(both(lambda: "ok")[0], confirm=hook.plain).text == "ok" and hook.asked == []


def test_one_confirmation_at_a_time() -> None:
    """Two parallel calls asked one terminal at the same time."""
    num_open, most = 0, 0

    def confirm(*_: object) -> bool:
        nonlocal num_open, most
        num_open += 1
        most = max(most, num_open)
        time.sleep(0.02)
        num_open -= 1
        return True

    async def run() -> list[ToolResult]:
        runs: list[str] = []
        tools, confirmation = {"book": booking(runs)}, Confirmation(confirm)
        calls = [Call("book", BOOK, str(number)) for number in range(5)]
        return await asyncio.gather(*(run_call(tools, call, confirmation, 1000) for call in calls))

    assert [one.text for one in asyncio.run(run())] == ["booked"] * 5 and most == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["city", "days", "x"]), inner),
    max_leaves=5,
)
NEAR = st.fixed_dictionaries(
    {"city": st.text(max_size=5) | JSON}, optional={"days": st.integers(-1, 9) | JSON, "x": JSON}
)


@settings(max_examples=500)
@given(st.one_of(NEAR.map(json.dumps), JSON.map(json.dumps), st.text(max_size=30)))
def test_no_arguments_reach_a_function_that_do_not_fit(arguments: str) -> None:
    reached: list[Json] = []

    async def run(given: Json) -> str:
        reached.append(given)
        return "ok"

    properties = {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}}
    forecast = Tool(Function("forecast", "", {"type": "object", "properties": properties, "required": ["city"]}), run)
    result = result_of(forecast, arguments=arguments)
    assert result.has_run == bool(reached) and result.is_error != bool(reached)
    for one in reached:
        assert isinstance(one["city"], str) and set(one) <= {"city", "days"}
        assert one.get("days", 1) in range(1, 8) and not isinstance(one.get("days"), bool)
