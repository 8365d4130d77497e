"""Guarantees begin behind the reasoning: random models reason freely, and then answer as the request demands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from inference import Model, load_model
from server import create_app
from tests.support.abuse_client import CHAT, USER
from tests.support.reasoning_model import FORMATS, make_reasoning_folder
from tests.support.serving import serving, shared

SCHEMA = {
    "type": "object",
    "properties": {"side": {"enum": ["left", "right"]}},
    "required": ["side"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("turn", "look")]
NAMED = {"type": "function", "function": {"name": "look"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "side", "strict": True, "schema": SCHEMA}}
# Control tokens that make a random model begin its reasoning, and end it after a few tokens.
LIKELY = {
    "qwen3": {"<think>": 100, "</think>": 4},
    "qwen3_thinking": {"</think>": 4},
    "gpt_oss": {"<|end|>": 4},
}


@pytest.fixture(scope="module", params=FORMATS)
def random(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = make_reasoning_folder(tmp_path_factory.mktemp("models") / request.param, request.param)
    return shared(load_model(str(folder), served_names=["tiny"], dtype="float32"))


@pytest.fixture(scope="module")
def random_url(random: Model) -> Iterator[str]:
    with serving(create_app(lambda: random)) as url:
        yield url


def answers(random: Model, url: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the messages of several answers, at least one of which has reasoning."""
    bias = {str(random.tokenizer.token_id(text)): value for text, value in LIKELY[random.template.name].items()}
    messages = []
    for seed in range(4):
        sampling = {"temperature": 1, "seed": seed, "max_tokens": 400, "logit_bias": bias}
        answer = httpx2.post(f"{url}{CHAT}", json={"model": "tiny", "messages": [USER], **sampling, **fields})
        assert answer.status_code == 200, answer.text
        [choice] = answer.json()["choices"]
        assert choice["finish_reason"] != "length"
        messages.append(choice["message"])
    assert any("reasoning_content" in message for message in messages)
    return messages


@pytest.mark.parametrize("choice", ["required", NAMED], ids=["required", "named"])
def test_forced_calls(random: Model, random_url: str, choice: Any) -> None:
    names = {"look"} if choice == NAMED else {"look", "turn"}
    for message in answers(random, random_url, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False):
        assert message["content"] is None
        [call] = message["tool_calls"]
        assert call["function"]["name"] in names
        assert json.loads(call["function"]["arguments"])["side"] in ("left", "right")


def test_a_response_format(random: Model, random_url: str) -> None:
    for message in answers(random, random_url, response_format=FORMAT):
        assert json.loads(message["content"])["side"] in ("left", "right")
        assert "tool_calls" not in message
