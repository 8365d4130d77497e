"""Whole requests and their parsed form. Any JSON value gives either a request or a RequestError."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import openai
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apis.chat_completions import chat_request
from apis.completions import completion_request
from core.conversation import ChatRequest, CompletionRequest, Function, Message, ToolChoice
from core.errors import RequestError
from tests.support.request_examples import (
    FULL,
    LEGACY,
    RAW,
    STRICT_PARAMETERS,
    USER,
    answer,
    asks,
    chat,
    error_of,
    strict_error_of,
    tool,
)
from tests.support.work import num_lines


def test_a_plain_request() -> None:
    request = chat()
    assert request.messages == (Message("user", "Weather in Paris?"),)
    assert (request.model, request.n, request.stream, request.tools) == ("m", 1, False, ())
    assert request.choice == ToolChoice("none") and not request.legacy and request.ignored == ()


def test_null_means_not_given() -> None:
    optional = FULL.keys() | LEGACY.keys() | {"audio", "moderation", "web_search_options", "suffix"}
    assert chat(**dict.fromkeys(optional - {"model", "messages"})) == chat(suffix=None)


def test_fields_that_change_nothing() -> None:
    accepted = {"user": "u", "store": True, "service_tier": "auto"}
    assert chat(**accepted, verbosity="low", modalities=["text"]) == chat()
    assert chat(logprobs=True).sampling.logprobs == 0
    assert chat(logprobs=False).sampling.logprobs is None
    assert chat(stop="").sampling.stop == chat(stop=[]).sampling.stop == ()


def test_a_prediction_is_a_text_or_its_parts() -> None:
    assert chat(prediction={"type": "content", "content": "a b"}).prediction == "a b"
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": " b"}]
    assert chat(prediction={"type": "content", "content": parts}).prediction == "a b"
    for wrong, param in (
        ({}, "prediction.type"),
        ({"type": "content"}, "prediction.content"),
        ({"type": "text", "content": "x"}, "prediction.type"),
        ({"type": "content", "content": 5}, "prediction.content"),
    ):
        with pytest.raises(RequestError) as caught:
            chat(prediction=wrong)
        assert caught.value.param == param


def test_unknown_fields_are_ignored_by_name() -> None:
    """Unknown fields are ignored, and a response header names them.

    Characters of a name that a header does not allow are replaced, and long names are cut.
    """
    assert chat(mirostat=2, chat_template="{{7*7}}").ignored == ("mirostat", "chat_template")
    assert chat(**{"x\r\nSet-Cookie: é": 1, "y" * 100: 1}).ignored == ("x??Set-Cookie:??", "y" * 64)
    assert chat(**{" ": 1, "": 1, "x ": 1}).ignored == (
        "?",
        "?",
        "x?",
    )  # regression test: a space at the end of a header broke the connection
    assert len(chat(**{f"x{i}": i for i in range(10_000)}).ignored) == 20


def test_response_format() -> None:
    assert chat(response_format={"type": "text"}).response_format.kind == "text"
    says_json = {"role": "user", "content": "Answer in JSON"}
    assert chat(says_json, response_format={"type": "json_object"}).response_format.kind == "json_object"
    json_schema = {"name": "x", "schema": STRICT_PARAMETERS, "strict": True}
    response_format = chat(response_format={"type": "json_schema", "json_schema": json_schema}).response_format
    assert (response_format.schema, response_format.strict) == (STRICT_PARAMETERS, True)
    for key in ("name", "schema"):
        broken = {"type": "json_schema", "json_schema": {**json_schema, key: None}}
        assert error_of(response_format=broken)[1] == f"response_format.json_schema.{key}"


class Place(pydantic.BaseModel):
    """Where."""

    city: str = pydantic.Field(description="The city")
    country: str | None


class GetWeather(pydantic.BaseModel):
    """Look outside."""

    place: Place
    others: list[Place]


def test_what_the_official_client_makes_of_pydantic_models_is_accepted() -> None:
    made: Any = openai.pydantic_function_tool(GetWeather)
    [function] = chat(tools=[made]).tools
    assert isinstance(function, Function)
    assert (function.name, function.description, function.strict) == ("GetWeather", "Look outside.", True)
    schema = {"type": "json_schema", "json_schema": {"name": "GetWeather", "schema": function.parameters}}
    assert chat(response_format=schema).response_format.schema == function.parameters


VALUES: list[object] = [None, True, 0, -1, 1.5, 10**300, 1e300, "", "x", [], [None], {}, {"x": None}, [[]], ["x"], [{}]]


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the path of every value inside a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def put(document: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    target: Any = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return changed


def check_total(body: Any) -> None:
    """Check that each reader returns a request or raises a RequestError with a message."""
    for read in (chat_request, completion_request, lambda value: chat_request(value, strict_openai=True)):
        try:
            assert isinstance(read(body), ChatRequest | CompletionRequest)
        except RequestError as error:
            assert 0 < len(error.message) <= 500
            assert error.param is None or 0 < len(error.param) <= 300


@pytest.mark.parametrize("document", [FULL, LEGACY, RAW], ids=["full", "legacy", "raw"])
def test_every_field_with_values_of_every_type(document: dict[str, Any]) -> None:
    read = completion_request if document is RAW else chat_request
    assert isinstance(read(document), ChatRequest | CompletionRequest)
    for path in places(document):
        for value in VALUES:
            check_total(put(document, path, value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_at_all(body: object) -> None:
    check_total(body)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_json_anywhere_in_a_request(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([FULL, LEGACY, RAW]))
    for path in data.draw(st.lists(st.sampled_from(list(places(document))), max_size=3, unique_by=lambda p: p[0])):
        document = put(document, path, data.draw(JSON))
    check_total(document)


def test_work_grows_with_the_request_and_no_faster() -> None:
    def messages(num: int) -> int:
        turns = [USER, asks("a"), answer("a"), {"role": "assistant", "content": "x"}]
        return num_lines(partial(chat_request, {"model": "m", "messages": turns * num}))

    def parts(num: int) -> int:
        content = [{"type": "text", "text": "x"}] * num
        return num_lines(partial(chat_request, {"model": "m", "messages": [{"role": "user", "content": content}]}))

    assert num_lines(partial(chat_request, FULL)) < 4_000  # it was 2,088 lines when this test was written
    assert messages(1024) < 8.5 * messages(128)
    assert parts(20_000) < 10.5 * parts(2_000)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_object", "schema": {}}}, "response_format.schema"),
        ({"messages": [{**USER, "cache_control": {}}]}, "messages[0].cache_control"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "", "id": 1}]}]},
            "messages[0].content[0].id",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "", "reasoning_content": "Hm."}]},
            "messages[1].reasoning_content",
        ),
        ({"tools": [{**tool(), "": 1}]}, "tools[0]."),
        ({"tools": [tool(eager=True)]}, "tools[0].function.eager"),
        ({"stream": True, "stream_options": {"{path}": 1}}, "stream_options.(path}"),
    ],
)
def test_unknown_fields_inside_are_an_error_with_strict_openai(fields: dict[str, Any], param: str) -> None:
    """Only unknown fields of the body itself were refused; OpenAI refuses `cache_control` of messages and the like."""
    says_json = {"role": "user", "content": "JSON"}
    expected = (f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    assert strict_error_of(**{"messages": [says_json], **fields}) == expected


def test_an_answer_is_a_message_of_the_next_request_with_strict_openai() -> None:
    """OpenAI takes its own answers as history, with the fields that this server does not read."""
    earlier: dict[str, Any] = {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "annotations": [],
        "audio": None,
    }
    body = {"model": "m", "messages": [USER, earlier, USER]}
    assert len(chat_request(body, strict_openai=True).messages) == 3
