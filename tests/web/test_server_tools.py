"""Chat completions whose server runs calls: the trace whole and streamed, limits, faults, and what is refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from openai import OpenAI

from agent import tool
from apis.chat_completions import ChatCompletionRequest
from apis.rules.chat_answer import ChatCompletion, ChatCompletionChunk
from inference import Model
from server import create_app
from tests.support.abuse_client import CHAT, RENDER, Client
from tests.support.server_tools import RAN, SERVER_TOOLS
from tests.support.serving import serving, shared
from tests.support.streamed import choices, events
from tests.support.turns_engine import TurnsEngine, with_turns
from web.settings import Settings

Json = dict[str, Any]
QUESTION: Json = {"role": "user", "content": "What is 2 + 3?"}
BODY: Json = {"model": "tiny", "messages": [QUESTION], "server_tools": True}
ADD = 'add\n{"a": 2, "b": 3}'
OWN: Json = {"type": "function", "function": {"name": "show", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def app(turns: tuple[Model, TurnsEngine]) -> FastAPI:
    return create_app(lambda: turns[0], Settings(server_tools=SERVER_TOOLS))


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def choice_of(client: Client, *, stream: bool = False, **fields: Any) -> Json:
    """Ask, check the answer by the published schema, and return the choice."""
    answer = client.post(CHAT, {**BODY, **fields, "stream": stream})
    assert answer.status == 200, answer
    if stream:
        for data in events(answer.body)[:-1]:
            ChatCompletionChunk.model_validate_json(data)
        streamed: Json = choices(answer.body)[0]
        return streamed
    ChatCompletion.model_validate(answer.json)
    whole: Json = answer.json["choices"][0]
    return whole


# Answers


def test_the_server_runs_a_call_and_the_client_sees_the_trace(raw: Client, engine: TurnsEngine, stream: bool) -> None:
    engine.play(ADD, "all\nIt is 5.")
    choice = choice_of(raw, stream=stream)
    message = choice["message"]
    assert (choice["finish_reason"], message["content"]) == ("stop", "It is 5.")
    assert "tool_calls" not in message, "a client would run these calls again"
    called, result = message["trace"]
    (call,) = called["tool_calls"]
    assert (called["role"], called["content"]) == ("assistant", None)
    assert call["function"] == {"name": "add", "arguments": '{"a": 2, "b": 3}'}
    assert result == {
        "role": "tool",
        "tool_call_id": call["id"],
        "name": "add",
        "content": "5",
        "is_error": False,
    }
    assert RAN == ["add 2 3"]
    assert ">5<" in engine.prompts[1].replace("\n", ">").replace("<|im_end|>", "<")


def test_the_arguments_of_a_call_arrive_bit_by_bit(raw: Client, engine: TurnsEngine) -> None:
    engine.play(ADD, "all\nIt is 5.")
    body = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = (json.loads(data) for data in events(raw.post(CHAT, body).body)[:-1])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    parts = [part for delta in deltas for part in delta.get("trace", ())]
    pieces = [call["function"]["arguments"] for part in parts for call in part.get("tool_calls", ())]
    assert len(pieces) > 5 and "".join(pieces) == '{"a": 2, "b": 3}'
    assert [part["role"] for part in parts if "role" in part] == ["assistant", "tool"]
    texts = [place for place, delta in enumerate(deltas) if delta.get("content")]
    assert min(texts) > max(place for place, delta in enumerate(deltas) if "trace" in delta)
    assert all(len(delta.keys() & {"content", "trace", "tool_calls"}) == 1 for delta in deltas[:-1])
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]


def test_the_official_client(official: OpenAI, engine: TurnsEngine) -> None:
    """`extra_body` asks for the tools, and the trace and the message continue the conversation."""
    engine.play("all\nI add.>>>" + ADD + '>>>weather\n{"city": "Rome"}', "all\nIt is 5.")
    asked: Any = {"model": "tiny", "messages": [QUESTION], "extra_body": {"server_tools": True}}
    message = official.chat.completions.create(**asked).choices[0].message
    assert message.content == "I add.\n\nIt is 5." and message.tool_calls is None
    trace: Any = (message.model_extra or {})["trace"]
    assert [one["role"] for one in trace] == ["assistant", "tool", "tool"]
    assert len(trace[0]["tool_calls"]) == 2 and sorted(RAN) == ["add 2 3", "weather Rome"]

    engine.play("all\nI add.>>>" + ADD + '>>>weather\n{"city": "Rome"}', "all\nIt is 5.")
    with official.chat.completions.stream(**asked) as helper:
        final = helper.get_final_completion().choices[0].message
    assert final.content == message.content and not final.tool_calls
    assert [one["role"] for one in final.trace] == ["assistant", "tool", "tool"]  # type: ignore[attr-defined]

    engine.play("all\nYes.")
    asked["messages"] = [QUESTION, *trace, message.model_dump(), {"role": "user", "content": "Sure?"}]
    assert official.chat.completions.create(**asked).choices[0].message.content == "Yes."
    (prompt,) = engine.prompts
    assert prompt.count("Rome: rain") == 1
    assert (
        prompt.index('{"a": 2, "b": 3}') < prompt.index("Rome: rain") < prompt.index("It is 5.") < prompt.index("Sure?")
    )


def test_usage_counts_all_rounds(raw: Client, engine: TurnsEngine) -> None:
    engine.play(ADD, "all\nIt is 5.")
    both = raw.post(CHAT, BODY).json["usage"]
    engine.play("all\nIt is 5.")
    one = raw.post(CHAT, BODY).json["usage"]
    assert both["prompt_tokens"] > 2 * one["prompt_tokens"]
    assert both["completion_tokens"] > one["completion_tokens"]


def test_no_tool_runs_without_the_field(raw: Client, engine: TurnsEngine) -> None:
    """Tools run for an explicit field only: a client that never heard of them must not set anything off."""
    fields: tuple[Json, ...] = ({}, {"server_tools": False}, {"server_tools": None}, {"server_tools": []})
    for asked in fields:
        engine.play(ADD)
        body = {"model": "tiny", "messages": [QUESTION], **asked}
        message = raw.post(CHAT, body).json["choices"][0]["message"]
        assert "trace" not in message and "tool_calls" not in message
        assert "add" not in engine.prompts[0].replace(QUESTION["content"], "")
    assert RAN == []


def test_only_named_tools_are_shown(raw: Client, engine: TurnsEngine) -> None:
    engine.play("all\nHi.")
    choice_of(raw, server_tools=["weather"])
    assert "weather" in engine.prompts[0] and "type add" not in engine.prompts[0]
    choice_of(raw)
    assert "weather" in engine.prompts[1] and "type add" in engine.prompts[1]
    assert "type pay" not in engine.prompts[1], "it needs a confirmation"


def test_the_rendered_prompt_shows_the_tools(raw: Client, engine: TurnsEngine) -> None:
    engine.play("all\nHi.")
    choice_of(raw)
    text = raw.post(RENDER, BODY).json["prompt"]
    assert text == engine.prompts[0]


# The client's own tools


def test_a_call_of_the_clients_tool_ends_the_answer(raw: Client, engine: TurnsEngine, stream: bool) -> None:
    """The calls of one round may be the server's and the client's: only the client's are left to it."""
    engine.play(ADD, ADD + ">>>show\n{}")
    choice = choice_of(raw, stream=stream, tools=[OWN])
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["show"]
    assert [one["role"] for one in message["trace"]] == ["assistant", "tool", "assistant", "tool"]
    assert RAN == ["add 2 3", "add 2 3"]
    engine.play("all\nShown.")
    history = [QUESTION, *message["trace"], message]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "done"}
    assert choice_of(raw, stream=stream, tools=[OWN], messages=[*history, result])["message"]["content"] == "Shown."


