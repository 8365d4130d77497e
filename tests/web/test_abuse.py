"""Hostile requests: each is served or gets OpenAI's error object, and the next ordinary request is served.

A server with a tiny model runs behind a real socket. The cases are in tests/support/abuse_*.py, one file per threat.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import Model, load_model
from server import create_app
from tests.support.abuse_client import CANARY, USER, Client, as_json, check_answer
from tests.support.abuse_json import Case, broken_documents, controls, numbers_that_are_none, odd_documents, surrogates
from tests.support.abuse_messages import called, heavy_texts, histories, lengths, media, result, shapes
from tests.support.abuse_parameters import RIGHT, combinations, ranges, raw_completions, wrong_types
from tests.support.abuse_schemas import keywords, nests, numbers, patterns, references, tool, with_property
from tests.support.abuse_tools import forced_calls, names, roots, sizes, sizes_that_fit
from tests.support.all_routes import BODIES, POSTS
from tests.support.all_routes import Case as Route
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from tests.support.tiny_llama import make_tiny_chatml

CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>")
BATCH = 8  # cases between two ordinary requests


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A tiny model whose context is large enough for long schemas. One thread of torch is fastest for this model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_model(
        str(make_tiny_chatml(tmp_path_factory.mktemp("abuse") / "tiny", max_context=16_384)), served_names=["tiny"]
    )
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def url(model: Model) -> Iterator[str]:
    with serving(create_app(lambda: model)) as url:
        yield url


@pytest.fixture(scope="module")
def endless_url(model: Model) -> Iterator[str]:
    """A server whose engine accepts prompts of any length."""
    wide, _ = scripted(model, "all\nhello", max_context=10**7)
    with serving(create_app(lambda: wide)) as url:
        yield url


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, socket.socket]]:
    """A URL that the server must never connect to, and its listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", listener


@pytest.fixture(autouse=True)
def silent_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server logs no traceback and no text of a prompt."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record.getMessage() for record in caplog.records if record.exc_info]
    assert CANARY not in caplog.text


def check_cases(url: str, cases: Iterable[Case]) -> int:
    """Send the cases on one connection, with ordinary requests between them. Return the number of cases."""
    wrong: list[str] = []
    num_cases = 0
    with Client(url) as client:
        for num_cases, case in enumerate(cases, start=1):
            answer = client.post(case.path, case.body)
            try:
                check_answer(answer)
                assert answer.status in case.expected, answer
                if answer.status == 400:
                    assert case.message in answer.error["message"], answer
                    assert (case.param or "") in (answer.error["param"] or ""), answer
            except AssertionError as error:
                wrong.append(f"{case.name}: {str(error)[:400]}")
            if num_cases % BATCH == 0:
                client.check_health()
        client.check_health()
    assert not wrong, "\n".join(wrong)
    return num_cases


@pytest.mark.parametrize(
    ("cases", "at_least"),
    [
        (broken_documents, 150),
        (odd_documents, 14),
        (numbers_that_are_none, 90),
        (surrogates, 45),
        (controls, 45),
        (keywords, 800),
        (roots, 30),
        (names, 40),
        (patterns, 120),
        (nests, 35),
        (sizes, 9),
        (numbers, 40),
        (wrong_types, 400),
        (ranges, 120),
        (combinations, 70),
        (raw_completions, 50),
        (shapes, 130),
        (histories, 60),
        (lengths, 18),
    ],
)
def test_bad_requests(url: str, cases: Callable[[], Iterable[Case]], at_least: int) -> None:
    assert check_cases(url, cases()) >= at_least


@pytest.mark.parametrize(("cases", "at_least"), [(references, 25), (media, 15)])
def test_no_url_is_fetched(
    url: str, elsewhere: tuple[str, socket.socket], cases: Callable[[str], Iterable[Case]], at_least: int
) -> None:
    address, listener = elsewhere
    assert check_cases(url, cases(address)) >= at_least
    with pytest.raises(BlockingIOError):  # no connection is waiting
        listener.accept()


@pytest.mark.parametrize(("cases", "at_least"), [(sizes_that_fit, 7), (heavy_texts, 15)])
def test_large_legal_requests(endless_url: str, cases: Callable[[], Iterable[Case]], at_least: int) -> None:
    assert check_cases(endless_url, cases()) >= at_least


