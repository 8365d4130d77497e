"""Custom tools with the official client, whole and streamed, on a server whose model writes random tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.support.custom_grammars import APPLY_PATCH, TIMESTAMP
from tests.support.scripted_engine import ScriptedEngine
from tests.support.strict_fold import strict_fold

CLOCK = {"type": "function", "function": {"name": "clock"}}
NAMED = {"type": "custom", "custom": {"name": "write"}}
ASKED: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "When?"}],
    "max_tokens": 300,
    "seed": 1,
    "temperature": 1,
}


def custom(syntax: str, definition: str, name: str = "write") -> dict[str, Any]:
    grammar = {"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}}
    return {"type": "custom", "custom": {"name": name, "description": "Write it down.", "format": grammar}}


@pytest.fixture
def tiny(tiny_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{tiny_url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


@pytest.fixture
def scripted_client(played_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{played_url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_round_trip_whole_and_streamed(tiny: OpenAI, choice: Any) -> None:
    """The call, its result, and the next answer; the streamed call is the same text in pieces."""
    asked = {**ASKED, "tools": [custom("regex", TIMESTAMP)], "tool_choice": choice, "parallel_tool_calls": False}
    (answered,) = tiny.chat.completions.create(**asked).choices
    assert answered.finish_reason == ("tool_calls" if choice == "required" else "stop")
    assert answered.message.content is None and answered.message.tool_calls
    (call,) = answered.message.tool_calls
    assert call.type == "custom" and call.custom.name == "write"
    assert re.fullmatch(TIMESTAMP, call.custom.input)

    with tiny.chat.completions.create(**asked, stream=True) as stream:
        chunks = [chunk.model_dump(exclude_unset=True) for chunk in stream]
    (first, *others) = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[:-1]]
    assert first.pop("id").startswith("call_")
    assert first == {"index": 0, "type": "custom", "custom": {"name": "write", "input": ""}}
    assert all(list(delta) == ["index", "custom"] and list(delta["custom"]) == ["input"] for delta in others)
    assert "".join(delta["custom"]["input"] for delta in others) == call.custom.input
    assert len(others) > 3 and all(delta["custom"]["input"] for delta in others)

    result = {"role": "tool", "tool_call_id": call.id, "content": "Noted."}
    messages: Any = [*asked["messages"], answered.message, result]
    (last,) = tiny.chat.completions.create(**{**asked, "messages": messages, "tool_choice": "none"}).choices
    assert last.finish_reason in ("stop", "length") and last.message.tool_calls is None


def test_two_custom_tools_and_a_function(tiny: OpenAI) -> None:
    """A random model calls several tools in one answer, and each text follows the grammar of its tool."""
    tools: Any = [custom("regex", TIMESTAMP), custom("lark", 'start: ("<" start ">")? "x\\n"', "draw"), CLOCK]
    patterns = {"write": TIMESTAMP, "draw": r"(<*)(x\n)(>x\n)*"}
    seen = set()
    for seed in range(8):
        asked = {**ASKED, "seed": seed, "tools": tools, "tool_choice": "required"}
        (answered,) = tiny.chat.completions.create(**asked).choices
        calls = answered.message.tool_calls or []
        for call in calls[: -1 if answered.finish_reason == "length" else None]:
            if call.type == "custom":
                assert re.fullmatch(patterns[call.custom.name], call.custom.input)
                seen.add(call.custom.name)
            else:
                assert (call.function.name, call.function.arguments) == ("clock", "{}")
                seen.add("clock")
    assert seen == {"write", "draw", "clock"}


def test_the_token_limit_cuts_a_text(tiny: OpenAI) -> None:
    asked = {**ASKED, "tools": [custom("lark", APPLY_PATCH)], "tool_choice": NAMED, "max_tokens": 12}
    (answered,) = tiny.chat.completions.create(**asked).choices
    assert answered.finish_reason == "length" and answered.message.tool_calls
    (call,) = answered.message.tool_calls
    assert call.type == "custom"
    assert call.custom.input and "*** Begin Patch\n".startswith(call.custom.input[:16])


def test_a_call_that_the_model_opens_by_itself(scripted_client: OpenAI, play: Callable[..., ScriptedEngine]) -> None:
    play('all\nWell>>>write\n{"input": "a\\n\\"b\\""}>>>clock\n{}')
    asked: Any = {**ASKED, "tools": [custom("regex", "(?s:.)*"), CLOCK], "max_tokens": 100}
    (answered,) = scripted_client.chat.completions.create(**asked).choices
    assert answered.message.content == "Well"
    custom_call, function_call = answered.message.tool_calls or []
    assert custom_call.type == "custom" and custom_call.custom.input == 'a\n"b"'
    assert function_call.type == "function" and function_call.function.arguments == "{}"
    with scripted_client.chat.completions.create(**asked, stream=True) as stream:
        names = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or [] if call.id]
    assert [call.type for call in names] == ["custom", "function"]


@pytest.mark.parametrize("choice", ["auto", "required"])
@pytest.mark.parametrize(
    ("syntax", "definition", "part"),
    [
        ("lark", 'start: "a"\n\nstart: "b"', 'duplicate rule: "start", in line 3'),
        ("lark", "start: <|im_end|>", "a grammar cannot name control tokens"),
        ("regex", "(", "unclosed group"),
        ("lark", "start: start", "too complex, or no text can match it"),
        ("regex", "(((a{99}){99}){99}){99}", "longer than"),
    ],
)
def test_a_bad_grammar_is_an_error_before_the_answer(
    tiny: OpenAI, choice: Any, syntax: str, definition: str, part: str
) -> None:
    """Also in a stream, and in `auto`, where the model might never call the tool."""
    tools: Any = [CLOCK, custom(syntax, definition)]
    for is_streamed in (False, True):
        with pytest.raises(openai.BadRequestError, match=part) as caught:
            tiny.chat.completions.create(**ASKED, tools=tools, tool_choice=choice, stream=is_streamed)
        assert caught.value.param == "tools[1].custom.format.grammar.definition"
        assert caught.value.code == "invalid_value"


def test_a_grammar_that_ends_nowhere_is_an_error_of_the_request(tiny: OpenAI) -> None:
    """It compiles, and fails behind its first characters. As a 500, clients sent the same request three times."""
    asked: Any = {**ASKED, "tools": [custom("lark", 'start: "abc" /[^\\s\\S]/')], "tool_choice": NAMED}
    with pytest.raises(openai.BadRequestError, match="no text can match it") as caught:
        tiny.chat.completions.create(**asked)
    assert caught.value.code == "invalid_value"


def test_other_requests_are_served_while_a_grammar_compiles(tiny: OpenAI) -> None:
    """Several grammars that take half a second each are compiled beside the other requests."""
    slow: Any = [custom("regex", f"a{{4999{number}}}", f"t{number}") for number in range(4)]
    create: Any = tiny.chat.completions.create
    with ThreadPoolExecutor() as threads:
        bad = threads.submit(create, **ASKED, tools=slow)
        time.sleep(0.2)
        start = time.monotonic()
        asked = {**ASKED, "tools": [custom("regex", "[ab]{3}"), CLOCK], "tool_choice": NAMED}
        assert tiny.chat.completions.create(**asked).choices[0].message.tool_calls
        assert time.monotonic() - start < 2.5 and not bad.done()
        with suppress(openai.BadRequestError):  # on a slow machine they take too long
            bad.result()


def test_the_chunks_satisfy_a_strict_client(tiny: OpenAI) -> None:
    """Exactly one of text and calls in each chunk, ids and names only once, no empty piece."""
    asked = {**ASKED, "tools": [custom("regex", TIMESTAMP), CLOCK], "tool_choice": "required"}
    with tiny.chat.completions.create(**asked, stream=True) as stream:
        (choice,) = strict_fold([chunk.model_dump(exclude_unset=True) for chunk in stream])["choices"]
    assert choice["message"]["tool_calls"]
