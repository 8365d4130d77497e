"""The agent of a program: what it takes, what it returns, and that threads, event loops and runs do not disturb it."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

import agent.agent as agent_module
from agent import Agent, AgentEnd, Limits, TextDelta, ToolCallStart, ToolResult, ToolSourceError, tool
from client.endpoints import NoAnswer
from core.errors import EngineError, RequestError
from inference import Model
from server import create_app
from tests.support.evaluate_doubles import Reply, one_after_another, playing
from tests.support.scripted_turns import in_turns
from tests.support.serving import serving

CALL = 'get_weather\n{"city": "Paris"}'
WARM = "all\nIt is warm in Paris."


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"21 degrees in {city}"


def get_time(city: str) -> str:
    """The time in a city."""
    return f"noon in {city}"


def test_a_question_is_answered_with_a_call(chatml: Model) -> None:
    model, engine = in_turns(chatml, CALL, WARM)
    answer = Agent([get_weather], model=model).run("What is the weather in Paris?")
    assert (answer.text, answer.reason, answer.limit) == ("It is warm in Paris.", "stop", "")
    assert [(one.name, one.text) for one in answer.results] == [("get_weather", "21 degrees in Paris")]
    assert [one["role"] for one in answer.messages] == ["user", "assistant", "tool", "assistant"]
    assert "21 degrees in Paris" in engine.prompts[1]


def test_a_conversation_goes_on_with_the_messages_of_an_answer(chatml: Model) -> None:
    model, engine = in_turns(chatml, CALL, WARM, "all\nYes.")
    agent = Agent([get_weather], model=model, instructions="Be short.")
    first = agent.run("What is the weather in Paris?")
    second = agent.run([*first.messages, {"role": "user", "content": "Really?"}])
    assert second.text == "Yes." and len(second.messages) == len(first.messages) + 2
    assert [one["role"] for one in second.messages].count("system") == 1
    for part in ("Be short.", '{"city": "Paris"}', "21 degrees in Paris", "It is warm in Paris.", "Really?"):
        assert engine.prompts[2].count(part) == 1


def test_instructions_give_way_to_those_of_the_conversation(chatml: Model) -> None:
    model, engine = in_turns(chatml, WARM)
    agent = Agent(model=model, instructions="Be short.")
    agent.run([{"role": "developer", "content": "Be long."}, {"role": "user", "content": "Hi"}])
    assert "Be long." in engine.prompts[0] and "Be short." not in engine.prompts[0]


def test_the_events_of_an_answer(chatml: Model) -> None:
    async def collect() -> list[Any]:
        agent = Agent([get_weather], model=in_turns(chatml, CALL, WARM)[0])
        return [event async for event in agent.stream("What is the weather in Paris?")]

    events = asyncio.run(collect())
    (start,) = (event for event in events if isinstance(event, ToolCallStart))
    (result,) = (event for event in events if isinstance(event, ToolResult))
    assert start.name == "get_weather" and result.call_id == start.call_id
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is warm in Paris."
    assert isinstance(events[-1], AgentEnd)


def test_run_in_a_running_loop_is_a_clear_error(chatml: Model) -> None:
    """asyncio's own error does not say what to do, and a warning about a coroutine followed."""

    async def run() -> None:
        Agent(model=in_turns(chatml, WARM)[0]).run("Hi")

    with pytest.raises(RuntimeError, match=r"use `await agent.answer\(...\)` instead of `run`"):
        asyncio.run(run())
    gc.collect()


def test_an_answer_in_a_running_loop(chatml: Model) -> None:
    agent = Agent([get_weather], model=in_turns(chatml, CALL, WARM)[0])
    assert asyncio.run(agent.answer("What is the weather in Paris?")).text == "It is warm in Paris."


@pytest.mark.parametrize("messages", [[], [{"role": "tool", "content": "x", "tool_call_id": "1"}], [{"role": "king"}]])
def test_a_conversation_that_cannot_be_answered(chatml: Model, messages: Any) -> None:
    with pytest.raises(RequestError):
        Agent(model=in_turns(chatml, WARM)[0]).run(messages)


def test_two_tools_of_one_name() -> None:
    with pytest.raises(ToolSourceError, match="two tools have the name 'get_weather'"):
        Agent([get_weather, tool(get_weather)])


@pytest.mark.parametrize("name", ["messages", "functions", "function_call", "stream", "n"])
def test_fields_that_the_agent_makes_itself(name: str) -> None:
    with pytest.raises(TypeError, match=f"an Agent has no parameter '{name}'"):
        Agent(**{name: 1})


def test_parameters_that_no_request_has(chatml: Model) -> None:
    with pytest.raises(RequestError, match="temperature"):
        Agent(model=in_turns(chatml, WARM)[0], temperature="hot").run("Hi")


