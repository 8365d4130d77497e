"""/v1/responses over a real socket: the official client whole and streamed, tools, and kept responses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

import openai
import pytest
from fastapi import FastAPI
from openai import OpenAI
from openai.types.responses import ResponseItem
from pydantic import BaseModel, TypeAdapter

from apis.rules.custom_tools import input_arguments
from inference import Model
from server import create_app
from tests.support.abuse_client import Client
from tests.support.response_events import check_response, check_types, folded, numbered
from tests.support.scripted_engine import ScriptedEngine
from tests.support.serving import serving
from web.settings import Settings

Json = dict[str, Any]
Play = Callable[..., ScriptedEngine]
PATH = "/v1/responses"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": CITY}
PATCH: Any = {"type": "custom", "name": "patch", "description": "Edit files"}
ARGUMENTS = '{"city": "İstanbul"}'
BODY: Json = {"model": "tiny", "input": "Weather?"}


@pytest.fixture(scope="module")
def app(played: tuple[Model, ScriptedEngine]) -> FastAPI:
    return create_app(lambda: played[0])


def test_text_whole_and_streamed(official: OpenAI, raw: Client, play: Play) -> None:
    play("Hello 🦊 there")
    whole = official.responses.create(model="tiny", input="Hi", metadata={"k": "v"})
    assert (whole.output_text, whole.status, whole.metadata) == ("Hello 🦊 there", "completed", {"k": "v"})
    assert whole.usage
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    check_response(raw.post(PATH, BODY).json)
    answer = raw.post(PATH, {**BODY, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = numbered(answer.body)
    check_types(events)
    assert folded(events)["output"][0]["content"][0]["text"] == "Hello 🦊 there"


def test_stream_helper(official: OpenAI, play: Play) -> None:
    play("Hello there")
    with official.responses.stream(model="tiny", input="Hi") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert len(deltas) > 2
    assert "".join(deltas) == final.output_text == "Hello there"
    play(f"get_weather\n{ARGUMENTS}")
    with official.responses.stream(model="tiny", input="Hi", tools=[WEATHER]) as stream:
        kinds = [event.type for event in stream]
        (call,) = stream.get_final_response().output
    assert kinds.count("response.function_call_arguments.done") == 1
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", ARGUMENTS)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_two_calls_and_their_results(
    official: OpenAI, play: Play, played: tuple[Model, ScriptedEngine], stream: bool
) -> None:
    """A loop as the documentation of OpenAI has it: the output goes back with the results."""

    def ask(items: list[Any]) -> list[Any]:
        if not stream:
            return list(official.responses.create(model="tiny", input=items, tools=[WEATHER], store=False).output)
        with official.responses.stream(model="tiny", input=items, tools=[WEATHER], store=False) as events:
            events.until_done()
            return list(events.get_final_response().output)

    play(f'all\nLooking.>>>get_weather\n{ARGUMENTS}>>>get_weather\n{{"city": "Rome"}}')
    items: list[Any] = [{"role": "user", "content": "Weather?"}]
    output = ask(items)
    assert [item.type for item in output] == ["message", "function_call", "function_call"]
    items += [item.to_dict() for item in output]
    items += [
        {"type": "function_call_output", "call_id": item.call_id, "output": "rain"}
        for item in output
        if item.type == "function_call"
    ]
    engine = play("all\nIt rains.")
    (message,) = ask(items)
    assert message.content[0].text == "It rains."
    prompt = played[0].tokenizer.decode(engine.last_prompt)
    assert prompt.count("rain") == 2
    assert prompt.index("Looking.") < prompt.index("İstanbul") < prompt.index("Rome") < prompt.index("rain")


def test_a_response_continues_a_kept_one(official: OpenAI, play: Play, played: tuple[Model, ScriptedEngine]) -> None:
    """Three turns by previous_response_id have the prompt of the same conversation in items."""
    play(f"get_weather\n{ARGUMENTS}")
    first = official.responses.create(model="tiny", input="Weather?", tools=[WEATHER], instructions="Be brief")
    (call,) = first.output
    assert call.type == "function_call"
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    play("all\nIt rains.")
    second = official.responses.create(
        model="tiny", input=[result], tools=[WEATHER], previous_response_id=first.id, stream=True
    )
    *_, last = second
    assert last.type == "response.completed"
    assert last.response.previous_response_id == first.id
    engine = play("all\nYes.")
    official.responses.create(model="tiny", input="Sure?", tools=[WEATHER], previous_response_id=last.response.id)
    continued = engine.last_prompt
    items: list[Any] = [
        {"role": "user", "content": "Weather?"},
        call.to_dict(),
        result,
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "Sure?"},
    ]
    official.responses.create(model="tiny", input=items, tools=[WEATHER])
    assert engine.last_prompt == continued
    assert "Be brief" not in played[0].tokenizer.decode(continued), "instructions are not inherited"


def test_references_to_items(official: OpenAI, play: Play) -> None:
    play(f"get_weather\n{ARGUMENTS}")
    (call,) = official.responses.create(model="tiny", input="Weather?", tools=[WEATHER]).output
    assert call.type == "function_call"
    items: list[Any] = [
        {"role": "user", "content": "Weather?"},
        {"type": "item_reference", "id": call.id},
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    play("all\nIt rains.")
    assert official.responses.create(model="tiny", input=items, tools=[WEATHER]).output_text == "It rains."


def test_responses_of_another_key(played: tuple[Model, ScriptedEngine], play: Play) -> None:
    """An id that leaks must not give another key's conversation away."""
    play("Hello")
    with serving(create_app(lambda: played[0], Settings(api_keys=["one-key-0001", "two-key-0002"]))) as url:
        with Client(url, "one-key-0001") as client:
            kept = client.post(PATH, BODY).json["id"]
            assert client.post(PATH, {**BODY, "previous_response_id": kept}).status == 200
        with Client(url, "two-key-0002") as client:
            answer = client.post(PATH, {**BODY, "previous_response_id": kept})
            assert (answer.status, answer.error["code"]) == (400, "previous_response_not_found")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_custom_tool(official: OpenAI, play: Play, stream: bool) -> None:
    text = '*** Begin Patch\n+"a" \\n\t🦊\n*** End Patch'
    play(f"patch\n{input_arguments(text)}")
    if stream:
        with official.responses.stream(model="tiny", input="Hi", tools=[PATCH]) as events:
            deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
            (call,) = events.get_final_response().output
        assert "".join(deltas) == text
        assert len(deltas) > 2
    else:
        (call,) = official.responses.create(model="tiny", input="Hi", tools=[PATCH]).output  # type: ignore[assignment]
    assert call.type == "custom_tool_call"
    assert (call.name, call.input) == ("patch", text)
    items: list[Any] = [
        {"role": "user", "content": "Hi"},
        call.to_dict(),
        {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "Done"},
    ]
    play("all\nIt is done.")
    assert official.responses.create(model="tiny", input=items, tools=[PATCH]).output_text == "It is done."