def test_a_client_tool_with_a_foreign_name(raw: Client, engine: TurnsEngine) -> None:
    """A name that no model can be shown has an alias in the prompt, also beside the server's tools."""
    own = {"type": "function", "function": {"name": "github.show"}}
    engine.play(ADD, "github_show\n{}")
    message = choice_of(raw, tools=[own])["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["github.show"]
    assert len(message["trace"]) == 2


def test_choices(raw: Client, engine: TurnsEngine) -> None:
    """A forced call counts for the first round; after its result the model may answer."""
    named = {"type": "function", "function": {"name": "add"}}
    for choice in ("required", named):
        engine.play(ADD, "all\nIt is 5.")
        answered = choice_of(raw, tool_choice=choice)
        assert (answered["finish_reason"], answered["message"]["content"]) == ("stop", "It is 5.")
    engine.play("add\n" + ADD.partition("\n")[2], "show\n{}")
    assert choice_of(raw, tool_choice=named, tools=[OWN])["finish_reason"] == "tool_calls"
    engine.play("all\nNo.")
    assert choice_of(raw, tool_choice="none")["message"]["content"] == "No."


# Limits


def test_a_model_that_calls_without_end(raw: Client, engine: TurnsEngine, stream: bool) -> None:
    engine.play(ADD)
    choice = choice_of(raw, stream=stream)
    assert choice["finish_reason"] == "length"
    assert len(RAN) == 8 and len(choice["message"]["trace"]) == 16
    engine.play(">>>".join([ADD] * 40), "all\nEnough.")
    RAN.clear()
    choice = choice_of(raw, stream=stream)
    assert (choice["finish_reason"], len(RAN)) == ("length", 32)
    results = [one for one in choice["message"]["trace"] if one["role"] == "tool"]
    assert len(results) == 40 and sum(one["is_error"] for one in results) == 8


def test_a_call_that_the_token_limit_cuts(raw: Client, engine: TurnsEngine, stream: bool) -> None:
    engine.play(ADD)
    choice = choice_of(raw, stream=stream, max_tokens=12)
    assert choice["finish_reason"] == "length" and RAN == []
    (result,) = [one for one in choice["message"]["trace"] if one["role"] == "tool"]
    assert result["is_error"] and "not run" in result["content"]


def test_results_that_fill_the_context(chatml: Model) -> None:
    """The answer ends with its trace, instead of an error after side effects."""
    model, engine = with_turns(chatml, max_context=4096)
    engine.play("huge\n{}", "all\nIt is long.")
    with serving(create_app(lambda: model, Settings(server_tools=SERVER_TOOLS))) as url, Client(url) as client:
        choice = choice_of(client, server_tools=["huge"])
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["trace"][1]["content"]) < 5000