def test_a_forced_call_is_forced_in_the_first_round_only(chatml: Model) -> None:
    model, engine = in_turns(chatml, '{"city": "Paris"}', WARM)
    choice = {"type": "function", "function": {"name": "get_weather"}}
    answer = Agent([get_weather, get_time], model=model, tool_choice=choice).run("Hi")
    assert answer.text == "It is warm in Paris." and len(answer.results) == 1
    assert engine.prompts[1].endswith(">>>")


def test_a_limit_is_named(chatml: Model) -> None:
    answer = Agent([get_weather], model=in_turns(chatml, CALL)[0], limits=Limits(max_rounds=2)).run("Hi")
    assert (answer.text, answer.reason, answer.limit, len(answer.results)) == ("", "length", "2 rounds", 2)


def test_results_that_fill_the_context(chatml: Model) -> None:
    """The tokens of this model are bytes: the first prompt fits into the context, the one with the result does not."""
    model, _ = in_turns(chatml, CALL, WARM, max_context=700)

    def get_weather(city: str) -> str:
        return "rain " * 100

    answer = Agent([get_weather], model=model).run("What is the weather in Paris?")
    assert (answer.reason, answer.limit) == ("length", "context")
    assert [one["role"] for one in answer.messages] == ["user", "assistant", "tool"]


def test_an_engine_that_fails_after_a_tool_ran(chatml: Model) -> None:
    runs: list[str] = []

    def get_weather(city: str) -> str:
        runs.append(city)
        engine.fails_at = 2
        return "fine"

    model, engine = in_turns(chatml, CALL, WARM)
    with pytest.raises(EngineError):
        Agent([get_weather], model=model).run("What is the weather in Paris?")
    assert runs == ["Paris"] and engine.num_active == 0


def test_one_agent_in_several_threads_loads_its_model_once(chatml: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []

    def load(name: object) -> Model:
        loaded.append(name)
        threading.Event().wait(0.1)
        return in_turns(chatml, WARM)[0]

    monkeypatch.setattr(agent_module, "load_model", load)
    agent = Agent([get_weather], model="a folder")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(agent.run, ["Hi"] * 6))
    assert [one.text for one in answers] == ["It is warm in Paris."] * 6 and loaded == ["a folder"]


def test_threads_share_the_engine_of_a_real_model(chatml: Model) -> None:
    """The engine's thread must answer in the event loop of each run."""
    agent = Agent([get_weather], model=chatml, temperature=0, max_tokens=5)
    alone = agent.run("Hi").text
    with ThreadPoolExecutor(4) as pool:
        assert {one.text for one in pool.map(agent.run, ["Hi"] * 8)} == {alone}


def test_answers_at_the_same_time_in_one_loop(chatml: Model) -> None:
    async def ask() -> list[str]:
        agent = Agent([get_weather], model=in_turns(chatml, WARM)[0])
        return [one.text for one in await asyncio.gather(*(agent.answer("Hi") for _ in range(5)))]

    assert asyncio.run(ask()) == ["It is warm in Paris."] * 5


def test_an_agent_of_a_server(chatml: Model) -> None:
    model, engine = in_turns(chatml, CALL, WARM, max_context=5000)
    with serving(create_app(lambda: model)) as url:
        answer = Agent([get_weather], model=f"{url}/v1", temperature=0).run("What is the weather in Paris?")
    assert answer.text == "It is warm in Paris." and len(answer.results) == 1
    assert "21 degrees in Paris" in engine.prompts[1]
    assert engine.last_sampling and engine.last_sampling.temperature == 0


def test_name_and_key_go_to_the_server_and_errors_come_from_it() -> None:
    call = b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "x", "function": '
    call += (
        b'{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}}]}, "finish_reason": "tool_calls"}]}\n\n'
    )
    with playing(one_after_another(Reply(call), Reply(b"data: {}\n\n"))) as played:
        agent = Agent([get_weather], model=played.url, model_name="big", api_key="sk-1")
        with pytest.raises(NoAnswer, match="the stream ended before its finish reason"):
            agent.run("What is the weather in Paris?")
    assert [body["model"] for body in played.bodies] == ["big", "big"] and set(played.keys) == {"Bearer sk-1"}
    assert "sk-1" not in str(played.bodies) and "sk-1" not in repr(agent)


@pytest.mark.parametrize("is_closed", [True, False])
def test_an_answer_that_is_left_stops_the_model(chatml: Model, is_closed: bool) -> None:
    model, engine = in_turns(chatml, "all\n" + "endless " * 100, step_s=0.005)

    async def leave() -> None:
        events = Agent(model=model).stream("Hi")
        if is_closed:
            async with aclosing(events):
                await anext(events)
        else:
            async for _ in events:
                break

    asyncio.run(leave())
    assert engine.num_active == 0 and engine.num_steps < 100
