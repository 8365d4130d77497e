"""The chunks of a stream as events, from servers that number, name and interleave calls in different ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.chunks import events
from client.endpoints import NoAnswer
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta


def read(*chunks: Any) -> list[Event | Finish]:
    async def stream() -> AsyncGenerator[Any]:
        for chunk in chunks:
            yield chunk

    async def collect() -> list[Event | Finish]:
        return [event async for event in events(stream())]

    return asyncio.run(collect())


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def part(index: int | None, name: str | None = None, arguments: str | None = None, call_id: str | None = None) -> Any:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"index": index, "id": call_id, "type": "function", "function": function}


def calls(found: Sequence[Event | Finish]) -> list[list[str]]:
    """Return name and arguments of each call as an agent reads them: arguments belong to the last call."""
    heads: list[list[str]] = []
    for event in found:
        if isinstance(event, CallStart):
            heads.append([event.name, ""])
        elif isinstance(event, ArgsDelta):
            heads[-1][1] += event.text
    return heads


def test_text_and_reasoning_and_counts() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    found = read(
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm."),
        delta(reasoning="Yes."),
        delta(content="Hi"),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": None},
        {"choices": [], "usage": usage},
    )
    assert found == [ReasoningDelta("Hm."), ReasoningDelta("Yes."), TextDelta("Hi"), Finish("length", 7, 2, 4)]


def test_arguments_come_piece_by_piece() -> None:
    found = read(
        delta(tool_calls=[part(0, "add", "", "1")]),
        delta(tool_calls=[part(0, None, '{"a"')]),
        delta(tool_calls=[part(0, None, ": 1}")]),
    )
    assert found[:-1] == [CallStart("add"), ArgsDelta('{"a"'), ArgsDelta(": 1}")]


def test_interleaved_calls_are_told_one_after_the_other() -> None:
    found = read(
        delta(tool_calls=[part(0, "a", "1", "x"), part(1, "b", "2", "y")]),
        delta(tool_calls=[part(1, None, "3"), part(0, None, "4")]),
        delta(content="and"),
        delta(tool_calls=[part(0, None, "5")]),
    )
    assert calls(found) == [["a", "145"], ["b", "23"]]
    assert TextDelta("and") in found


def test_servers_that_number_every_call_0() -> None:
    """Ollama and Gemini's compatible API sent parallel calls as index 0, told apart by their ids only."""
    found = read(delta(tool_calls=[part(0, "a", "{}", "x")]), delta(tool_calls=[part(0, "b", "[]", "y")]))
    assert calls(found) == [["a", "{}"], ["b", "[]"]]


def test_servers_that_send_another_id_with_each_part() -> None:
    """Older versions of vLLM made up an id for each chunk. Only the first part of a call had its name."""
    found = read(delta(tool_calls=[part(0, "a", "{", "x")]), delta(tool_calls=[part(0, None, "}", "y")]))
    assert calls(found) == [["a", "{}"]]


def test_servers_that_repeat_id_and_name() -> None:
    found = read(delta(tool_calls=[part(0, "a", "{", "x")]), delta(tool_calls=[part(0, "a", "}", "x")]))
    assert calls(found) == [["a", "{}"]]


def test_a_name_after_its_arguments_and_calls_without_index() -> None:
    found = read(delta(tool_calls=[part(None, None, "{", "x")]), delta(tool_calls=[part(None, "a", "}", "x")]))
    assert calls(found) == [["a", "{}"]]


def test_only_the_first_choice_counts() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "length"}]}
    assert read(delta(content="A"), other) == [TextDelta("A"), Finish("stop", 0, 0)]


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": 7},
        {"choices": [None]},
        {"choices": ["text"]},
        delta(content=7),
        delta(content=["a"]),
        delta(tool_calls=7),
        delta(tool_calls=[None]),
        delta(tool_calls=[part("x", "a")]),  # type: ignore[arg-type]
        delta(tool_calls=[part(0, 7)]),  # type: ignore[arg-type]
        delta(tool_calls=[part(0, "a", {"a": 1})]),  # type: ignore[arg-type]
        delta(tool_calls=[part(0, None, "{}")]),
        {"usage": 7},
        {"usage": {"prompt_tokens": "many"}},
        {"usage": {"prompt_tokens": 1, "prompt_tokens_details": 7}},
    ],
)
def test_anything_else_is_no_answer(chunk: Any) -> None:
    with pytest.raises(NoAnswer):
        read(chunk)


PIECES = st.lists(st.tuples(st.integers(0, 2), st.text(min_size=1, max_size=3)), max_size=12)


@given(PIECES)
def test_no_piece_of_arguments_is_lost_or_moved(pieces: list[tuple[int, str]]) -> None:
    """However a server interleaves three calls, each has all its arguments in order."""
    heads = [delta(tool_calls=[part(index, f"f{index}", "", f"id{index}")]) for index in range(3)]
    found = read(*heads, *(delta(tool_calls=[part(index, None, text)]) for index, text in pieces))
    wanted = ["".join(text for index, text in pieces if index == number) for number in range(3)]
    assert calls(found) == [[f"f{number}", wanted[number]] for number in range(3)]
