"""The official client of Anthropic: text, tools and their choices, streams, typed answers, token counts and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.clients.conftest import Conversing
from tests.support.client_environments import Environments, run_client
from tests.support.started_server import ROOT

SCRIPT = ROOT / "tests" / "clients" / "scripts" / "anthropic_client.py"
PARTS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"]


@pytest.fixture(scope="module", params=["anthropic"])
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def found(
    environment: str,
    environments: Environments,
    conversing_server: Conversing,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What the client has received, from one run of the script."""
    printed: dict[str, Any] = json.loads(
        run_client(
            conversing_server.url, environments.python(environment), str(SCRIPT), home=tmp_path_factory.mktemp("home")
        )
    )
    return printed


def without_ids(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message without ids, and without the field that the client adds to messages of streams."""
    blocks = [{key: value for key, value in block.items() if key != "id"} for block in message["content"]]
    return {**message, "id": "", "content": blocks, "stop_details": None}


def calls(message: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(block["name"], block["input"]) for block in message["content"] if block["type"] == "tool_use"]


def test_text_whole_and_streamed(found: dict[str, Any]) -> None:
    text = found["text"]
    assert text["content"] == [{"type": "text", "text": "Hello there."}]
    assert (text["type"], text["role"], text["stop_reason"]) == ("message", "assistant", "end_turn")
    assert without_ids(found["text streamed"]) == without_ids(text)
    assert list(dict.fromkeys(found["raw events"])) == [*PARTS, "message_stop"]
    assert found["events"][-1] == "message_stop"


def test_tokens_are_counted_before_the_request(found: dict[str, Any]) -> None:
    assert found["counted"]["input_tokens"] == found["text"]["usage"]["input_tokens"] > 0


def test_models(found: dict[str, Any]) -> None:
    """The client reads the list in Anthropic's shape, which the header anthropic-version selects."""
    assert "functionary" in [model["id"] for model in found["models"]]
    assert {model["type"] for model in found["models"]} == {"model"}


def test_tool_choices(found: dict[str, Any]) -> None:
    asked = [("get_weather", {"city": "Paris"})]
    assert {kind: calls(message) for kind, message in found["choices"].items()} == {
        "auto": asked,
        "any": asked,
        "none": [],
    }
    assert calls(found["called by name"]) == asked


def test_call_whole_and_streamed_and_its_result(found: dict[str, Any]) -> None:
    assert found["call"]["stop_reason"] == "tool_use"
    assert json.loads("".join(found["partial json"])) == {"city": "Paris"}
    assert without_ids(found["call streamed"]) == without_ids(found["call"])
    assert found["answer"]["content"] == [{"type": "text", "text": "It is 21 degrees in Paris."}]


def test_typed_answer(found: dict[str, Any]) -> None:
    assert found["parsed"] == {"city": "Paris", "degrees": 21}


def test_stop_reasons(found: dict[str, Any]) -> None:
    stopped, cut = found["stopped"], found["cut"]
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "there")
    assert stopped["content"] == [{"type": "text", "text": "Hello "}]
    assert cut["stop_reason"] == "max_tokens"


def test_errors_raise_the_exceptions_of_the_client(found: dict[str, Any]) -> None:
    assert len(found["errors"]) == 6
    for name, (raised, body, request_id) in found["errors"].items():
        assert raised == name.split()[0]
        assert body["type"] == "error"
        assert body["error"]["type"] in ("invalid_request_error", "not_found_error")
        assert body["error"]["message"]
        assert body["request_id"] == request_id
