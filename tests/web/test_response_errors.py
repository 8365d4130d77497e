"""Errors of /v1/responses over a real socket: before an answer, in a stream, and of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from openai import OpenAI

from core.errors import StoreError
from inference import Model
from server import create_app
from stores.memory import MemoryStore
from stores.store import StoredResponse
from tests.support.abuse_client import Client
from tests.support.response_events import check_types, numbered
from tests.support.scripted_engine import ScriptedEngine
from tests.support.serving import serving
from web.settings import Settings

Json = dict[str, Any]
Play = Callable[..., ScriptedEngine]
PATH = "/v1/responses"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": CITY}
PATCH: Any = {"type": "custom", "name": "patch", "description": "Edit files"}
BODY: Json = {"model": "tiny", "input": "Weather?"}


class FailingStore(MemoryStore):
    """A store whose disk can fail."""

    fails = False

    def put(self, owner: str, stored: StoredResponse) -> bool:
        if self.fails:
            raise StoreError("The responses cannot be written now.")
        return super().put(owner, stored)

    def get(self, owner: str, response_id: str) -> StoredResponse | None:
        if self.fails:
            raise StoreError("The responses cannot be read now.")
        return super().get(owner, response_id)


@pytest.fixture(scope="module")
def store() -> FailingStore:
    return FailingStore()


@pytest.fixture(scope="module")
def app(played: tuple[Model, ScriptedEngine], store: FailingStore) -> FastAPI:
    return create_app(lambda: played[0], Settings(response_store=store))


@pytest.fixture(scope="module")
def strict_url(played: tuple[Model, ScriptedEngine]) -> Iterator[str]:
    with serving(create_app(lambda: played[0], Settings(strict_openai=True))) as url:
        yield url


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors_before_the_answer_are_statuses(raw: Client, stream: bool) -> None:
    long = raw.post(PATH, {"model": "tiny", "input": "a b " * 60_000, "stream": stream})
    assert (long.status, long.error["param"], long.error["code"]) == (400, "input", "context_length_exceeded")
    other = raw.post(PATH, {"model": "x", "input": "Hi", "stream": stream})
    assert (other.status, other.error["code"]) == (404, "model_not_found")
    wrong = raw.post(PATH, {**BODY, "input": [{"role": "x"}], "stream": stream})
    assert (wrong.status, wrong.error["param"]) == (400, "input[0].role")


def test_an_engine_that_fails_in_a_stream(raw: Client, play: Play) -> None:
    play("Hello there", fails_at=3)
    events = numbered(raw.post(PATH, {**BODY, "stream": True}).body)
    check_types(events)
    assert events[-1]["type"] == "error"
    assert events[-1]["code"] == "internal_error"


def test_a_store_that_cannot_be_written(raw: Client, play: Play, store: FailingStore) -> None:
    """A whole answer becomes a 503 that clients try again, and a stream ends with the error in place of its end.

    A request that needs no store is served.
    """
    play("Hello")
    kept = raw.post(PATH, BODY).json["id"]
    store.fails = True
    try:
        whole = raw.post(PATH, BODY)
        assert (whole.status, whole.error["code"]) == (503, "store_unavailable")
        events = numbered(raw.post(PATH, {**BODY, "stream": True}).body)
        assert events[-1]["type"] == "error"
        assert events[-1]["code"] == "store_unavailable"
        assert events[-2]["type"] == "response.output_item.done"
        assert raw.post(PATH, {**BODY, "previous_response_id": kept}).status == 503
        assert raw.post(PATH, {**BODY, "store": False}).status == 200
    finally:
        store.fails = False
    assert raw.post(PATH, {**BODY, "previous_response_id": kept}).status == 200


def test_an_answer_that_is_larger_than_the_store_says_that_it_is_not_kept(
    raw: Client, play: Play, store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    play("Hello")
    monkeypatch.setattr(store, "put", lambda owner, stored: False)
    assert raw.post(PATH, BODY).json["store"] is False
    assert numbered(raw.post(PATH, {**BODY, "stream": True}).body)[-1]["response"]["store"] is False


def test_unknown_fields(raw: Client, strict_url: str, play: Play) -> None:
    play("Hello")
    answer = raw.post(PATH, {**BODY, "mystery": 1})
    assert (answer.status, answer.headers["x-ignored-fields"]) == (200, "mystery")
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
    items = [{"role": "user", "content": "Hi"}, thought, {"role": "assistant", "content": "Hello"}]
    answer = raw.post(PATH, {**BODY, "input": items})
    assert answer.headers["x-ignored-fields"] == "input.reasoning"  # the prompt format has no place for it
    with Client(strict_url) as client:
        refused = client.post(PATH, {**BODY, "mystery": 1})
        assert (refused.status, refused.error["message"]) == (400, "Unrecognized request argument supplied: mystery")
        assert client.post(PATH, BODY).status == 200


def test_errors_of_later_stages_name_the_fields_of_this_api(tiny_url: str) -> None:
    """The prompt and the grammars are made from a ChatRequest, whose errors named the fields of chat completions."""
    parameter = {"type": "string", "pattern": r"^\p{Nope}$"}  # only the compiler of the grammar knows that it is wrong
    schema = {"type": "object", "properties": {"a": parameter}, "required": ["a"], "additionalProperties": False}
    tool = {**WEATHER, "strict": True, "parameters": schema}
    group = {"type": "namespace", "name": "n", "tools": [PATCH, tool]}
    cases: tuple[tuple[Json, str], ...] = (
        ({"input": "x " * 100_000}, "input"),
        ({"tools": [tool]}, "tools[0].parameters"),
        ({"tools": [{"type": "web_search"}, WEATHER, group]}, "tools[2].tools[1].parameters"),
    )
    with Client(tiny_url) as client:
        for fields, param in cases:
            answer = client.post(PATH, {**BODY, **fields})
            assert (answer.status, answer.error["param"]) == (400, param), answer


def test_responses_that_are_not_kept(official: OpenAI, raw: Client, play: Play) -> None:
    play("Hello")
    unknown = ["resp_0", official.responses.create(model="tiny", input="Hi", store=False).id]
    for response_id in unknown:
        with pytest.raises(openai.BadRequestError) as caught:
            official.responses.create(model="tiny", input="Hi", previous_response_id=response_id)
        assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")
