"""Tests of `server.py --tool-search N`: requests with many tools, of which the model is shown some."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from openai import OpenAI

from inference import Model
from server import create_app
from tests.support.scripted_engine import ScriptedEngine, scripted
from tests.support.serving import serving
from train.everyday.catalogue import TASKS
from web.command_line import read_options
from web.settings import Settings

NAMES = [task.name for task in TASKS]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": task.name,
            "description": task.description,
            "parameters": json.loads(json.dumps(task.function.parameters)),
        },
    }
    for task in TASKS
]
LIGHT = [{"role": "user", "content": "Turn off the light in the kitchen"}]
SHOWN = f"5 of {len(TOOLS)}"


@pytest.fixture(scope="module")
def served(chatml: Model) -> tuple[Model, ScriptedEngine]:
    return scripted(chatml, "all\nhello", max_context=60_000)


@pytest.fixture(scope="module")
def app(served: tuple[Model, ScriptedEngine]) -> FastAPI:
    return create_app(lambda: served[0], Settings(tool_search=5))


def post(url: str, path: str, **body: object) -> httpx2.Response:
    response = httpx2.post(url + path, json={"model": "tiny", **body}, timeout=60)
    assert response.status_code == 200, response.text
    return response


def shown_in(prompt: str) -> set[str]:
    return {name for name in NAMES if f"type {name} = " in prompt}


def last_prompt(served: tuple[Model, ScriptedEngine]) -> set[str]:
    model, engine = served
    return shown_in(model.tokenizer.decode(engine.last_prompt))


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_completion_shows_the_nearest(url: str, served: tuple[Model, ScriptedEngine], stream: bool) -> None:
    response = post(url, "/v1/chat/completions", messages=LIGHT, tools=TOOLS, stream=stream)
    assert response.headers["x-tools-shown"] == SHOWN
    assert "switch_light" in last_prompt(served) and len(last_prompt(served)) == 5


def test_functions_of_the_older_form_are_searched(url: str, served: tuple[Model, ScriptedEngine]) -> None:
    functions = [tool["function"] for tool in TOOLS]
    response = post(url, "/v1/chat/completions", messages=LIGHT, functions=functions)
    assert response.headers["x-tools-shown"] == SHOWN and "switch_light" in last_prompt(served)


def test_a_response_and_a_message_show_the_nearest(url: str, served: tuple[Model, ScriptedEngine]) -> None:
    flat = [{"type": "function", **tool["function"]} for tool in TOOLS]
    response = post(url, "/v1/responses", input="Turn off the light in the kitchen", tools=flat)
    assert response.headers["x-tools-shown"] == SHOWN and "switch_light" in last_prompt(served)
    assert len(response.json()["tools"]) == len(TOOLS), "the answer repeats the request's tools"
    named = [
        {
            "name": tool["function"]["name"],
            "description": tool["function"]["description"],
            "input_schema": tool["function"]["parameters"],
        }
        for tool in TOOLS
    ]
    response = post(url, "/v1/messages", messages=LIGHT, tools=named, max_tokens=20)
    assert response.headers["x-tools-shown"] == SHOWN and "switch_light" in last_prompt(served)


def test_counts_and_the_rendered_prompt_are_those_of_the_prompt(url: str) -> None:
    usage = post(url, "/v1/chat/completions", messages=LIGHT, tools=TOOLS).json()["usage"]
    rendered = post(url, "/v1/chat/completions/render", messages=LIGHT, tools=TOOLS)
    tokenized = post(url, "/tokenize", messages=LIGHT, tools=TOOLS)
    assert rendered.headers["x-tools-shown"] == tokenized.headers["x-tools-shown"] == SHOWN
    assert len(shown_in(rendered.json()["prompt"])) == 5
    assert rendered.json()["prompt_tokens"] == tokenized.json()["count"] == usage["prompt_tokens"]


def test_few_tools_and_requests_without_tools_have_no_header(url: str) -> None:
    for tools in ({"tools": TOOLS[:5]}, {}, {"tools": TOOLS, "tool_choice": "none"}):
        assert "x-tools-shown" not in post(url, "/v1/chat/completions", messages=LIGHT, **tools).headers
    assert "x-tools-shown" not in post(url, "/v1/completions", prompt="Once").headers


def test_a_named_and_allowed_tools_are_shown(chatml: Model, url: str, served: tuple[Model, ScriptedEngine]) -> None:
    named = {"type": "function", "function": {"name": "roll_dice"}}
    response = post(url, "/v1/chat/completions", messages=LIGHT, tools=TOOLS, tool_choice=named)
    assert response.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "roll_dice"
    assert last_prompt(served) == {"roll_dice"} and response.headers["x-tools-shown"] == f"1 of {len(TOOLS)}"

    def allowed(names: list[str]) -> dict[str, object]:
        tools = [{"type": "function", "function": {"name": name}} for name in names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}

    few = ["roll_dice", "is_prime"]
    post(url, "/v1/chat/completions", messages=LIGHT, tools=TOOLS, tool_choice=allowed(few))
    assert last_prompt(served) == set(few)
    many = NAMES[:60]
    post(url, "/v1/chat/completions", messages=LIGHT, tools=TOOLS, tool_choice=allowed(many))
    assert len(last_prompt(served)) == 5 and last_prompt(served) <= set(many)


def test_a_function_that_was_called_stays(url: str, served: tuple[Model, ScriptedEngine]) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "roll_dice", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": "Roll a die"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
        *LIGHT,
    ]
    post(url, "/v1/chat/completions", messages=talk, tools=TOOLS)
    assert {"roll_dice", "switch_light"} <= last_prompt(served)


def test_a_hidden_tool_cannot_be_called(chatml: Model) -> None:
    """The constraint of `required` has the shown names only."""
    model, engine = scripted(chatml, "switch_light\n{}", max_context=60_000)
    with serving(create_app(lambda: model, Settings(tool_search=5))) as url:
        post(url, "/v1/chat/completions", messages=LIGHT, tools=TOOLS, tool_choice="required")
    assert engine.last_sampling is not None
    bound = str(engine.last_sampling.constraint)
    assert "switch_light" in bound and "roll_dice" not in bound and "roll_dice" in NAMES


def test_the_official_client_reads_the_header(official: OpenAI) -> None:
    raw = official.chat.completions.with_raw_response.create(model="tiny", messages=LIGHT, tools=TOOLS)  # type: ignore[arg-type]
    assert raw.headers["x-tools-shown"] == SHOWN and raw.parse().choices[0].message.content == "hello"


def test_without_the_option_all_tools_are_shown(chatml: Model) -> None:
    model, engine = scripted(chatml, "all\nhello", max_context=60_000)
    assert read_options([]).tool_search is None and read_options(["--tool-search", "7"]).tool_search == 7
    with serving(create_app(lambda: model)) as url:
        response = post(url, "/v1/chat/completions", messages=LIGHT, tools=TOOLS)
    assert "x-tools-shown" not in response.headers and shown_in(model.tokenizer.decode(engine.last_prompt)) == set(
        NAMES
    )


@pytest.mark.parametrize("wrong", ["0", "-1", "ten"])
def test_a_wrong_number_ends_the_start_with_one_line(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read_options([f"--tool-search={wrong}"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        f"functionary: --tool-search: '{wrong}' is not a whole number above 0; --help lists the options\n"
    )