# Faults of tools

FAULTS = {
    "raises": ("raises\n{}", "FileNotFoundError: "),
    "refuses": ("refuses\n{}", "the account is closed"),
    "sys.exit": ("leaves\n{}", "SystemExit"),
    "hangs": ("hangs\n{}", "took longer than 0.2 s"),
    "blocks an event loop": ("blocks\n{}", "took longer than 0.2 s"),
    "arguments that do not fit": ('add\n{"a": "x"}', "do not fit"),
    "arguments that are no JSON": ("add\n{", "not a JSON object"),
    "an unknown function": ("zzz\n{}", "there is no function 'zzz'"),
    "bytes": ("binary\n{}", "bytes"),
    "a cycle": ("cycle\n{}", "contains itself"),
    "too few arguments": ('add\n{"a": 1}', "'b' is a required property"),
    "an unknown argument": ('add\n{"a": 1, "b": 2, "c": 3}', "c"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_tool_that_fails(raw: Client, engine: TurnsEngine, name: str) -> None:
    """The model reads what went wrong, and the server goes on."""
    turn, told = FAULTS[name]
    engine.play(turn, "all\nThat failed.")
    choice = choice_of(raw)
    result = choice["message"]["trace"][1]
    assert result["is_error"] and told in result["content"]
    assert not re.search("/home/|Traceback|ada", result["content"])
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "That failed.")
    assert raw.send("GET", "/health").status == 200


@pytest.mark.parametrize("name", ["huge", "endless", "odd"])
def test_a_tool_with_an_odd_result(raw: Client, engine: TurnsEngine, name: str) -> None:
    engine.play(f"{name}\n{{}}", "all\nSo it is.")
    choice = choice_of(raw)
    assert choice["message"]["content"] == "So it is."
    assert len(choice["message"]["trace"][1]["content"]) < 70_000


@pytest.mark.parametrize("name", ["hangs", "blocks"])
def test_other_requests_do_not_wait_for_a_tool(url: str, engine: TurnsEngine, name: str) -> None:
    """A tool that blocks the event loop would stop health checks and all streams."""
    engine.play(f"{name}\n{{}}", "all\nThat failed.")
    with Client(url) as client, OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as official:
        body: Any = {"model": "tiny", "messages": [QUESTION], "extra_body": {"server_tools": True}}
        stream = iter(official.chat.completions.create(**body, stream=True))
        next(stream)
        slowest = 0.0
        for _ in range(5):
            begun = time.monotonic()
            assert client.send("GET", "/health").status == 200
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < 1.5
        list(stream)
    engine.play('weather\n{"city": "Rome"}', "all\nIt rains.")
    with Client(url) as client:
        assert choice_of(client)["message"]["trace"][1]["content"] == "Rome: rain", "tools still run"


def test_a_client_that_leaves_stops_the_loop(url: str, engine: TurnsEngine) -> None:
    engine.play(ADD, step_s=0.02)
    with OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as official:
        asked: Any = {"model": "tiny", "messages": [QUESTION], "extra_body": {"server_tools": True}, "stream": True}
        stream = official.chat.completions.create(**asked)
        next(iter(stream))
        stream.close()
    for _ in range(100):
        if not engine.num_active:
            break
        time.sleep(0.05)
    num_prompts = len(engine.prompts)
    time.sleep(0.3)
    assert len(engine.prompts) == num_prompts <= 2


# What is refused


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"server_tools": ["add", "nope"]}, "server_tools[1]", "no tool named 'nope'. It has: add, weather"),
        ({"server_tools": ["pay"]}, "server_tools[0]", "needs a confirmation"),
        ({"server_tools": "all"}, "server_tools", "a boolean or array of strings"),
        ({"server_tools": [1]}, "server_tools[0]", "a string"),
        ({"n": 2}, "n", "one choice"),
        ({"functions": [OWN["function"]]}, "server_tools", "'tools' in place of"),
        ({"tools": [{"type": "function", "function": {"name": "add"}}]}, "server_tools", "'add' is also one of"),
        ({"tool_choice": {"type": "function", "function": {"name": "nope"}}}, "tool_choice", "no function named nope"),
    ],
)
def test_bad_requests(raw: Client, engine: TurnsEngine, fields: Json, param: str, told: str) -> None:
    engine.play(ADD)
    answer = raw.post(CHAT, {**BODY, **fields})
    assert (answer.status, answer.error["param"]) == (400, param)
    assert told in answer.error["message"]
    assert "x-should-retry" not in answer.headers and RAN == []


