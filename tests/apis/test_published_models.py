"""The published schemas of requests agree with what the server accepts.

Every field, type, limit and default is checked in both directions: what the schema allows is accepted, and nothing
else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsStreaming as TextParams
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming as ResponseParams

from apis import chat_completions, completions, messages, responses
from apis.chat_completions import ChatCompletionRequest, chat_request
from apis.completions import TextCompletionRequest, completion_request
from apis.messages import MessagesRequest, messages_request
from apis.responses import ResponseRequest, response_request
from apis.rules.fields import Shape, read
from core.conversation import ChatRequest
from core.errors import RequestError
from server import create_app
from tests.support.published import SAMPLES, Json, Place, Published, bounds, put, without
from tests.support.request_examples import FULL, LEGACY, PARAMETERS, RAW, USER, tool
from tests.support.server_tools import served

PARTS = [{"type": "text", "text": "x"}]
CALL = {"name": "f", "arguments": "{}"}
GRAMMARS: list[Json] = [
    {"type": "text"},
    {"type": "grammar", "syntax": "regex", "definition": "a"},
    {"type": "grammar", "grammar": {"syntax": "lark", "definition": "a"}},
]
CUSTOM = [
    {"type": "custom", "custom": {"name": f"custom_{number}", "description": "d", "format": grammar}}
    for number, grammar in enumerate(GRAMMARS)
]
TOOLS = {"tools": [tool("f", strict=False), *CUSTOM, {"type": "code_interpreter"}, {"type": "reasoning"}]}
SWITCHES = {"enable_thinking": True, "thinking": True, "reasoning_effort": "low"}
CONSTRAINTS: list[Json] = [
    *({"structured_outputs": {"json": schema}} for schema in (PARAMETERS, "{}")),
    *({field: schema} for field in ("guided_json", "json_schema") for schema in (PARAMETERS, "{}")),
    *({field: "a"} for field in ("guided_regex", "guided_grammar", "grammar", "regex", "ebnf")),
    {"guided_choice": ["a"], "guided_whitespace_pattern": None},
    {"structured_outputs": {"json_object": True, "whitespace_pattern": None, "structural_tag": None}},
    {"structured_outputs": {"regex": "a", "disable_any_whitespace": True, "disable_additional_properties": True}},
    *({"structured_outputs": outputs} for outputs in ({"choice": ["a"]}, {"grammar": "a"})),
]
CHATS: list[Json] = [
    {**FULL, "max_tokens": 9, "stream_options": {"include_usage": True, "include_obfuscation": False}},
    {
        **LEGACY,
        "messages": [
            {"role": "developer", "content": PARTS},
            {"role": "user", "content": PARTS, "name": "n"},
            {"role": "assistant", "content": [*PARTS, {"type": "refusal", "refusal": "x"}], "name": "n"},
            {"role": "function", "name": "f", "content": PARTS},
            {"role": "assistant", "reasoning_content": "hm", "reasoning": "hm", "thinking": "hm"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": CALL}]},
            {"role": "tool", "tool_call_id": "a", "content": PARTS, "name": "n"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "g", "input": "x"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "x"},
        ],
        "functions": [{"name": "f", "description": "d", "parameters": PARAMETERS, "strict": False}],
        "prediction": {"type": "content", "content": PARTS},
    },
    {"model": "m", "messages": [USER], **LEGACY, "function_call": "none", "response_format": {"type": "text"}},
    {"model": "m", "messages": [USER], **TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"model": "m", "messages": [USER], **TOOLS, "tool_choice": {"type": "code_interpreter"}},
    {"model": "m", "messages": [USER], **TOOLS, "tool_choice": {"type": "custom", "custom": {"name": "custom_0"}}},
    {"model": "m", "messages": [USER], "response_format": {"type": "json_object"}},
    {
        "model": "m",
        "messages": [USER],
        **TOOLS,
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "code_interpreter"}]},
        },
    },
    {"model": "m", "messages": [USER], "response_format": {"type": "json_object", "schema": PARAMETERS}},
    {"model": "m", "messages": [USER], "enable_thinking": True, "chat_template_kwargs": SWITCHES},
    *({"model": "m", "messages": [USER], **constraint} for constraint in CONSTRAINTS),
    *({"model": "m", "messages": [USER], "server_tools": asked} for asked in (True, ["served"])),
]
SHARED = {key: value for key, value in FULL.items() if key in TextCompletionRequest.model_fields}
RAWS: list[Json] = [
    {**SHARED, **RAW, "max_tokens": 9, "n": 1, "best_of": 1},
    *({"model": "m", "prompt": prompt} for prompt in ("x", ["x"], [7])),
    *({"model": "m", "prompt": "x", **constraint} for constraint in CONSTRAINTS),
]
FLAT = {"type": "function", "name": "f", "description": "d", "parameters": PARAMETERS, "strict": False}
FLAT_CUSTOM = {"type": "custom", "name": "c", "description": "d", "format": {"type": "text"}}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": PARTS}
ITEMS: list[Json] = [
    {"type": "message", "role": "user", "content": [*PARTS, {"type": "refusal", "refusal": "x"}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]},
    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "x"}]},
    {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "namespace": "n"},
    OUTPUT,
    {"type": "custom_tool_call", "call_id": "a", "name": "c", "input": "x", "namespace": "n"},
    {**OUTPUT, "type": "custom_tool_call_output", "output": "x"},
    {"type": "mcp_call", "name": "f", "arguments": "{}", "output": "x", "error": None},
    {"type": "additional_tools", "tools": [{**FLAT, "name": "g"}]},
]
ASKED_RESPONSE: Json = {
    **{key: value for key, value in FULL.items() if key in ResponseRequest.model_fields},
    "input": ITEMS,
    "instructions": "x",
    "previous_response_id": "resp_1",
    "store": False,
    "stream_options": {"include_obfuscation": False},
    "max_output_tokens": 9,
    "text": {
        "format": {"type": "json_schema", "name": "x", "description": "d", "schema": PARAMETERS, "strict": False},
        "verbosity": "low",
    },
    "reasoning": {"effort": "low"},
    "include": ["message.output_text.logprobs"],
    "background": False,
    "truncation": "disabled",
    "client_metadata": {},
    "tools": [FLAT, FLAT_CUSTOM, {"type": "namespace", "name": "n", "description": "d", "tools": [FLAT, FLAT_CUSTOM]}],
    "tool_choice": {"type": "function", "name": "f", "namespace": "n"},
}
ANSWERS: list[Json] = [
    ASKED_RESPONSE,
    *(
        {"model": "m", "input": "x", "tools": [FLAT, FLAT_CUSTOM], "tool_choice": choice}
        for choice in (
            "auto",
            {"type": "custom", "name": "c", "namespace": ""},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "c"}]},
        )
    ),
    {
        "model": "m",
        "input": [{"type": "item_reference", "id": "msg_1_0"}],
        "tools": [{**FLAT_CUSTOM, "format": GRAMMAR}],
    },
    {"model": "m", "input": "x", "tools": [{"type": "web_search"}], "text": {"format": {"type": "text"}}},
    {"model": "m", "input": "x", "text": {"format": {"type": "json_object", "schema": PARAMETERS}}},
    {"model": "m", "input": "x", "enable_thinking": True, "chat_template_kwargs": SWITCHES},
    {"model": "m", "input": "x", "reasoning": {"effort": "low", "summary": "auto"}, "max_tool_calls": 1},
    {"model": "m", "input": "x", "context_management": []},
    *({"model": "m", "input": "x", **constraint} for constraint in CONSTRAINTS),
    *({"model": "m", "input": "x", "server_tools": asked} for asked in (True, ["served"])),
]
SERVED = {"served": served("served")}


def read_response(body: Json, *, strict_openai: bool = False) -> ChatRequest:
    kept = {"type": "message", "id": "msg_1_0", "role": "user", "content": PARTS}
    find = {"resp_1": [kept]}.get
    return response_request(body, find=find, server_tools=SERVED, strict_openai=strict_openai).chat


CACHED = {"type": "ephemeral"}
TEXT_BLOCK = {**PARTS[0], "cache_control": CACHED}
FOUND = {"type": "tool_reference", "tool_name": "f"}
CHANGE = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "f"}}
JSON_FORMAT = {"type": "json_schema", "schema": PARAMETERS}
CLIENT_TOOL = {"type": "custom", "name": "f", "description": "d", "input_schema": PARAMETERS, "strict": False}
ASKED_MESSAGE: Json = {
    "model": "m",
    "max_tokens": 9,
    "messages": [
        {"role": "system", "content": [TEXT_BLOCK, {**CHANGE, "type": "tool_addition"}, CHANGE]},
        {"role": "user", "content": [TEXT_BLOCK]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "redacted_thinking"},
                TEXT_BLOCK,
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "a", "content": [TEXT_BLOCK, FOUND], "is_error": False}],
        },
    ],
    "system": [TEXT_BLOCK],
    "tools": [CLIENT_TOOL],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
    "stop_sequences": ["x"],
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 5,
    "stream": False,
    "thinking": {"type": "enabled"},
    "output_config": {"effort": "low", "format": JSON_FORMAT},
    "output_format": JSON_FORMAT,
    **dict.fromkeys(("cache_control", "container", "context_management", "diagnostics", "inference_geo"), "x"),
    **dict.fromkeys(("metadata", "service_tier", "speed", "user_profile_id"), "x"),
}
MESSAGES: list[Json] = [
    ASKED_MESSAGE,
    {
        "model": "m",
        "max_tokens": 9,
        "messages": [USER],
        "system": "x",
        "tools": [CLIENT_TOOL],
        "tool_choice": {"type": "tool", "name": "f"},
    },
]
# Rules between fields, and rules for JSON Schemas, are published in descriptions only.
IN_WORDS = (
    "Invalid schema",
    "expected one of json",
    "it is not a JSON Schema as text",
    "does not rank answers",
    "no function named",
    "Previous response with id",
    "must be provided",
    "Invalid 'input': empty array",
    "no custom tool named",
    "cannot both be provided",
    "this server has no tools of type",
    "has no tool named",
    "prefill",
)
Reader = Callable[..., Any]
REQUESTS: list[tuple[type[Shape], Reader, list[Json]]] = [
    (ChatCompletionRequest, partial(chat_request, server_tools=SERVED), CHATS),
    (TextCompletionRequest, completion_request, RAWS),
    (ResponseRequest, read_response, ANSWERS),
    (MessagesRequest, messages_request, MESSAGES),
]
MODULES: dict[type[Shape], Any] = {
    ChatCompletionRequest: chat_completions,
    TextCompletionRequest: completions,
    ResponseRequest: responses,
    MessagesRequest: messages,
}


@pytest.fixture(scope="module")
def published() -> Published:
    def nothing() -> Any:
        raise NotImplementedError

    return Published(create_app(nothing).openapi())


@pytest.fixture(params=REQUESTS, ids=["chat", "raw", "responses", "messages"])
def request_of(request: pytest.FixtureRequest) -> tuple[type[Shape], Reader, list[Json]]:
    found: tuple[type[Shape], Reader, list[Json]] = request.param
    return found


def error_of(reader: Reader, body: Json) -> RequestError | None:
    try:
        reader(body)
    except RequestError as error:
        return error
    return None


def is_near(error: RequestError, place: Place) -> bool:
    """Return whether the error names the value at `place`, or the list that holds the value."""
    end = place.param.rindex("[") if place.param.endswith("]") else None
    return (error.param or "").startswith(place.param[:end])


def is_required(published: Published, place: Place) -> bool:
    return bool(place.owner) and place.path[-1] in published.components[place.owner].get("required", ())


def all_places(published: Published, shape: type[Shape], documents: list[Json]) -> Iterator[tuple[Json, Place]]:
    """Return every place in the documents once. Items of a list, or the same field in two documents, are one place."""
    seen = set()
    for document in documents:
        for place in published.places(document, shape.__name__):
            kind = (place.owner, re.sub(r"\d+", "", place.param), type(place.value), str(place.schemas))
            if kind not in seen:
                yield document, place
            seen.add(kind)


def test_the_documents_below_hold_every_published_field(published: Published) -> None:
    """The example documents in this file have every published field, so the other tests check all fields."""
    seen = {
        (place.owner, place.path[-1])
        for shape, _, documents in REQUESTS
        for _, place in all_places(published, shape, documents)
    }
    todo = [shape.__name__ for shape, _, _ in REQUESTS]
    expected: set[tuple[str, str]] = set()
    while todo:
        name = todo.pop()
        schema = published.components[name]
        new = {(name, key) for key in schema["properties"]}
        todo += [] if new <= expected else referred(schema)
        expected |= new
    assert expected <= seen, expected - seen


def referred(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"].rpartition("/")[2]] if isinstance(value.get("$ref"), str) else []
        return own + [name for item in value.values() for name in referred(item)]
    return [name for item in value for name in referred(item)] if isinstance(value, list) else []


def test_the_documents_are_accepted(published: Published, request_of: tuple[type[Shape], Reader, list[Json]]) -> None:
    shape, reader, documents = request_of
    for document in documents:
        assert error_of(reader, document) is None
        assert all(published.takes(document, shape.__name__, key) for key in document)


def check_agreement(published: Published, shape: type[Shape], reader: Reader, body: Json, place: Place) -> bool:
    """Check that the server accepts a value exactly if the published schema accepts it.

    Return whether the schema accepts the value. Rules about several fields are published in words only.
    """
    error = error_of(reader, body)
    if published.takes(body, shape.__name__, place.path[0]):
        read(shape, body)
        is_rule = error is None or error.param != place.param or any(words in str(error) for words in IN_WORDS)
        assert is_rule, (place.param, str(error))
        return True
    assert error, place.param
    assert is_near(error, place), (place.param, error.message)
    return False


def test_every_json_type_is_taken_where_it_is_published(
    published: Published, request_of: tuple[type[Shape], Reader, list[Json]]
) -> None:
    shape, reader, documents = request_of
    num_wrong = 0
    for document, place in all_places(published, shape, documents):
        for sample in SAMPLES:
            num_wrong += not check_agreement(published, shape, reader, put(document, place.path, sample), place)
        if place.owner and not is_required(published, place):
            at_null, absent = put(document, place.path, None), without(document, place.path)
            assert str(error_of(reader, at_null)) == str(error_of(reader, absent)), place.param
    assert num_wrong > 100


def test_every_published_limit_is_the_limit(
    published: Published, request_of: tuple[type[Shape], Reader, list[Json]]
) -> None:
    shape, reader, documents = request_of
    num_limits = 0
    for document, place in all_places(published, shape, documents):
        for at, beyond in (pair for schema in place.schemas for pair in bounds(schema, place.value)):
            check_agreement(published, shape, reader, put(document, place.path, at), place)
            check_agreement(published, shape, reader, put(document, place.path, beyond), place)
            num_limits += 1
    assert num_limits > 30


def test_required_fields_are_missed_and_others_are_not(
    published: Published, request_of: tuple[type[Shape], Reader, list[Json]]
) -> None:
    shape, reader, documents = request_of
    for document, place in all_places(published, shape, documents):
        if not place.owner:
            continue
        error = error_of(reader, without(document, place.path))
        if is_required(published, place):
            assert error and error.message == f"Missing required parameter: '{place.param}'."
        else:
            assert error is None or "Missing" not in error.message, place.param


def test_a_published_default_changes_nothing(
    published: Published, request_of: tuple[type[Shape], Reader, list[Json]]
) -> None:
    shape, reader, documents = request_of
    num_defaults = 0
    for document, place in all_places(published, shape, documents):
        if place.owner and "default" in (field := published.components[place.owner]["properties"][place.path[-1]]):
            explicit, absent = put(document, place.path, field["default"]), without(document, place.path)
            if error_of(reader, absent) is None:
                assert reader(explicit) == reader(absent), place.param
                num_defaults += 1
    assert num_defaults > 10


def test_all_other_fields_are_ignored_by_name_or_an_error(
    published: Published, request_of: tuple[type[Shape], Reader, list[Json]]
) -> None:
    shape, reader, [document, *_] = request_of
    known = set(published.components[shape.__name__]["properties"])
    module = MODULES[shape]
    assert not known & set(module.UNSUPPORTED)
    for key in module.UNSUPPORTED:
        error = error_of(reader, {**document, key: "x"})
        assert error and (error.param, error.code) == (key, "unsupported_parameter")
    both = ChatCompletionRequest.model_fields.keys() | TextCompletionRequest.model_fields.keys()
    others = ["mirostat", *sorted(both - known - set(module.UNSUPPORTED))]
    assert reader({**document, **dict.fromkeys(others)}).ignored == tuple(others[:20])
    assert reader(document).ignored == ()


@pytest.mark.parametrize(
    ("shape", "reader", "document", "params"),
    [
        (ChatCompletionRequest, chat_request, {"model": "m", "messages": [USER]}, ChatParams),
        (TextCompletionRequest, completion_request, {"model": "m", "prompt": "x"}, TextParams),
        (ResponseRequest, read_response, {"model": "m", "input": "x"}, ResponseParams),
    ],
)
def test_strict_openai_takes_the_fields_of_openais_client_only(
    shape: type[Shape], reader: Reader, document: Json, params: Any
) -> None:
    """Somebody tests with --strict-openai and `top_k`, deploys at OpenAI, and gets a 400 there."""
    known = params.__required_keys__ | params.__optional_keys__ | {"client_metadata"}  # Codex sends it to OpenAI
    reader(document, strict_openai=True)
    for field in shape.model_fields:
        error = None
        try:
            reader({**document, field: document.get(field)}, strict_openai=True)
        except RequestError as caught:
            error = caught.message
        refused = f"Unrecognized request argument supplied: {field}"
        assert error == (None if field in known else refused), field


def test_every_field_has_a_line_of_text(published: Published) -> None:
    for name, schema in published.components.items():
        for key, field in schema.get("properties", {}).items():
            assert "$ref" in field or field["description"].endswith("."), (name, key)
        assert schema["description"].endswith("."), name
