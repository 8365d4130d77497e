"""/openapi.json against the server: the examples work, and every answer follows its published schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from inference import Model
from server import ROUTES, create_app
from stores.memory import MemoryStore
from tests.support.abuse_client import CHAT, RAW, RENDER, Answer, Client
from tests.support.request_examples import tool
from tests.support.response_events import numbered
from tests.support.serving import serving
from tests.support.stored import stored
from tests.support.streamed import events
from tests.support.strict_message import named_events
from web.settings import Settings

Json = dict[str, Any]
RESPONSES = "/v1/responses"
COUNT = f"{RESPONSES}/input_tokens"
MESSAGES = "/v1/messages"
EVENTS = "text/event-stream"
PLAIN = "application/json"
STORED = "/v1/responses/{response_id}"


@pytest.fixture(scope="module")
def responses() -> MemoryStore:
    """The store of the server."""
    return MemoryStore()


@pytest.fixture(scope="module")
def functionary(chatml: Model, responses: MemoryStore) -> Iterator[Client]:
    """A server with the tiny model, under the model name of the examples."""
    model = replace(chatml, names=("functionary",))
    with serving(create_app(lambda: model, Settings(response_store=responses))) as url, Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def document(functionary: Client) -> Json:
    document: Json = functionary.send("GET", "/openapi.json").json
    return document


def schema_of(document: Json, method: str, path: str, status: str, content_type: str) -> Draft202012Validator:
    response = document["paths"][path][method.lower()]["responses"][status]
    schema = response["content"][content_type]["schema"]
    return Draft202012Validator({**schema, "components": document["components"]})


def check(document: Json, answer: Answer, method: str, path: str) -> None:
    """Check that the answer follows the published schema for its status and content type."""
    content_type = answer.headers["content-type"].partition(";")[0]
    validator = schema_of(document, method, path, str(answer.status), content_type)
    if content_type == PLAIN:
        validator.validate(answer.json)
        return
    if path == RESPONSES:
        chunks = numbered(answer.body)
    else:
        *texts, done = events(answer.body)
        assert done == "[DONE]"
        chunks = [json.loads(text) for text in texts]
    assert chunks
    for chunk in chunks:
        validator.validate(chunk)


def test_every_example_is_answered_as_published(functionary: Client, document: Json) -> None:
    num_examples = 0
    for path in (CHAT, RENDER, RAW, RESPONSES, COUNT):
        body = document["paths"][path]["post"]["requestBody"]["content"][PLAIN]
        for example in body["examples"].values():
            for stream in (False,) if path in (RENDER, COUNT) else (False, True):
                asked = {**example["value"], "stream": stream}
                if not stream:
                    asked.pop("stream_options", None)
                answer = functionary.post(path, asked)
                assert answer.status == 200, answer
                assert answer.headers["content-type"].startswith(EVENTS if stream else PLAIN)
                check(document, answer, "POST", path)
                num_examples += 1
    assert num_examples >= 20


def test_rare_parts_of_answers_are_as_published(functionary: Client, document: Json) -> None:
    user = {"role": "user", "content": "x"}
    chat = {"model": "functionary", "messages": [user], "max_tokens": 8, "n": 2}
    legacy = {"functions": [tool("f")["function"]], "function_call": {"name": "f"}}
    raw = {"model": "functionary", "prompt": ["x", "y"], "max_tokens": 4, "logprobs": 2, "echo": True, "n": 2}
    for path, body in (
        (CHAT, {**chat, "logprobs": True, "top_logprobs": 2, "metadata": {"k": "v"}}),
        (CHAT, {**chat, **legacy}),
        (RAW, raw),
    ):
        for options in ({}, {"stream": True, "stream_options": {"include_usage": True}}):
            answer = functionary.post(path, {**body, **options})
            assert answer.status == 200, answer
            check(document, answer, "POST", path)
    for stream in (False, True):
        asked = {"model": "functionary", "input": "x", "max_output_tokens": 8, "top_logprobs": 2, "stream": stream}
        check(document, functionary.post(RESPONSES, asked), "POST", RESPONSES)
        custom = {"tools": [{"type": "custom", "name": "f"}], "tool_choice": "required", "max_output_tokens": 40}
        check(document, functionary.post(RESPONSES, {**asked, **custom}), "POST", RESPONSES)


def test_messages_are_as_published(functionary: Client, document: Json) -> None:
    """Anthropic's routes: each example whole, streamed and counted, and an error."""
    count = f"{MESSAGES}/count_tokens"
    body = document["paths"][MESSAGES]["post"]["requestBody"]["content"][PLAIN]
    examples = [example["value"] for example in body["examples"].values()]
    assert len(examples) >= 3
    for path, asked, status in (
        *((MESSAGES, example, 200) for example in examples),
        *((count, example, 200) for example in examples),
        *((path, {}, 400) for path in (MESSAGES, count)),
        (MESSAGES, {**examples[0], "model": "x"}, 404),
    ):
        answer = functionary.post(path, asked)
        assert answer.status == status
        check(document, answer, "POST", path)
    validator = schema_of(document, "POST", MESSAGES, "200", EVENTS)
    for example in examples:
        answer = functionary.post(MESSAGES, {**example, "stream": True})
        for event in named_events(answer.body.decode()):
            validator.validate(event)