def test_a_namespace_and_an_ignored_tool(raw: Client, play: Play) -> None:
    """Codex routes a call by its namespace. Its web search is not available here, which the header says."""
    group = {"type": "namespace", "name": "agents", "description": "", "tools": [{"type": "function", "name": "close"}]}
    play("agents_close\n{}")
    answer = raw.post(PATH, {**BODY, "tools": [group, {"type": "web_search"}]})
    (call,) = answer.json["output"]
    assert (call["name"], call["namespace"], call["arguments"]) == ("close", "agents", "{}")
    assert answer.headers["x-ignored-fields"] == "tools.web_search"


class Weather(BaseModel):
    is_sunny: bool
    wind: Literal["calm", "strong"] | None


def test_parse(chatml: Model) -> None:
    """A strict schema binds even a random model, whole and streamed, as text and as the arguments of a call."""
    with (
        serving(create_app(lambda: chatml)) as url,
        OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=60) as client,
    ):
        asked: Any = {"model": "tiny", "input": "Hi", "max_output_tokens": 400, "temperature": 0}
        parsed = client.responses.parse(**asked, text_format=Weather)
        assert isinstance(parsed.output_parsed, Weather)
        with client.responses.stream(**asked, text_format=Weather) as stream:
            assert stream.get_final_response().output_parsed == parsed.output_parsed
        tool: Any = openai.pydantic_function_tool(Weather)["function"]
        forced: Any = {"tool_choice": "required", "parallel_tool_calls": False}
        strict: Any = [{"type": "function", **tool}]
        (call,) = client.responses.create(**asked, **forced, tools=strict).output
        assert call.type == "function_call"
        Weather.model_validate_json(call.arguments)
        made_strict: Any = {
            "type": "function",
            "name": "f",
            "parameters": {"type": "object", "properties": {"b": {"type": "boolean"}}},
        }
        named: Any = {"tools": [made_strict], "tool_choice": {"type": "function", "name": "f"}}
        (call,) = client.responses.create(**asked, **named).output
        assert call.type == "function_call"
        assert json.loads(call.arguments) in ({"b": True}, {"b": False})


