"""The loop: the model's calls are run and it reads the results, within bounds; nothing is left when it is closed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from agent.events import AgentEnd, AgentEvent, ToolCallArguments, ToolCallStart, ToolResult
from agent.loop import Limits, answer
from agent.python.tools import tool
from agent.tools import Tool
from core.conversation import Function, Message
from core.errors import EngineError, PromptTooLong, RequestError
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta, TokenReport
from tests.support.scripted_chat import ScriptedChat

QUESTION = [Message("user", "What is 2 + 3?")]
LATER = 20.0  # seconds that nothing in these tests takes


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = tool(add)
SUM = ("add", {"a": 2, "b": 3})


def ran(model: Any, tools: Sequence[Tool] = (ADD,), **options: Any) -> list[AgentEvent]:
    """Return all events of the answer."""

    async def collect() -> list[AgentEvent]:
        return [event async for event in answer(model, QUESTION, tools, **options)]

    return asyncio.run(collect())


def end_of(events: Sequence[AgentEvent]) -> AgentEnd:
    end = events[-1]
    assert isinstance(end, AgentEnd)
    assert not any(isinstance(event, AgentEnd) for event in events[:-1])
    return end


def results_of(events: Sequence[AgentEvent]) -> list[ToolResult]:
    return [event for event in events if isinstance(event, ToolResult)]


def said(end: AgentEnd) -> list[tuple[str, str | None]]:
    return [(message.role, message.content) for message in end.messages]


def async_tool(name: str, run: Any, **options: Any) -> Tool:
    """Return a tool without parameters that runs a coroutine function of none."""

    async def body(_: dict[str, Any]) -> object:
        return await run()

    return Tool(Function(name, "", {"type": "object", "properties": {}}), body, **options)


class Sleeper:
    """A coroutine function that sleeps, and counts its runs and those that were cancelled or are still there."""

    def __init__(self) -> None:
        self.num_runs = self.num_cancelled = self.num_active = 0

    async def __call__(self) -> str:
        self.num_runs += 1
        self.num_active += 1
        try:
            await asyncio.sleep(LATER)
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.num_active -= 1
        return "slept"


def test_a_call_is_run_and_the_model_reads_its_result() -> None:
    model = ScriptedChat([SUM], "It is 5.")
    events = ran(model)
    results = results_of(events)
    assert [(one.name, one.text, one.is_error) for one in results] == [("add", "5", False)]
    end = end_of(events)
    assert end.reason == "stop" and end.limit == "" and len(end.finishes) == 2
    assert said(end) == [("assistant", None), ("tool", "5"), ("assistant", "It is 5.")]
    assert model.asked[1][-1].call_id == results[0].call_id and model.followups == [False, True]


def test_events_come_in_the_order_in_which_things_happen() -> None:
    events = ran(ScriptedChat([SUM], "Ok"))
    kinds = [type(event) for event in events if not isinstance(event, ToolCallArguments)]
    assert kinds == [ToolCallStart, Finish, ToolResult, TextDelta, TextDelta, Finish, AgentEnd]
    arguments = "".join(event.text for event in events if isinstance(event, ToolCallArguments))
    assert json.loads(arguments) == {"a": 2, "b": 3}


def test_reasoning_is_kept_with_the_message() -> None:
    class Thinking(ScriptedChat):
        async def answer(self, *given: Any, **options: Any) -> AsyncGenerator[Event | TokenReport | Finish]:
            if not self.asked:
                yield ReasoningDelta("I must add. ")
            async with aclosing(super().answer(*given, **options)) as events:
                async for event in events:
                    yield event

    end = end_of(ran(Thinking([SUM], "5")))
    assert [message.reasoning for message in end.messages] == ["I must add. ", "", ""]


def test_calls_of_one_round_run_at_the_same_time() -> None:
    """Each function waits for the others. If they ran one after the other, the barrier would break."""
    barrier = threading.Barrier(3, timeout=LATER)

    def meet(number: int) -> str:
        barrier.wait()
        return f"met {number}"

    events = ran(ScriptedChat([("meet", {"number": n}) for n in range(3)], "Done"), [tool(meet)])
    assert sorted(one.text for one in results_of(events)) == ["met 0", "met 1", "met 2"]


def test_results_come_when_calls_end_and_messages_in_the_order_of_the_calls() -> None:
    """The calls end in another order than they begin, several of them while the caller is busy with an event."""
    turns: dict[str, asyncio.Event] = {}
    order = ["c", "a", "d", "b"]

    async def run(given: dict[str, Any]) -> str:
        name = str(given["name"])
        await turns[name].wait()
        following = order.index(name) + 1
        if following < len(order):
            turns[order[following]].set()
        return name

    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    waiting = Tool(Function("wait", "", schema), run)

    async def collect() -> list[AgentEvent]:
        turns.update({name: asyncio.Event() for name in order})
        turns[order[0]].set()
        model = ScriptedChat([("wait", {"name": name}) for name in sorted(order)], "Done")
        events = []
        async for event in answer(model, QUESTION, [waiting]):
            events.append(event)
            await asyncio.sleep(0.05)
        return events

    events = asyncio.run(collect())
    assert [one.text for one in results_of(events)] == order
    assert [text for role, text in said(end_of(events)) if role == "tool"] == sorted(order)


def test_two_calls_without_difference_have_two_results() -> None:
    end = end_of(ran(ScriptedChat([SUM, SUM], "5 and 5")))
    ids = [call.id for call in end.messages[0].calls]
    assert len(set(ids)) == 2
    assert [message.call_id for message in end.messages if message.role == "tool"] == ids


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('{"a": 2,', "the arguments are not a JSON object"),
        ("[2, 3]", "the arguments are not a JSON object: not an object"),
        ('{"a": NaN, "b": 1}', "NaN is not a JSON value"),
        ('{"a": 1e999, "b": 1}', "1e999 is too large"),
        ("[" * 100_000, "the arguments are not a JSON object"),
        ('{"a": "2", "b": 3}', "$.a: '2' is not of type 'integer'"),
        ('{"a": 2}', "'b' is a required property"),
        ('{"a": 2, "b": 3, "c": 4}', "'c' was unexpected"),
        ("", "is a required property"),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model_which_tries_again(wrong: str, told: str) -> None:
    model = ScriptedChat([("add", wrong)], [SUM], "It is 5.")
    events = ran(model)
    first, second = results_of(events)
    assert first.is_error and not first.has_run and told in first.text and len(first.text) <= 1000
    assert second.text == "5" and end_of(events).reason == "stop"
    assert model.asked[1][-1].content == first.text


def test_a_model_that_never_writes_fitting_arguments_ends_at_the_rounds() -> None:
    end = end_of(ran(model := ScriptedChat([("add", "{")])))
    assert (end.reason, end.limit) == ("length", "8 rounds")
    assert len(model.asked) == 8 and len(end.messages) == 16


def test_an_unknown_function_is_told_with_the_known_ones() -> None:
    (result,) = results_of(ran(ScriptedChat([("subtract", {})], "Sorry")))
    assert result.text == "Error: not run: there is no function 'subtract'; the functions are add"
    assert result.is_error and not result.has_run
    (result,) = results_of(ran(ScriptedChat([("x" * 5000, {})], "Sorry"), []))
    assert "the functions are none" in result.text and len(result.text) < 200


def test_a_model_that_calls_for_ever_ends_after_eight_rounds() -> None:
    model = ScriptedChat([SUM])
    events = ran(model)
    end = end_of(events)
    assert (end.reason, end.limit) == ("length", "8 rounds")
    assert len(model.asked) == len(end.finishes) == len(results_of(events)) == 8
    assert said(end)[-1] == ("tool", "5")


def test_calls_beyond_the_limit_are_not_run() -> None:
    runs: list[int] = []

    def note(number: int) -> str:
        runs.append(number)
        return "ok"

    events = ran(ScriptedChat([("note", {"number": n}) for n in range(40)]), [tool(note)])
    end = end_of(events)
    assert (end.reason, end.limit) == ("length", "32 calls")
    assert sorted(runs) == list(range(32))
    refused = [one for one in results_of(events) if not one.has_run]
    assert len(refused) == 8 and "the limit of 32 calls is reached" in refused[0].text
    assert len([one for one in end.messages if one.role == "tool"]) == 40


def test_the_limit_of_calls_counts_all_rounds() -> None:
    events = ran(ScriptedChat([SUM, SUM]), limits=Limits(max_calls=5))
    assert end_of(events).limit == "5 calls"
    assert sum(one.has_run for one in results_of(events)) == 5 and len(results_of(events)) == 6


def test_calls_up_to_the_limit_end_with_the_models_answer() -> None:
    end = end_of(ran(ScriptedChat([SUM, SUM], "Done"), limits=Limits(max_calls=2)))
    assert end.reason == "stop"


def test_a_long_result_is_cut() -> None:
    def much() -> str:
        return "x" * 1000

    (result,) = results_of(ran(ScriptedChat([("much", {})], "Ok"), [tool(much)], limits=Limits(max_result=100)))
    assert len(result.text) == 100 and result.text.endswith("x\n[cut: the result has 1,000 characters]")


def test_a_result_has_at_most_as_many_characters_as_the_context_has_tokens() -> None:
    model = ScriptedChat([("much", {})], "Ok")
    model.max_context = 50

    def much() -> str:
        return "x" * 1000

    (result,) = results_of(ran(model, [tool(much)]))
    assert len(result.text) == 50 and result.text.startswith("xxx")


def test_results_that_fill_the_context_end_the_answer_with_the_trace() -> None:
    end = end_of(ran(ScriptedChat([SUM], PromptTooLong(5000, 4096))))
    assert (end.reason, end.limit) == ("length", "context")
    assert said(end) == [("assistant", None), ("tool", "5")]


def test_a_conversation_that_is_too_long_from_the_start_is_an_error() -> None:
    with pytest.raises(PromptTooLong):
        ran(ScriptedChat(PromptTooLong(5000, 4096)))


@pytest.mark.parametrize("error", [EngineError("down"), RequestError("no"), TimeoutError("a socket"), OSError("gone")])
def test_an_error_of_the_model_after_a_tool_ran_is_raised_and_the_tool_is_not_run_again(error: Exception) -> None:
    """A side effect must not happen twice. A TimeoutError of the model is not the deadline of the answer."""
    runs: list[int] = []

    def book() -> str:
        runs.append(1)
        return "booked"

    model = ScriptedChat([("book", {})], error)
    with pytest.raises(type(error)) as raised:
        ran(model, [tool(book)])
    assert raised.value is error and runs == [1] and len(model.asked) == 2


@pytest.mark.parametrize("num_events", range(1, 22))
def test_calls_of_a_truncated_answer_are_not_run(num_events: int) -> None:
    """`max_tokens` can end an answer within arguments, or after one of two calls. None of them is run."""
    runs: list[int] = []

    def pay(euros: int) -> str:
        runs.append(euros)
        return "paid"

    model = ScriptedChat([("pay", '{"euros": 1}'), ("pay", '{"euros": 12}')], max_events=num_events)
    events = ran(model, [tool(pay)])
    end = end_of(events)
    assert (end.reason, end.limit, runs, len(model.asked)) == ("length", "max_tokens", [], 1)
    assert all(one.is_error and not one.has_run for one in results_of(events))
    assert len(results_of(events)) == len(end.messages[0].calls)


def test_the_deadline_ends_a_model_that_writes_for_ever() -> None:
    model = ScriptedChat("endless" * 1000, step_s=0.01)
    started = time.monotonic()
    end = end_of(ran(model, limits=Limits(seconds=0.3)))
    assert time.monotonic() - started < LATER
    assert (end.reason, end.limit, model.num_active) == ("length", "0.3 s", 0)
    ((role, text),) = said(end)
    assert role == "assistant" and text and "endless".startswith(text[:7])


def test_the_deadline_ends_a_model_that_says_nothing() -> None:
    model = ScriptedChat("late", step_s=LATER)
    end = end_of(ran(model, limits=Limits(seconds=0.1)))
    assert (end.reason, end.limit, said(end), model.num_active) == ("length", "0.1 s", [("assistant", "")], 0)


def test_the_deadline_within_arguments_runs_no_call() -> None:
    runs: list[int] = []

    def pay(euros: int) -> str:
        runs.append(euros)
        return "paid"

    model = ScriptedChat([("pay", {"euros": 1}), ("pay", " " * 5000)], step_s=0.01)
    events = ran(model, [tool(pay)], limits=Limits(seconds=0.5))
    assert runs == [] and not any(one.has_run for one in results_of(events))
    assert end_of(events).limit == "0.5 s"


def test_the_deadline_ends_running_tools_and_keeps_finished_results() -> None:
    sleeper = Sleeper()
    tools = [ADD, async_tool("sleep", sleeper)]
    events = ran(ScriptedChat([("sleep", {}), SUM]), tools, limits=Limits(seconds=0.5))
    end = end_of(events)
    assert (end.reason, end.limit) == ("length", "0.5 s")
    assert [(one.name, one.text, one.has_run) for one in results_of(events)] == [
        ("add", "5", True),
        ("sleep", "Error: stopped, since the answer may take 0.5 s", True),
    ]
    assert [text for _, text in said(end)[1:]] == ["Error: stopped, since the answer may take 0.5 s", "5"]
    assert (sleeper.num_cancelled, sleeper.num_active) == (1, 0)


def test_the_deadline_counts_the_time_of_a_confirmation() -> None:
    async def confirm(*_: object) -> bool:
        await asyncio.sleep(LATER)
        return True

    runs: list[int] = []

    @tool(confirm=True)
    def pay() -> str:
        runs.append(1)
        return "paid"

    end = end_of(ran(ScriptedChat([("pay", {})]), [pay], confirm=confirm, limits=Limits(seconds=0.2)))
    assert end.limit == "0.2 s" and runs == []


OTHER = Function("open_page", "Open a page.", {"type": "object", "properties": {}})


def test_functions_of_the_caller_end_the_answer_after_the_own_calls_ran() -> None:
    model = ScriptedChat([("open_page", {}), SUM])
    events = ran(model, others=[OTHER])
    end = end_of(events)
    assert (end.reason, end.limit) == ("calls", "")
    assert model.shown == [("open_page", "add")]
    assert [event.is_run for event in events if isinstance(event, ToolCallStart)] == [False, True]
    assert [one.name for one in results_of(events)] == ["add"]
    called, result = end.messages
    assert [call.name for call in called.calls] == ["open_page", "add"] and result.call_id == called.calls[1].id


def test_functions_of_the_caller_only() -> None:
    events = ran(ScriptedChat([("open_page", {})]), others=[OTHER])
    assert end_of(events).reason == "calls" and results_of(events) == [] and len(end_of(events).messages) == 1


def test_a_limit_outweighs_functions_of_the_caller() -> None:
    events = ran(ScriptedChat([("open_page", {}), SUM, SUM]), others=[OTHER], limits=Limits(max_calls=1))
    assert (end_of(events).reason, end_of(events).limit) == ("length", "1 calls")


def test_functions_are_chosen_anew_each_round() -> None:
    seen: list[int] = []

    def choose(tools: Sequence[Any], messages: Sequence[Message]) -> Sequence[Any]:
        seen.append(len(messages))
        return tools[:1] if len(seen) == 1 else []

    model = ScriptedChat([SUM], "5")
    ran(model, choose=choose)
    assert model.shown == [("add",), ()] and seen == [1, 3]


def test_the_given_messages_stay_as_they_are() -> None:
    given = list(QUESTION)
    asyncio.run(_all(answer(ScriptedChat([SUM], "5"), given, [ADD])))
    assert given == QUESTION


async def _all(events: AsyncGenerator[AgentEvent]) -> list[AgentEvent]:
    return [event async for event in events]


def script() -> tuple[ScriptedChat, list[Tool], Sleeper]:
    """Return a model and tools whose answer takes two rounds; in each, one call ends and one would sleep."""
    sleeper = Sleeper()
    sleep = async_tool("sleep", sleeper, timeout_s=0.1)
    return ScriptedChat([SUM, ("sleep", {})], [("sleep", {}), SUM], "Ok"), [ADD, sleep], sleeper


NUM_EVENTS = len(ran(*script()[:2]))


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_nothing_goes_on_wherever_the_iterator_is_closed(how: str) -> None:
    """A client may leave after each event. Then neither the model nor a call goes on."""

    async def stop_after(num: int) -> None:
        model, tools, sleeper = script()
        arrived = asyncio.Event()

        async def read() -> None:
            async with aclosing(answer(model, QUESTION, tools)) as events:
                for _ in range(num):
                    await anext(events)
                arrived.set()
                if how == "cancel":
                    await anext(events)
                    await asyncio.sleep(LATER)

        task = asyncio.create_task(read())
        await arrived.wait()
        if how == "cancel":
            await asyncio.sleep(0.002 * (num % 3))
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (model.num_active, sleeper.num_active) == (0, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for num in range(NUM_EVENTS):
        asyncio.run(stop_after(num))


def test_a_tool_that_ignores_its_cancellation_does_not_hold_the_answer() -> None:
    """It is left alone after a second, and told as an error. It sleeps on until the test lets it go."""
    is_over = False

    async def stubborn() -> str:
        while not is_over:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return "late"

    async def collect() -> list[AgentEvent]:
        nonlocal is_over
        tools = [async_tool("stubborn", stubborn, timeout_s=0.1)]
        try:
            return await _all(answer(ScriptedChat([("stubborn", {})], "Ok"), QUESTION, tools))
        finally:
            is_over = True
            await asyncio.sleep(0.2)

    started = time.monotonic()
    (result,) = results_of(asyncio.run(collect()))
    assert result.text == "Error: stubborn took longer than 0.1 s and was stopped" and result.has_run
    assert time.monotonic() - started < LATER


def test_a_model_whose_arguments_come_after_text_keeps_them_with_the_call() -> None:
    class Mixed(ScriptedChat):
        async def answer(self, *given: Any, **options: Any) -> AsyncGenerator[Event | TokenReport | Finish]:
            if self.asked:
                async with aclosing(super().answer(*given, **options)) as events:
                    async for event in events:
                        yield event
                return
            self.asked.append(())
            yield CallStart("add")
            yield ArgsDelta('{"a": 2')
            yield TextDelta("I add. ")
            yield ArgsDelta(', "b": 3}')
            yield Finish("stop", 1, 1)

    end = end_of(ran(Mixed("unused", "5")))
    assert said(end) == [("assistant", "I add. "), ("tool", "5"), ("assistant", "5")]
