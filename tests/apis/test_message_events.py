"""Anthropic's Messages API: events of a model converted to stream events, and these to the whole message."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apis.message_events import MessageWriter, fold_message
from apis.messages import messages_request
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta
from tests.support.strict_message import check_message, strict_message

Json = dict[str, Any]
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("get_weather", "get_time", "mcp://a/b")]
REQUEST = messages_request(
    {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS}
)

END = Finish("stop", 10, 5, cached_tokens=4)


def written(events: list[Event], end: Finish = END) -> Json:
    """Return the whole message, after checking the stream of the same events."""
    writer = MessageWriter(REQUEST, "msg_1", end.prompt_tokens)
    items = [item for event in (*events, end) for item in writer.items(event)]
    whole, streamed = fold_message(items), strict_message(items)
    check_message(whole)
    for block, other in zip(whole["content"], streamed["content"], strict=True):
        if block["type"] != "tool_use":
            assert block == other
    assert {**whole, "content": 0} == {**streamed, "content": 0}
    return whole


def test_blocks_in_the_order_of_the_model() -> None:
    events: list[Event] = [
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        TextDelta("A"),
        TextDelta("b"),
        CallStart("get_time"),
    ]
    rest: list[Event] = [
        ArgsDelta("{"),
        ArgsDelta("}"),
        CallStart("get_weather"),
        ArgsDelta('{"city": "Ü"}'),
        TextDelta("c"),
    ]
    answer = written([*events, *rest])
    shown = [{key: value for key, value in block.items() if key != "id"} for block in answer["content"]]
    assert shown == [
        {"type": "thinking", "thinking": "Hm.", "signature": "unsigned"},
        {"type": "text", "text": "Ab"},
        {"type": "tool_use", "name": "get_time", "input": {}},
        {"type": "tool_use", "name": "get_weather", "input": {"city": "Ü"}},
        {"type": "text", "text": "c"},
    ]
    assert answer["content"][2]["id"] != answer["content"][3]["id"]
    assert answer["stop_reason"] == "tool_use"


def test_an_alias_is_answered_with_the_name_of_the_request() -> None:
    [alias] = REQUEST.own_names
    assert written([CallStart(alias)])["content"][0]["name"] == "mcp://a/b"


def test_cached_tokens_are_not_input_tokens() -> None:
    """Anthropic's clients add up all three counts of the prompt; a cached token must not count twice."""
    assert written([TextDelta("x")])["usage"] == {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
    }


@pytest.mark.parametrize(
    ("events", "end", "reason"),
    [
        ([TextDelta("x")], Finish("stop", 1, 1), "end_turn"),
        ([], Finish("stop", 1, 1), "end_turn"),
        ([TextDelta("x")], Finish("length", 1, 1), "max_tokens"),
        ([TextDelta("x")], Finish("stop", 1, 1, stop_string="y"), "stop_sequence"),
        ([CallStart("get_time"), ArgsDelta("{}")], Finish("stop", 1, 1), "tool_use"),
        ([CallStart("get_time"), ArgsDelta("{")], Finish("length", 1, 1), "max_tokens"),
        ([CallStart("get_time"), ArgsDelta("{}"), TextDelta("x")], Finish("stop", 1, 1, stop_string="y"), "tool_use"),
    ],
)
def test_stop_reasons(events: list[Event], end: Finish, reason: str) -> None:
    answer = written(events, end)
    assert answer["stop_reason"] == reason
    assert answer["stop_sequence"] == ("y" if reason == "stop_sequence" else None)


@pytest.mark.parametrize("arguments", ["", '{"city": "Par', "[1]", "3", '{"a": NaN}', '{"a": "\\ud800"}', "print()"])
def test_input_is_always_an_object(arguments: str) -> None:
    """Clients fail on a string or null. The stream has the exact text."""
    events: list[Event] = [CallStart("get_weather"), *([ArgsDelta(arguments)] if arguments else [])]
    [block] = written(events, Finish("length", 1, 1))["content"]
    assert block["input"] == {}


@given(st.data())
def test_any_split_of_the_text_gives_the_same_message(data: st.DataObject) -> None:
    """The deltas may fall anywhere in the text, also inside JSON strings: the whole message must not depend on it."""

    def split(kind: Any, content: str) -> list[Event]:
        cuts = sorted({0, len(content), *data.draw(st.lists(st.integers(1, len(content) - 1)))})
        return [kind(content[start:end]) for start, end in pairwise(cuts)]

    parts = [(ReasoningDelta, "Hm, ü…"), (TextDelta, "It is 😀."), (ArgsDelta, '{"city": "Z\\"ü\\n", "x": [1, {}]}')]
    events = [event for kind, content in parts for event in split(kind, content)]
    events.insert(next(i for i, event in enumerate(events) if isinstance(event, ArgsDelta)), CallStart("get_weather"))
    answer = written(events)
    thinking, said, call = answer["content"]
    assert (thinking["thinking"], said["text"]) == ("Hm, ü…", "It is 😀.")
    assert call["input"] == {"city": 'Z"ü\n', "x": [1, {}]}
