"""POST /v1/messages and /v1/messages/count_tokens over a real socket: answers, streams, counts and errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from checkpoints.model import load_model
from inference import Model
from server import create_app
from tests.support.reasoning_model import make_reasoning_folder, staged
from tests.support.scripted_engine import ScriptedEngine
from tests.support.serving import serving, shared
from tests.support.strict_message import check_message, named_events, strict_message, without_ids
from web.settings import Settings

Json = dict[str, Any]
Play = Callable[..., ScriptedEngine]
USER = {"role": "user", "content": "What is the weather in Zürich?"}
WEATHER = {
    "name": "get_weather",
    "description": "The weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"enum": [1, 2]}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
TIME = {"name": "get_time", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}}
TOOLS = [WEATHER, TIME]
CALLS = 'all\nLet me see.>>>get_weather\n{"city": "Zürich", "days": 2}>>>get_time\n{}'


@pytest.fixture(scope="module")
def http(played_url: str) -> Iterator[httpx2.Client]:
    """A client of the server with the scripted engine."""
    with httpx2.Client(base_url=played_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def tiny(tiny_url: str) -> Iterator[httpx2.Client]:
    """A client of the server with the random model."""
    with httpx2.Client(base_url=tiny_url, timeout=120) as client:
        yield client


def asked(client: httpx2.Client, *messages: Json, path: str = "", **fields: Any) -> httpx2.Response:
    body = {"model": "tiny", "max_tokens": 200, "messages": list(messages) or [USER], **fields}
    return client.post(f"/v1/messages{path}", json=body)


def whole(client: httpx2.Client, *messages: Json, **fields: Any) -> Json:
    response = asked(client, *messages, **fields)
    assert response.status_code == 200, response.text
    message: Json = response.json()
    check_message(message)
    return message


def streamed(client: httpx2.Client, *messages: Json, **fields: Any) -> tuple[Json, list[Json]]:
    """Return the message of a stream, with the calls' arguments parsed, and its events."""
    response = asked(client, *messages, stream=True, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    events = named_events(response.text)
    message = strict_message(events)
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"] or "{}")
    return message, events


def test_text_whole_and_streamed(http: httpx2.Client, play: Play) -> None:
    play("It rains.")
    answer = whole(http)
    assert answer["content"] == [{"type": "text", "text": "It rains."}]
    assert (answer["stop_reason"], answer["stop_sequence"], answer["model"]) == ("end_turn", None, "tiny")
    other, events = streamed(http)
    assert without_ids(other) == without_ids(answer)
    assert other["usage"] == answer["usage"]
    assert sum(event["type"] == "content_block_delta" for event in events) > 3, "the text must arrive in pieces"


def test_calls_whole_and_streamed_and_their_results(http: httpx2.Client, play: Play) -> None:
    play(CALLS)
    answer = whole(http, tools=TOOLS)
    assert answer["stop_reason"] == "tool_use"
    text, weather, time = answer["content"]
    assert text == {"type": "text", "text": "Let me see."}
    assert (weather["name"], weather["input"]) == ("get_weather", {"city": "Zürich", "days": 2})
    assert (time["name"], time["input"]) == ("get_time", {})
    other, events = streamed(http, tools=TOOLS)
    assert without_ids(other) == without_ids(answer)
    assert sum(event.get("delta", {}).get("type") == "input_json_delta" for event in events) > 3

    engine = play("all\nIt rains.")
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "RAIN"} for call in (time, weather)]
    history: list[Json] = [USER, {"role": "assistant", "content": answer["content"]}]
    history.append({"role": "user", "content": results})
    assert whole(http, *history, tools=TOOLS)["content"] == [{"type": "text", "text": "It rains."}]
    assert streamed(http, *history, tools=TOOLS)[0]["stop_reason"] == "end_turn"
    assert engine.last_prompt


def test_the_prompt_is_that_of_chat_completions(http: httpx2.Client, play: Play, played: tuple[Model, Any]) -> None:
    """Both APIs lead to the same prompt, so the prefix cache and a model's training serve both."""
    engine = play("all\nx")
    use = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Zürich", "days": 1}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "RAIN"}
    history: list[Json] = [
        USER,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    whole(http, *history, tools=[WEATHER], system="Be brief.")
    prompt = engine.last_prompt
    function = {"name": "get_weather", "arguments": '{"city": "Zürich", "days": 1}'}
    schema = WEATHER["input_schema"]
    chat = {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            USER,
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "a", "content": "RAIN"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "get_weather", "description": "The weather", "parameters": schema},
            }
        ],
    }
    assert http.post("/v1/chat/completions", json=chat).status_code == 200
    assert engine.last_prompt == prompt


def test_stop_sequences(http: httpx2.Client, play: Play) -> None:
    """The answer says which of the sequences ended it."""
    play("It rains. It pours.")
    for sequences, found, text in ((["pour", "rain"], "rain", "It "), (["pours", "x"], "pours", "It rains. It ")):
        answer = whole(http, stop_sequences=sequences)
        assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", found)
        assert answer["content"] == [{"type": "text", "text": text}]
        assert without_ids(streamed(http, stop_sequences=sequences)[0]) == without_ids(answer)
    unmet = whole(http, stop_sequences=["snow"])
    assert (unmet["stop_reason"], unmet["stop_sequence"]) == ("end_turn", None)


