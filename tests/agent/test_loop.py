"""Tests of the loop: the model's calls are run, and it reads the results."""

from __future__ import annotations

import asyncio

from agent.events import AgentEnd, AgentEvent, ToolResult
from agent.loop import answer
from agent.python import tool
from core.conversation import Message
from tests.support.scripted_chat import ScriptedChat


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def events_of(model: ScriptedChat, **options: object) -> list[AgentEvent]:
    async def collect() -> list[AgentEvent]:
        question = [Message("user", "What is 2 + 3?")]
        return [event async for event in answer(model, question, [tool(add)], **options)]  # type: ignore[arg-type]

    return asyncio.run(collect())


def test_a_call_is_run_and_the_model_reads_its_result() -> None:
    model = ScriptedChat([("add", {"a": 2, "b": 3})], "It is 5.")
    events = events_of(model)
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [(one.name, one.text, one.is_error) for one in results] == [("add", "5", False)]
    end = events[-1]
    assert isinstance(end, AgentEnd) and end.reason == "stop"
    assert [(one.role, one.content) for one in end.messages] == [
        ("assistant", None),
        ("tool", "5"),
        ("assistant", "It is 5."),
    ]
    assert model.asked[1][-1].call_id == results[0].call_id and model.followups == [False, True]
