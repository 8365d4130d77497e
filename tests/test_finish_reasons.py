"""Each case in OpenAI's table of finish reasons, with and without `stream`.

A scripted engine generates the model's output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from inference import Model
from prompt_template import Piece
from server import create_app
from tests.support.request_examples import PARAMETERS
from tests.support.scripted_engine import ScriptedEngine, scripted
from tests.support.serving import serving
from tests.support.strict_fold import events, strict_fold

WEATHER = {"name": "get_weather", "parameters": PARAMETERS}
TIME = {"name": "get_time", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": function} for function in (WEATHER, TIME)]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}
ALLOWED_REQUIRED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}

ARGUMENTS = '{"city": "Zürich 🌧"}'
CALL = f"get_weather\n{ARGUMENTS}"
TWO_CALLS = f"{CALL}>>>get_time\n{ARGUMENTS}"
TEXT = "all\nIt rains."
TEXT_AND_CALL = f"{TEXT}>>>{CALL}"

ONE = [("get_weather", ARGUMENTS)]
TWO = [*ONE, ("get_time", ARGUMENTS)]
HALF = [("get_weather", '{"city')]
HALF_TOKENS = len("get_weather\n" + HALF[0][1])  # the tiny model has one token per byte


@dataclass(frozen=True)
class Row:
    """One case: the fields of the request, the model's output, and the expected finish reason, text and calls."""

    asked: dict[str, Any]
    output: str
    reason: str
    content: str | None = None
    calls: tuple[tuple[str, str], ...] = ()


TABLE = {
    # tools with auto, required or allowed_tools; the model calls
    "auto": Row({"tools": TOOLS}, CALL, "tool_calls", calls=(*ONE,)),
    "auto, two calls": Row({"tools": TOOLS}, TWO_CALLS, "tool_calls", calls=(*TWO,)),
    "auto, text and call": Row({"tools": TOOLS}, TEXT_AND_CALL, "tool_calls", "It rains.", (*ONE,)),
    "required": Row({"tools": TOOLS, "tool_choice": "required"}, CALL, "tool_calls", calls=(*ONE,)),
    "allowed": Row({"tools": TOOLS, "tool_choice": ALLOWED}, CALL, "tool_calls", calls=(*ONE,)),
    "allowed, required": Row({"tools": TOOLS, "tool_choice": ALLOWED_REQUIRED}, CALL, "tool_calls", calls=(*ONE,)),
    "not parallel": Row({"tools": TOOLS, "parallel_tool_calls": False}, TWO_CALLS, "tool_calls", calls=(*ONE,)),
    # a named choice; the prompt already holds the head of the call
    "named": Row({"tools": TOOLS, "tool_choice": NAMED}, ARGUMENTS, "stop", calls=(*ONE,)),
    # the older functions
    "functions": Row({"functions": [WEATHER, TIME]}, CALL, "function_call", calls=(*ONE,)),
    "functions, two calls": Row({"functions": [WEATHER, TIME]}, TWO_CALLS, "function_call", calls=(*ONE,)),
    "function_call by name": Row(
        {"functions": [WEATHER], "function_call": {"name": "get_weather"}}, ARGUMENTS, "stop", calls=(*ONE,)
    ),
    # cut by the token limit, within a call
    "auto, cut": Row({"tools": TOOLS, "max_tokens": HALF_TOKENS}, CALL, "length", calls=(*HALF,)),
    "required, cut": Row(
        {"tools": TOOLS, "tool_choice": "required", "max_tokens": HALF_TOKENS}, CALL, "length", calls=(*HALF,)
    ),
    "named, cut": Row(
        {"tools": TOOLS, "tool_choice": NAMED, "max_tokens": len(HALF[0][1])}, ARGUMENTS, "length", calls=(*HALF,)
    ),
    "functions, cut": Row(
        {"functions": [WEATHER], "max_completion_tokens": HALF_TOKENS}, CALL, "length", calls=(*HALF,)
    ),
    # text
    "plain": Row({}, "It rains.", "stop", "It rains."),
    "plain, nothing said": Row({}, "", "stop", ""),
    "plain, cut": Row({"max_tokens": 4}, "It rains.", "length", "It r"),
    "plain, stop string": Row({"stop": ["rain"]}, "It rains.", "stop", "It "),
    "auto, text": Row({"tools": TOOLS}, TEXT, "stop", "It rains."),
    "auto, text cut": Row({"tools": TOOLS, "max_tokens": 8}, TEXT, "length", "It r"),
    "auto, stop string": Row({"tools": TOOLS, "stop": "rain"}, TEXT_AND_CALL, "stop", "It "),
    "none": Row({"tools": TOOLS, "tool_choice": "none"}, "It rains.", "stop", "It rains."),
    "functions, text": Row({"functions": [WEATHER]}, TEXT, "stop", "It rains."),
    "function_call none": Row({"functions": [WEATHER], "function_call": "none"}, "It rains.", "stop", "It rains."),
}