def test_servers_without_tools(chatml: Model, turns: tuple[Model, TurnsEngine]) -> None:
    for tools, told in (((), "has no tools"), ([one for one in SERVER_TOOLS if one.name == "pay"], "confirmation")):
        with serving(create_app(lambda: turns[0], Settings(server_tools=tools))) as url, Client(url) as client:
            answer = client.post(CHAT, BODY)
            assert (answer.status, answer.error["param"]) == (400, "server_tools")
            assert told in answer.error["message"]
            assert len(client.send("GET", "/v1/tools").json["data"]) == len(tools)


def test_strict_openai_does_not_know_the_field(turns: tuple[Model, TurnsEngine]) -> None:
    assert "server_tools" in ChatCompletionRequest.model_fields
    app = create_app(lambda: turns[0], Settings(server_tools=SERVER_TOOLS, strict_openai=True))
    with serving(app) as url, Client(url) as client:
        answer = client.post(CHAT, BODY)
    assert answer.error["message"] == "Unrecognized request argument supplied: server_tools"


def test_the_key_comes_first(turns: tuple[Model, TurnsEngine]) -> None:
    app = create_app(lambda: turns[0], Settings(server_tools=SERVER_TOOLS, api_keys=["secret"]))
    with serving(app) as url, Client(url) as client, Client(url, "secret") as owner:
        assert client.send("GET", "/v1/tools").status == client.post(CHAT, BODY).status == 401
        turns[1].play("all\nHi.")
        assert owner.send("GET", "/v1/tools").status == owner.post(CHAT, BODY).status == 200


# The list, and the metrics


def test_the_list_of_tools(raw: Client) -> None:
    listed = raw.send("GET", "/v1/tools").json
    cards = {card["name"]: card for card in listed["data"]}
    assert listed["object"] == "list" and len(cards) == len(SERVER_TOOLS)
    assert cards["add"]["parameters"]["required"] == ["a", "b"]
    assert {key: cards["add"][key] for key in ("object", "description", "source", "needs_confirmation")} == {
        "object": "tool",
        "description": "Add two numbers.",
        "source": "my_tools.py",
        "needs_confirmation": False,
    }
    assert cards["pay"]["needs_confirmation"]


@pytest.fixture
def fresh_url(turns: tuple[Model, TurnsEngine]) -> Iterator[str]:
    with serving(create_app(lambda: turns[0], Settings(server_tools=SERVER_TOOLS))) as url:
        yield url


def test_metrics_count_calls_by_outcome(fresh_url: str, engine: TurnsEngine) -> None:
    engine.play(f'{ADD}>>>raises\n{{}}>>>add\n{{"a": "x"}}>>>zzz_unknown\n{{}}', "all\nDone.")
    with Client(fresh_url) as client:
        choice_of(client)
        text = client.send("GET", "/metrics").body.decode()
    counted = re.findall(r'functionary:tool_calls_total\{outcome="(\w+)",tool="(\w+)"\} (\S+)', text)
    assert sorted(counted) == [("error", "raises", "1.0"), ("not_run", "add", "1.0"), ("ok", "add", "1.0")]
    assert 'functionary:tool_call_seconds_count{tool="add"} 1.0' in text
    assert "zzz_unknown" not in text


def test_the_embedded_model_answers_from_a_tool(embedded: Model) -> None:
    """A real model calls a tool of the server, and answers with what it returned."""

    @tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"{city}: 21 degrees and sunny"

    app = create_app(lambda: shared(embedded), Settings(server_tools=[get_weather]))
    with serving(app) as url, OpenAI(base_url=f"{url}/v1", api_key="x", timeout=120) as official:
        message = (
            official.chat.completions.create(
                model=embedded.names[0],
                messages=[{"role": "user", "content": "What is the weather in Istanbul?"}],
                temperature=0,
                extra_body={"server_tools": True},
            )
            .choices[0]
            .message
        )
    trace: Any = (message.model_extra or {})["trace"]
    assert trace[0]["tool_calls"][0]["function"]["arguments"] == '{"city": "Istanbul"}'
    assert trace[1]["content"] == "Istanbul: 21 degrees and sunny"
    assert message.content and "21 degrees" in message.content