def test_an_answer_cut_by_the_token_limit(official: OpenAI, play: Play) -> None:
    play("Hello there")
    whole = official.responses.create(model="tiny", input="Hi", max_output_tokens=3)
    assert (whole.status, whole.output[0].type) == ("incomplete", "message")
    assert whole.incomplete_details and whole.incomplete_details.reason == "max_output_tokens"
    *_, last = official.responses.create(model="tiny", input="Hi", max_output_tokens=3, stream=True)
    assert last.type == "response.incomplete"
    assert last.response.output_text == whole.output_text


def test_input_tokens(official: OpenAI, raw: Client, play: Play) -> None:
    """The count is that of the prompt of the same request."""
    play("Hello")
    asked: Any = {"model": "tiny", "input": "Weather?", "tools": [WEATHER], "instructions": "Be brief"}
    usage = official.responses.create(**asked).usage
    assert usage and official.responses.input_tokens.count(**asked).input_tokens == usage.input_tokens
    count = raw.post(f"{PATH}/input_tokens", {"input": "Hi"})
    assert count.json["object"] == "response.input_tokens"
    assert count.json["input_tokens"] < usage.input_tokens
    assert raw.post(f"{PATH}/input_tokens", {"model": None, "input": "Hi"}).json == count.json


def test_input_tokens_of_a_prompt_that_is_too_long(raw: Client) -> None:
    """A client that counts wants to know by how much to shorten the prompt, so the count must not be an error."""
    text = {"input": "a b " * 60_000}
    assert raw.post(PATH, {"model": "tiny", **text}).error["code"] == "context_length_exceeded"
    assert raw.post(f"{PATH}/input_tokens", text).json["input_tokens"] > 100_000


def test_a_kept_response_is_read_as_it_was_sent(official: OpenAI, raw: Client, play: Play) -> None:
    """The items of the request are listed in the types of the official client, complete and with an id each."""
    play(f"get_weather\n{ARGUMENTS}")
    first = raw.post(PATH, {**BODY, "tools": [WEATHER]}).json
    assert raw.send("GET", f"{PATH}/{first['id']}").json == first
    call = first["output"][0]
    items: list[Any] = [
        {"role": "user", "content": "Weather?"},
        {"type": "item_reference", "id": call["id"]},
        {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"},
        {"type": "custom_tool_call", "call_id": "call_b", "name": "patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "call_b", "output": "Done"},
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": "It rains."},
    ]
    play("all\nYes.")
    second = official.responses.create(model="tiny", input=items, tools=[WEATHER])
    listed = list(official.responses.input_items.list(second.id, order="asc"))
    kinds = [item.get("type", "message").replace("item_reference", "function_call") for item in items]
    assert [item.type for item in listed] == kinds
    for item in listed:
        TypeAdapter(ResponseItem).validate_python(item.to_dict(), strict=True)
    official.responses.delete(first["id"])
    official.responses.create(model="tiny", input="Sure?", tools=[WEATHER], previous_response_id=second.id)


def test_a_custom_tool_with_a_grammar(tiny_url: str) -> None:
    """The text follows the grammar although the model is random. A broken grammar is an error at its place."""
    with OpenAI(base_url=f"{tiny_url}/v1", api_key="x", max_retries=0, timeout=120) as client:
        grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "*** " /[a-z]{3}/ "\\n"'}
        tool: Any = {**PATCH, "format": grammar}
        forced: Any = {"model": "tiny", "input": "Hi", "tool_choice": "required", "parallel_tool_calls": False}
        answer = client.responses.create(**forced, tools=[tool], max_output_tokens=200)
        (call,) = answer.output
        assert call.type == "custom_tool_call"
        assert re.fullmatch(r"\*\*\* [a-z]{3}\n", call.input)
        assert answer.tools[0].to_dict() == tool
        broken: Any = {**PATCH, "format": {**grammar, "definition": "start: nothing"}}
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(**forced, tools=[{"type": "web_search"}, broken])
        assert caught.value.param == "tools[1].format.definition"
