"""Functions, tools and typed answers with the official client, on a server started by its command line."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletionMessage
from openai.types.chat.chat_completion_message_function_tool_call import Function
from pydantic import BaseModel

from tests.support.client_requests import ASKED, NAMED, SHORT, TIME, TOOLS, WEATHER


class Weather(BaseModel):
    """The schema for both parse() and pydantic_function_tool()."""

    is_sunny: bool
    wind: Literal["calm", "strong"] | None


def only_call(message: ChatCompletionMessage) -> tuple[str, Function]:
    """Return the id and the function of the only tool call."""
    assert message.tool_calls
    (call,) = message.tool_calls
    assert call.type == "function"
    return call.id, call.function


def is_weather(arguments: str) -> bool:
    asked = json.loads(arguments)
    return asked["city"] in ("Istanbul", "Paris") and asked["unit"] in ("celsius", "fahrenheit") and len(asked) == 2


def test_named_function_whole_and_streamed(client: OpenAI) -> None:
    """A named older function is answered with function_call and, as in OpenAI's API, the finish reason "stop"."""
    asked = {**ASKED, "functions": [WEATHER, TIME], "function_call": {"name": "get_current_weather"}}
    (choice,) = client.chat.completions.create(**asked).choices
    assert choice.finish_reason == "stop"
    assert choice.message.content is None
    assert choice.message.tool_calls is None
    assert choice.message.function_call
    assert choice.message.function_call.name == "get_current_weather"
    assert is_weather(choice.message.function_call.arguments)

    with client.chat.completions.create(**asked, stream=True) as stream:
        calls = [chunk.choices[0].delta.function_call for chunk in stream]
    assert [call.name for call in calls if call and call.name] == ["get_current_weather"]
    assert "".join(call.arguments or "" for call in calls if call) == choice.message.function_call.arguments


def test_function_without_parameters_has_empty_arguments(client: OpenAI) -> None:
    call = client.chat.completions.create(**ASKED, functions=[TIME], function_call={"name": "get_time"})
    assert call.choices[0].message.function_call
    assert call.choices[0].message.function_call.arguments == "{}"


def test_named_tool(client: OpenAI) -> None:
    (choice,) = client.chat.completions.create(**ASKED, tools=TOOLS, tool_choice=NAMED).choices
    assert choice.finish_reason == "stop"
    _, function = only_call(choice.message)
    assert function.name == "get_current_weather"
    assert is_weather(function.arguments)


def test_required_tool(client: OpenAI) -> None:
    """With "required", the model must call even if it would write text."""
    asked = {**ASKED, "tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    (choice,) = client.chat.completions.create(**asked).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    _, function = only_call(choice.message)
    assert is_weather(function.arguments) if function.name == "get_current_weather" else function.arguments == "{}"


def test_tool_choice_auto_and_none(client: OpenAI) -> None:
    """With auto the model decides, and the finish reason agrees with the answer. With none the model cannot call."""
    (auto,) = client.chat.completions.create(**ASKED, tools=TOOLS).choices
    assert (auto.finish_reason == "tool_calls") == (auto.message.tool_calls is not None)
    assert auto.message.tool_calls or auto.message.content
    (none,) = client.chat.completions.create(**SHORT, tools=TOOLS, tool_choice="none").choices
    assert none.message.tool_calls is None
    assert none.message.content


def test_a_result_is_answered_in_words(client: OpenAI) -> None:
    """The client's own message object is sent back together with the result of its call."""
    first = client.chat.completions.create(**ASKED, tools=TOOLS, tool_choice=NAMED).choices[0].message
    call_id, _ = only_call(first)
    history: Any = [*ASKED["messages"], first, {"role": "tool", "tool_call_id": call_id, "content": "18 and sunny"}]
    (choice,) = client.chat.completions.create(**{**SHORT, "messages": history}, tools=TOOLS).choices
    assert choice.message.content or choice.message.tool_calls


def test_stream_helper_adds_up_a_tool_call(client: OpenAI) -> None:
    """The official client's accumulator adds up the chunks of a call.

    The accumulator would concatenate ids and names if the stream repeated them.
    """
    with client.chat.completions.stream(**ASKED, tools=TOOLS, tool_choice=NAMED) as stream:
        kinds = [event.type for event in stream]
        (choice,) = stream.get_final_completion().choices
    assert kinds.count("tool_calls.function.arguments.done") == 1
    assert kinds.count("tool_calls.function.arguments.delta") > 3
    call_id, function = only_call(choice.message)
    assert function.name == "get_current_weather"
    assert call_id.count("call_") == 1
    assert is_weather(function.arguments)


def test_parse_a_response_format(client: OpenAI) -> None:
    """With a strict schema, even the answer of a bad model can be parsed to a Weather object."""
    (choice,) = client.chat.completions.parse(**ASKED, response_format=Weather).choices
    assert isinstance(choice.message.parsed, Weather)
    with client.chat.completions.stream(**ASKED, response_format=Weather) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == choice.message.parsed


def test_parse_a_pydantic_tool(client: OpenAI) -> None:
    tool: Any = pydantic_function_tool(Weather)
    (choice,) = client.chat.completions.parse(
        **ASKED, tools=[tool], tool_choice="required", parallel_tool_calls=False
    ).choices
    assert [type(call.function.parsed_arguments) for call in choice.message.tool_calls or ()] == [Weather]


def test_parse_says_when_the_answer_was_cut(client: OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(**{**ASKED, "max_tokens": 2}, response_format=Weather)