class Stage:
    """A server whose model generates the output that a test gives it."""

    def __init__(self, client: httpx2.Client, model: Model, engine: ScriptedEngine) -> None:
        self._client = client
        self._model = model
        self._engine = engine

    def ask(self, row: Row, **fields: Any) -> httpx2.Response:
        self._engine.script = self._model.tokenizer.encode([Piece(row.output, markup=True)]).ids
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Rain?"}], **row.asked, **fields}
        response = self._client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        return response


@pytest.fixture(scope="module")
def stage(chatml: Model) -> Iterator[Stage]:
    model, engine = scripted(chatml, "")
    with serving(create_app(lambda: model)) as url, httpx2.Client(base_url=url) as client:
        yield Stage(client, model, engine)


def said(message: dict[str, Any]) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the content and the calls of a message, which has `tool_calls` or the older `function_call`."""
    old = [message["function_call"]] if "function_call" in message else []
    calls = old + [call["function"] for call in message.get("tool_calls", [])]
    return message["content"], [(call["name"], call["arguments"]) for call in calls]


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_whole_answer(stage: Stage, row: Row) -> None:
    answer = stage.ask(row).json()
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == row.reason
    assert said(choice["message"]) == (row.content, [*row.calls])
    assert ("function_call" in choice["message"]) == bool("functions" in row.asked and row.calls)
    assert ("tool_calls" in choice["message"]) == bool("tools" in row.asked and row.calls)
    assert choice["logprobs"] is None
    assert choice["message"]["refusal"] is None
    if row.reason == "length":
        limit = row.asked.get("max_tokens") or row.asked.get("max_completion_tokens")
        assert answer["usage"]["completion_tokens"] == limit


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_stream_adds_up_to_the_whole_answer(stage: Stage, row: Row, subtests: pytest.Subtests) -> None:
    """Every chunk follows the rules of strict_fold.py, and the chunks add up to the answer without `stream`."""
    for include_usage in (False, True):
        with subtests.test(include_usage=include_usage):
            whole = stage.ask(row).json()
            response = stage.ask(row, stream=True, stream_options={"include_usage": True} if include_usage else None)
            assert response.headers["content-type"].startswith("text/event-stream")
            streamed = strict_fold(events(response.text), include_usage=include_usage)
            (choice,), (expected,) = streamed["choices"], whole["choices"]
            assert choice["finish_reason"] == expected["finish_reason"]
            assert said(choice["message"]) == said(expected["message"])
            assert streamed["usage"] == (whole["usage"] if include_usage else None)


def test_arguments_flow_in_pieces(stage: Stage) -> None:
    """Arguments are streamed while the model writes them: each piece is a character, or a space and a character.

    The model has one token per byte. An emoji takes four tokens, and no part of it may be sent alone.
    """
    chunks = events(stage.ask(TABLE["required"], stream=True).text)
    pieces = [call["function"]["arguments"] for c in chunks for call in c["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(pieces) == ARGUMENTS
    assert {len(piece) for piece in pieces[1:]} == {1, 2}


def test_calls_of_all_choices_have_ids_of_their_own(stage: Stage) -> None:
    answer = stage.ask(TABLE["auto, two calls"], n=3).json()
    ids = [call["id"] for choice in answer["choices"] for call in choice["message"]["tool_calls"]]
    assert len(set(ids)) == 6
    assert all(call_id.startswith("call_") and len(call_id) >= 14 for call_id in ids)


def test_choices_of_one_stream_fold_apart(stage: Stage) -> None:
    """Chunks of several choices come mixed in one stream.

    Each choice has its own role, its own indices of calls and one finish reason.
    """
    chunks = events(stage.ask(TABLE["auto, two calls"], n=3, stream=True).text)
    choices = strict_fold(chunks)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert all(said(choice["message"]) == (None, TWO) for choice in choices)
    assert all(choice["finish_reason"] == "tool_calls" for choice in choices)