def test_errors_and_other_routes_are_as_published(functionary: Client, document: Json) -> None:
    for path, body, status in (
        (CHAT, {}, 400),
        (RENDER, {}, 400),
        (CHAT, {"model": "x", "messages": []}, 400),
        (RAW, {"n": 0}, 400),
        (RESPONSES, {}, 400),
        (COUNT, {}, 400),
    ):
        answer = functionary.post(path, body)
        assert answer.status == status
        check(document, answer, "POST", path)
    unknown = functionary.post(RAW, {"model": "x", "prompt": "x"})
    assert unknown.status == 404
    check(document, unknown, "POST", RAW)
    for path in ("/", "/v1/models", "/v1/tools", "/live", "/ready", "/health"):
        check(document, functionary.send("GET", path), "GET", path)
    for headers in ({}, {"anthropic-version": "2023-06-01"}):
        card = functionary.send("GET", "/v1/models/functionary", headers=headers).json
        schema_of(document, "GET", "/v1/models/{name}", "200", PLAIN).validate(card)
        check(document, functionary.send("GET", "/v1/models", headers=headers), "GET", "/v1/models")
        unknown = functionary.send("GET", "/v1/models/nope", headers=headers)
        schema_of(document, "GET", "/v1/models/{name}", "default", PLAIN).validate(unknown.json)


def test_the_routes_of_other_servers_are_as_published(functionary: Client, document: Json) -> None:
    """The routes that Ollama and vLLM have, by their published examples."""
    for path in ("/api/version", "/api/tags"):
        check(document, functionary.send("GET", path), "GET", path)
    for path in ("/api/show", "/tokenize", "/detokenize"):
        body = document["paths"][path]["post"]["requestBody"]["content"][PLAIN]
        assert body["examples"]
        for example in body["examples"].values():
            answer = functionary.post(path, example["value"])
            assert answer.status == 200, answer
            check(document, answer, "POST", path)
        wrong = functionary.post(path, {"model": 5})
        assert wrong.status == 400
        check(document, wrong, "POST", path)


def test_stored_responses_are_as_published(functionary: Client, document: Json, responses: MemoryStore) -> None:
    responses.put("", stored("1", num_items=3))
    for method, path, query, status in (
        ("GET", STORED, "", 200),
        ("GET", STORED, "?stream=true", 400),
        ("GET", f"{STORED}/input_items", "?limit=2", 200),
        ("GET", f"{STORED}/input_items", "?after=msg_0", 200),
        ("POST", f"{STORED}/cancel", "", 400),
        ("DELETE", STORED, "", 200),
        ("DELETE", STORED, "", 404),
    ):
        answer = functionary.send(method, path.replace("{response_id}", "resp_1") + query)
        assert answer.status == status
        schema_of(document, method, path, "200" if status == 200 else "default", PLAIN).validate(answer.json)


def test_published_names_are_those_of_the_models(document: Json) -> None:
    """Two models of one name were published by the paths of their files."""
    assert [name for name in document["components"]["schemas"] if "__" in name] == []


def test_every_route_is_listed(document: Json) -> None:
    routes = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert routes == {(route.method.lower(), route.path.replace(":path", "")) for route in ROUTES}
    assert document["info"]["title"] == "Functionary"
    for operation in (document["paths"][path]["post"] for path in (CHAT, RENDER, RAW, RESPONSES, COUNT, MESSAGES)):
        assert {"200", "400", "401", "404", "429", "500", "503"} <= operation["responses"].keys()
        assert operation["requestBody"]["required"]


def test_every_reference_points_to_a_component(document: Json) -> None:
    components = document["components"]["schemas"]
    text = json.dumps(document)
    names = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names == components.keys()


def test_the_page_shows_the_document(functionary: Client) -> None:
    page = functionary.send("GET", "/docs")
    assert page.status == 200
    assert b"/openapi.json" in page.body
