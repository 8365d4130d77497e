"""Both positions of --strict-openai over HTTP: what is served by default, named as ignored, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from inference import Model
from server import create_app
from tests.support.abuse_client import CHAT, RAW, USER, Client
from tests.support.scripted_engine import ScriptedEngine
from tests.support.serving import serving
from tests.support.started_server import started
from web.command_line import read_options
from web.settings import Settings

MCP = "github.create_issue"
ALIAS = "github_create_issue"
TOOLS: list[Any] = [{"type": "function", "function": {"name": MCP, "parameters": {"type": "object", "properties": []}}}]
STRICT = {"name": "f", "strict": True, "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}
# One request for each rule that only costs the caller.
SERVED: dict[str, dict[str, Any]] = {
    "an MCP name": {"tools": TOOLS},
    "1,024 tools": {"tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(1024)]},
    "no tools": {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
    "a choice without tools": {"tool_choice": "auto"},
    "[] as parameters": {"functions": [{"name": "f", "parameters": []}]},
    "null in a schema": {"functions": [{"name": "f", "parameters": {"required": None}}]},
    "an open strict schema": {"tools": [{"type": "function", "function": STRICT}]},
    "json without the word": {"response_format": {"type": "json_object"}},
    "both limits": {"max_tokens": 1, "max_completion_tokens": 1},
    "five stops": {"stop": ["1", "2", "3", "4", "5"]},
    "an empty turn": {"messages": [USER, {"role": "assistant", "content": None}, USER]},
    "an unknown field": {"chat_template": "x"},
}


@pytest.fixture(scope="module")
def strict_url(played: tuple[Model, ScriptedEngine]) -> Iterator[str]:
    with serving(create_app(lambda: played[0], Settings(strict_openai=True))) as url:
        yield url


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.parametrize("stream", [False, True])
def test_every_rule_of_the_switch(played_url: str, strict_url: str, name: str, stream: bool) -> None:
    with Client(played_url) as client:
        assert client.chat(**SERVED[name], stream=stream).status == 200
    with Client(strict_url) as client:
        answer = client.chat(**SERVED[name], stream=stream)
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(("path", "fields"), [(CHAT, {"messages": [USER]}), (RAW, {"prompt": "x"})])
def test_unknown_fields(played_url: str, strict_url: str, path: str, fields: dict[str, Any]) -> None:
    body = {"model": "tiny", **fields, "chat_template": "x"}
    with Client(played_url) as client:
        assert client.post(path, body).headers["x-ignored-fields"] == "chat_template"
    with Client(strict_url) as client:
        error = client.post(path, body).error
        expected = ("Unrecognized request argument supplied: chat_template", None, None)
        assert (error["message"], error["param"], error["code"]) == expected


TALK = [{**USER, "name": "ada"}, {"role": "assistant", "content": None, "reasoning_content": "Hm."}, USER]


@pytest.mark.parametrize("stream", [False, True])
def test_fields_of_messages_without_a_place_in_the_format(played_url: str, strict_url: str, stream: bool) -> None:
    """They were dropped without a word. OpenAI has `name`, so it is no error with --strict-openai either."""
    with Client(played_url) as client:
        answer = client.chat(messages=TALK, stream=stream, zzz=1)
        assert answer.headers["x-ignored-fields"] == "zzz, messages.name, messages.reasoning_content"
        assert "x-ignored-fields" not in client.chat().headers
    with Client(strict_url) as client:
        answer = client.chat(messages=TALK[:1], stream=stream)
        assert (answer.status, answer.headers["x-ignored-fields"]) == (200, "messages.name")


def test_fields_of_messages_with_a_place_in_the_format(
    played_url: str, played: tuple[Model, ScriptedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(played[0].template, "renders_names", True, raising=False)
    monkeypatch.setattr(played[0].template, "renders_reasoning", True, raising=False)
    with Client(played_url) as client:
        answer = client.chat(messages=TALK)
        assert (answer.status, answer.headers.get("x-ignored-fields")) == (200, None)


def test_an_mcp_tool_with_the_official_client(
    played_url: str, played: tuple[Model, ScriptedEngine], play: Callable[..., ScriptedEngine]
) -> None:
    """A round as an agent makes it: call, result, answer. The model has the alias, the client its own name."""
    with OpenAI(base_url=f"{played_url}/v1", api_key="none", max_retries=0) as client:
        asked: dict[str, Any] = {"model": "tiny", "messages": [USER], "tools": TOOLS}
        play(f"{ALIAS}\n{{}}")
        message = client.chat.completions.create(**asked).choices[0].message
        assert message.tool_calls
        [whole] = message.tool_calls
        with client.chat.completions.stream(**asked) as stream:
            calls = stream.get_final_completion().choices[0].message.tool_calls
        assert calls
        [streamed] = calls
        assert whole.type == "function" and whole.function.name == streamed.function.name == MCP
        engine = play("all\nIt is done.")
        history = [USER, message.model_dump(), {"role": "tool", "tool_call_id": whole.id, "content": "done"}]
        answer = client.chat.completions.create(**{**asked, "messages": history})
        assert answer.choices[0].message.content == "It is done."
    prompt = played[0].tokenizer.decode(engine.last_prompt)
    assert prompt.count(ALIAS) == 2 and MCP not in prompt  # its declaration and its call


@pytest.mark.parametrize("stream", [False, True])
def test_an_mcp_name_in_the_older_form(played_url: str, play: Callable[..., ScriptedEngine], stream: bool) -> None:
    play("{}")
    fields = {"functions": [{"name": MCP}], "function_call": {"name": MCP}, "stream": stream}
    with Client(played_url) as client:
        body = client.chat(**fields).body.decode()
    assert body.count(MCP) == 1 and ALIAS not in body


def test_the_option_reaches_the_server(chatml_folder: Path) -> None:
    assert not read_options([]).strict_openai
    options = ("--model", str(chatml_folder), "--served-model-name", "tiny", "--strict-openai")
    with started(*options) as server, Client(server.url) as client:
        assert client.chat(tools=[]).error["code"] == "empty_array"
