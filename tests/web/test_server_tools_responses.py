"""Responses whose server runs calls: mcp_call items with OpenAI's events, kept answers, and limits."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from openai import OpenAI

from apis.rules.response_answer import ResponseAnswer
from apis.rules.response_stream import ResponseEvent
from inference import Model
from server import create_app
from tests.support.abuse_client import Client
from tests.support.response_events import check_response, check_types, folded, numbered
from tests.support.server_tools import RAN, SERVER_TOOLS
from tests.support.turns_engine import TurnsEngine
from web.settings import Settings

Json = dict[str, Any]
PATH = "/v1/responses"
BODY: Json = {"model": "tiny", "input": "What is 2 + 3?", "server_tools": True}
ARGUMENTS = '{"a": 2, "b": 3}'
ADD = f"add\n{ARGUMENTS}"
OWN: Json = {"type": "function", "name": "show", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def app(turns: tuple[Model, TurnsEngine]) -> FastAPI:
    return create_app(lambda: turns[0], Settings(server_tools=SERVER_TOOLS))


def response_of(client: Client, *, stream: bool, **fields: Any) -> Json:
    """Ask, check the answer by the official client's types and by the published schema, and return the response."""
    answer = client.post(PATH, {**BODY, **fields, "stream": stream})
    assert answer.status == 200, answer
    if not stream:
        check_response(answer.json)
        ResponseAnswer.model_validate(answer.json)
        whole: Json = answer.json
        return whole
    events = numbered(answer.body)
    check_types(events)
    for event in events:
        ResponseEvent.model_validate(event)
    return folded(events)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_server_runs_calls(raw: Client, engine: TurnsEngine, stream: bool) -> None:
    """Two calls of one round run at the same time, so that their items are open at the same time too."""
    engine.play(f'all\nI add.>>>{ADD}>>>weather\n{{"city": "Rome"}}>>>refuses\n{{}}', "all\nIt is 5.")
    response = response_of(raw, stream=stream)
    assert response["status"] == "completed"
    first, added, told, refused, last = response["output"]
    assert (first["content"][0]["text"], last["content"][0]["text"]) == ("I add.", "It is 5.")
    assert {key: value for key, value in added.items() if key != "id"} == {
        "type": "mcp_call",
        "status": "completed",
        "server_label": "my_tools.py",
        "name": "add",
        "arguments": ARGUMENTS,
        "output": "5",
        "error": None,
        "approval_request_id": None,
    }
    assert told["output"] == "Rome: rain"
    assert (refused["status"], refused["output"]) == ("failed", None)
    assert "the account is closed" in refused["error"]["content"][0]["text"]
    assert sorted(RAN) == ["add 2 3", "weather Rome"]
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_the_events_of_a_call(raw: Client, engine: TurnsEngine) -> None:
    engine.play(ADD, "all\nIt is 5.")
    events = numbered(raw.post(PATH, {**BODY, "stream": True}).body)
    kinds = [event["type"].removeprefix("response.") for event in events if event.get("output_index") == 0]
    deltas = kinds.count("mcp_call_arguments.delta")
    assert deltas > 5
    assert kinds == [
        "output_item.added",
        "mcp_call.in_progress",
        *["mcp_call_arguments.delta"] * deltas,
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]


def test_the_official_client(official: OpenAI, engine: TurnsEngine) -> None:
    engine.play(ADD, "all\nIt is 5.")
    asked: Any = {"model": "tiny", "input": "What is 2 + 3?", "extra_body": {"server_tools": True}}
    whole = official.responses.create(**asked)
    assert (whole.output_text, [item.type for item in whole.output]) == ("It is 5.", ["mcp_call", "message"])
    engine.play(ADD, "all\nIt is 5.")
    with official.responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.mcp_call.completed" in kinds
    call = final.output[0]
    assert call.type == "mcp_call" and (call.name, call.output) == ("add", "5")
    assert final.output_text == "It is 5."