def test_the_token_limit(http: httpx2.Client, play: Play) -> None:
    """A call that the limit cuts off has an empty input in a whole answer, and its exact text in a stream."""
    play("It rains.")
    assert whole(http, max_tokens=4)["stop_reason"] == "max_tokens"
    play('get_weather\n{"city": "Zürich"')
    forced: Json = {"tools": TOOLS, "tool_choice": {"type": "any"}}
    answer = whole(http, max_tokens=18, **forced)
    assert answer["stop_reason"] == "max_tokens"
    assert [(block["type"], block["input"]) for block in answer["content"]] == [("tool_use", {})]
    events = named_events(asked(http, stream=True, max_tokens=18, **forced).text)
    partial = strict_message(events)["content"][0]["input"]
    assert partial and '{"city": "Zürich"'.startswith(partial)


def test_counts_equal_the_usage(tiny: httpx2.Client) -> None:
    """Also when most of the prompt comes from the prefix cache, whose tokens count separately."""
    choices: tuple[Json, ...] = ({"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "get_time"})
    for choice in choices:
        fields: Json = {"tools": TOOLS, "tool_choice": choice, "system": "Be brief.", "temperature": 0}
        response = asked(tiny, path="/count_tokens", **fields)
        assert response.json().keys() == {"input_tokens"}
        for _ in range(2):
            usage = whole(tiny, max_tokens=2, **fields)["usage"]
            prompt = usage["input_tokens"] + usage["cache_read_input_tokens"]
            assert prompt == response.json()["input_tokens"]
            assert usage["output_tokens"] <= 2
        assert usage["cache_read_input_tokens"] > 0
        assert streamed(tiny, max_tokens=2, **fields)[0]["usage"] == usage
    body = {"model": "tiny", "messages": [USER]}
    assert tiny.post("/v1/messages/count_tokens", json=body).json()["input_tokens"] > 0


@pytest.mark.parametrize("name", ["get_weather", "get_time"])
def test_a_named_tool_is_the_one_that_is_called(tiny: httpx2.Client, name: str) -> None:
    """Other servers call any tool, or none. The model here is random: only the constraint can choose the tool."""
    choice = {"type": "tool", "name": name}
    answer = whole(tiny, tools=TOOLS, tool_choice=choice, temperature=0)
    [call] = answer["content"]
    assert (call["type"], call["name"], answer["stop_reason"]) == ("tool_use", name, "tool_use")
    assert name == "get_time" or (call["input"]["days"] in (1, 2) and isinstance(call["input"]["city"], str))
    assert name == "get_weather" or call["input"] == {}
    assert without_ids(streamed(tiny, tools=TOOLS, tool_choice=choice, temperature=0)[0]) == without_ids(answer)


def test_any_none_and_at_most_one_call(tiny: httpx2.Client, http: httpx2.Client, play: Play) -> None:
    forced = {"type": "any", "disable_parallel_tool_use": True}
    [call] = whole(tiny, tools=TOOLS, tool_choice=forced, max_tokens=400)["content"]
    assert call["name"] in ("get_weather", "get_time")
    without = whole(tiny, tools=TOOLS, tool_choice={"type": "none"}, max_tokens=8)
    assert all(block["type"] == "text" for block in without["content"])
    play(CALLS)
    one = whole(http, tools=TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert [block["type"] for block in one["content"]] == ["text", "tool_use"]


def test_output_by_a_schema(tiny: httpx2.Client) -> None:
    """The random model can only write what the schema allows."""
    schema = {"type": "object", "properties": {"days": {"enum": [1, 2]}}, "required": ["days"]}
    stated = {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}
    for fields in ({"output_config": {"format": stated}}, {"output_format": stated}):
        [block] = whole(tiny, **fields)["content"]
        assert json.loads(block["text"]) in ({"days": 1}, {"days": 2})


def test_thinking(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Thinking is a block before the text, and is shown to the model again where its prompt format has a place."""
    folder = make_reasoning_folder(tmp_path_factory.mktemp("models") / "qwen3", "qwen3")
    model = shared(load_model(str(folder), served_names=["tiny"], dtype="float32"))
    with staged(model) as stage, httpx2.Client(base_url=stage.url, timeout=60) as client:
        stage.play(stage.thought("Hm. Zürich.") + stage.text("It rains."))
        answer = whole(client, thinking={"type": "enabled", "budget_tokens": 1024})
        thought, text = answer["content"]
        assert (thought["type"], thought["thinking"]) == ("thinking", "Hm. Zürich.")
        assert text == {"type": "text", "text": "It rains."}
        other, events = streamed(client, thinking={"type": "adaptive"})
        assert without_ids(other) == without_ids(answer)
        deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
        assert deltas.index("signature_delta") == deltas.count("thinking_delta")
        history = [USER, {"role": "assistant", "content": answer["content"]}, USER]
        assert whole(client, *history)["stop_reason"] == "end_turn"


# Errors and headers


def test_request_ids_and_ignored_fields(http: httpx2.Client, play: Play) -> None:
    """Anthropic's clients read `request-id`."""
    play("x")
    for path in ("", "/count_tokens"):
        headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b", "x-api-key": "any"}
        thought = {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}],
        }
        asked_for = {"model": "tiny", "max_tokens": 4, "messages": [USER, thought, USER]}
        body = {**asked_for, "foo": 1, "metadata": {"user_id": "u"}}
        response = http.post(f"/v1/messages{path}?beta=true", json=body, headers=headers)
        assert response.status_code == 200
        assert response.headers["request-id"] == response.headers["x-request-id"]
        assert response.headers["x-ignored-fields"] == "foo, messages.thinking"  # the format has no place for it
    assert "request-id" not in http.get("/live").headers
    failed = asked(http, max_tokens=0)
    assert failed.headers["request-id"] == failed.json()["request_id"]


def test_tokens_of_a_prompt_that_is_too_long(http: httpx2.Client) -> None:
    """A client that counts wants to know by how much to shorten the prompt, so the count must not be an error."""
    long = {"role": "user", "content": "x " * 200_000}
    failed = asked(http, messages=[long])
    assert (failed.status_code, failed.json()["error"]["param"]) == (400, "messages")
    assert asked(http, path="/count_tokens", messages=[long]).json()["input_tokens"] > 200_000


@pytest.mark.parametrize("path", ["", "/count_tokens"])
def test_errors_are_anthropics(http: httpx2.Client, path: str) -> None:
    image = {"role": "user", "content": [{"type": "image", "source": {}}]}
    fields: tuple[tuple[Json, int, str, str | None], ...] = (
        ({"model": "nope"}, 404, "not_found_error", None),
        ({"messages": [image]}, 400, "invalid_request_error", "messages[0].content[0]"),
        ({"messages": "x"}, 400, "invalid_request_error", "messages"),
    )
    for given, status, kind, param in fields:
        for stream in (False, True):
            response = asked(http, path=path, **{"stream": stream, **given})
            assert response.status_code == status
            document = response.json()
            assert document.keys() == {"type", "error", "request_id"} and document["type"] == "error"
            assert (document["error"]["type"], document["error"]["param"]) == (kind, param)
            assert response.headers["content-type"] == "application/json"
    for method, status in (("GET", 405), ("DELETE", 405)):
        response = http.request(method, f"/v1/messages{path}")
        assert (response.status_code, response.json()["type"]) == (status, "error")
    assert http.post(f"/v1/messages{path}/x", json={}).json()["error"]["type"] == "not_found_error"


def test_errors_of_the_grammar_name_the_fields_of_this_api(tiny: httpx2.Client) -> None:
    """They named those of chat completions: `tools[1].function.parameters`."""
    parameter = {"type": "string", "pattern": r"^\p{Nope}$"}  # only the compiler of the grammar knows that it is wrong
    schema = {"type": "object", "properties": {"a": parameter}, "required": ["a"], "additionalProperties": False}
    tool = {"name": "f", "strict": True, "input_schema": schema}
    for stream in (False, True):
        error = asked(tiny, tools=[TIME, tool], stream=stream).json()["error"]
        assert (error["param"], error["code"]) == ("tools[1].input_schema", "invalid_function_parameters")


def test_keys(played: tuple[Model, ScriptedEngine]) -> None:
    with (
        serving(create_app(lambda: played[0], Settings(api_keys=["secret-key"]))) as url,
        httpx2.Client(base_url=url) as client,
    ):
        body = {"model": "tiny", "max_tokens": 2, "messages": [USER]}
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            assert client.post(path, json=body, headers={"x-api-key": "secret-key"}).status_code == 200
            refused = client.post(path, json=body, headers={"x-api-key": "other"})
            assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")


def test_an_error_in_a_stream_is_an_event(http: httpx2.Client, play: Play) -> None:
    """After it nothing follows: a client must not take the message for complete."""
    play("It rains.", fails_at=4)
    response = asked(http, stream=True)
    assert response.status_code == 200
    *events, last = named_events(response.text)
    assert events[0]["type"] == "message_start"
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert last["request_id"] == response.headers["request-id"]
    assert asked(http).status_code == 500


def test_strict_openai_refuses_unknown_fields(played: tuple[Model, ScriptedEngine]) -> None:
    with (
        serving(create_app(lambda: played[0], Settings(strict_openai=True))) as url,
        httpx2.Client(base_url=url) as client,
    ):
        assert asked(client, top_k=5, metadata={"user_id": "u"}).status_code == 200
        refused = asked(client, foo=1)
        assert (refused.status_code, refused.json()["type"]) == (400, "error")
        assert refused.json()["error"]["message"] == "Unrecognized request argument supplied: foo"