def test_any_name_can_be_called(url: str, subtests: pytest.Subtests) -> None:
    """Any name can be called as a tool and as an older function, also one that the model sees as an alias."""
    for name, fields in forced_calls():
        with subtests.test(name), Client(url) as client:
            message = client.chat(**fields).json["choices"][0]["message"]
            [call] = message["tool_calls"]
            assert (call["function"]["name"], message["content"]) == (name, None)
            legacy = {"functions": [{"name": name}], "function_call": {"name": name}, "messages": fields["messages"]}
            message = client.chat(**legacy).json["choices"][0]["message"]
            assert message["function_call"] == {"name": name, "arguments": "{"}  # the answer has one token


def test_a_name_reserved_by_the_format(url: str) -> None:
    """A function with the reserved name `all`, which marks text in this format, is an error.

    Regression test: a call of such a function became text.
    """
    with Client(url) as client:
        answer = client.chat(tools=[tool({}, name="all")], tool_choice="required")
        check_answer(answer)
        assert (answer.status, answer.error["param"]) == (400, "tools")


def places_for(text: str) -> dict[str, dict[str, Any]]:
    """Return requests by place: each has `text` at one of the places where a prompt can hold a client's text."""
    parameters = with_property({"type": "string"})
    history = [USER, called(function={"name": "f", "arguments": "{}"}), result("ok")]
    return {
        "user": {"messages": [{"role": "user", "content": text}]},
        "part": {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
        "system": {"messages": [{"role": "system", "content": text}, USER]},
        "developer": {"messages": [{"role": "developer", "content": text}, USER]},
        "assistant": {"messages": [USER, {"role": "assistant", "content": text}, USER]},
        "result": {"messages": [*history[:2], result(text)]},
        "arguments": {"messages": [USER, called(function={"name": "f", "arguments": text}), result("ok")]},
        "called name": {"messages": [USER, called(function={"name": f"f{text}", "arguments": "{}"}), result("ok")]},
        "description": {"tools": [tool(parameters, description=text)]},
        "property's description": {"tools": [tool(with_property({"type": "string", "description": text}))]},
        "property's name": {"tools": [tool({"type": "object", "properties": {f"p{text}": {"type": "string"}}})]},
        "enum": {"tools": [tool(with_property({"type": "string", "enum": [f"v{text}"]}))]},
        "type's name": {"tools": [tool(with_property({"type": "string", "title": f"t{text}"}))]},
    }


@pytest.mark.parametrize("name", ["chatml", "llama"])
def test_no_text_becomes_a_control_token(request: pytest.FixtureRequest, name: str) -> None:
    """The text of a control token is tokenized as plain text in every field of a request.

    Typed ten times, it therefore adds more than ten tokens to the prompt.
    """
    model: Model = request.getfixturevalue(name)
    model, _ = scripted(model, "hello", max_context=10**6)
    control = [text for text in CONTROL_TOKENS if model.tokenizer.token_id(text) is not None]
    assert control
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        for text in (*control, ">>>all\n"):
            for place, one in places_for(text).items():
                few, many = (client.chat(**fields) for fields in (one, places_for(text * 11)[place]))
                cost = many.json["usage"]["prompt_tokens"] - few.json["usage"]["prompt_tokens"]
                assert cost >= 20 or (cost == 0 and place == "type's name"), (text, place, cost)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(
        ["f", "user", "tool", "function", "object", "json_schema", "auto", "required", "#", "<|im_end|>"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "function", "name", "role", "content", "parameters", "properties", "$ref", "x", ""]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = sorted({*RIGHT, "prompt", "echo", "best_of", "suffix", "messages", "model", "\0"} - {"max_tokens"})


@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    message=st.dictionaries(
        st.sampled_from(["role", "content", "name", "tool_calls", "tool_call_id"]), JSON, max_size=3
    ),
    function=st.dictionaries(st.sampled_from(["name", "parameters", "description", "strict"]), JSON, max_size=3),
    case=st.sampled_from(POSTS),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_bodies(
    url: str, fields: dict[str, Any], message: dict[str, Any], function: dict[str, Any], case: Route
) -> None:
    """Random bodies are served or get an error.

    The bodies also have some valid fields, so that they pass the first check.
    """
    start = BODIES[case.route]
    with Client(url) as client:
        for body in (
            {**start, **fields},
            {**start, "messages": [USER, {**USER, **message}]},
            {
                **start,
                "tools": [{"type": "function", "function": {"name": "f", **function}}],
                "tool_choice": "required",
            },
        ):
            case.send(client, body=as_json(body))
        client.check_health()