@pytest.mark.parametrize("is_kept", [False, True], ids=["items", "previous_response_id"])
def test_the_conversation_goes_on(official: OpenAI, engine: TurnsEngine, is_kept: bool) -> None:
    """The calls and their results are read back, from the items that a client returns or from a kept response."""
    engine.play(ADD, "refuses\n{}", "all\nIt is 5.")
    first = official.responses.create(model="tiny", input="2 + 3?", extra_body={"server_tools": True})
    assert engine.prompts[-1].count("<|im_start|>assistant") == 3
    engine.play("all\nYes.")
    items: list[Any] = [item.model_dump(exclude_none=True) for item in first.output]
    question: Any = {"role": "user", "content": "Sure?"}
    if is_kept:
        official.responses.create(model="tiny", input=[question], previous_response_id=first.id)
    else:
        official.responses.create(model="tiny", input=[{"role": "user", "content": "2 + 3?"}, *items, question])
    (prompt,) = engine.prompts
    places = [prompt.index(text) for text in ("2 + 3?", ARGUMENTS, "account is closed", "It is 5.", "Sure?")]
    assert places == sorted(places)
    assert RAN == ["add 2 3"]


def test_a_response_is_read_again(official: OpenAI, engine: TurnsEngine) -> None:
    engine.play("refuses\n{}", "all\nNo.")
    first = official.responses.create(model="tiny", input="Pay", extra_body={"server_tools": ["refuses"]})
    assert official.responses.retrieve(first.id).output == first.output
    items: list[Any] = [{"role": "user", "content": "Pay"}, *[item.to_dict() for item in first.output]]
    second = official.responses.create(model="tiny", input=items)
    kept = official.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in kept] == ["message", "mcp_call", "message"]
    assert getattr(kept[1], "status", "") == "failed"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_call_of_the_clients_function(raw: Client, engine: TurnsEngine, stream: bool) -> None:
    engine.play(f"{ADD}>>>show\n{{}}")
    response = response_of(raw, stream=stream, tools=[OWN])
    added, shown = response["output"]
    assert (added["type"], added["output"], shown["type"]) == ("mcp_call", "5", "function_call")
    assert [tool["name"] for tool in response["tools"]] == ["show"]
    result = {"type": "function_call_output", "call_id": shown["call_id"], "output": "done"}
    engine.play("all\nShown.")
    last = response_of(raw, stream=stream, tools=[OWN], input=[result], previous_response_id=response["id"])
    assert last["output"][0]["content"][0]["text"] == "Shown."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_limits(raw: Client, engine: TurnsEngine, stream: bool) -> None:
    engine.play(ADD)
    response = response_of(raw, stream=stream)
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["type"] for item in response["output"]] == ["mcp_call"] * 8
    RAN.clear()
    response = response_of(raw, stream=stream, max_tool_calls=1)
    assert RAN == ["add 2 3"]
    assert [item["status"] for item in response["output"]] == ["completed", "failed"]
    response = response_of(raw, stream=stream, max_output_tokens=16)
    assert response["status"] == "incomplete" and response["output"][0]["status"] == "failed"


def test_max_tool_calls_counts_with_server_tools_only(raw: Client, engine: TurnsEngine) -> None:
    engine.play("all\nHi.")
    assert "x-ignored-fields" not in raw.post(PATH, {**BODY, "max_tool_calls": 3}).headers
    answer = raw.post(PATH, {"model": "tiny", "input": "Hi", "max_tool_calls": 3})
    assert answer.headers["x-ignored-fields"] == "max_tool_calls"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"server_tools": ["nope"]}, "server_tools[0]"),
        ({"server_tools": ["pay"]}, "server_tools[0]"),
        ({"tools": [{"type": "function", "name": "add"}]}, "server_tools"),
    ],
)
def test_bad_requests(raw: Client, engine: TurnsEngine, fields: Json, param: str) -> None:
    answer = raw.post(PATH, {**BODY, **fields})
    assert (answer.status, answer.error["param"]) == (400, param)
    assert RAN == []


def test_input_tokens_count_the_tools(raw: Client) -> None:
    with_tools = raw.post(f"{PATH}/input_tokens", BODY).json["input_tokens"]
    without = raw.post(f"{PATH}/input_tokens", {**BODY, "server_tools": None}).json["input_tokens"]
    assert with_tools > without + 20
