"""The error for a prompt that is too long says what takes the tokens: the messages or the functions."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from apis.chat_completions import chat_request
from core.errors import FunctionSizes, PromptTooLong
from inference import Model, chat_prompt
from tests.support.scripted_engine import scripted

USER = {"role": "user", "content": "Hello"}


def function(name: str, num_words: int) -> dict[str, Any]:
    return {"name": name, "description": "word " * num_words, "parameters": {"type": "object", "properties": {}}}


def error_of(model: Model, **fields: Any) -> PromptTooLong:
    with pytest.raises(PromptTooLong) as caught:
        chat_prompt(model, chat_request({"model": "tiny", "messages": [USER], **fields}))
    error = caught.value
    maximum = model.engine.max_context
    start = f"This model's maximum context length is {maximum} tokens. However, your messages resulted in "
    assert error.message.startswith(start) and len(error.message) <= 500
    assert error.code == "context_length_exceeded"
    return error


def test_functions_that_fill_the_context_are_named(chatml: Model) -> None:
    """An agent with 40 tools was told to shorten its messages, of which it had one with one word.

    The counts are exact: without the functions the same prompt has as many tokens as the error says.
    """
    model, _ = scripted(chatml, "x", max_context=300)
    functions = [function("small", 3), function("big", 200), function("bigger", 300), function("medium", 30)]
    error = error_of(model, tools=[{"type": "function", "function": one} for one in functions])
    wide, _ = scripted(chatml, "x", max_context=100_000)
    plain = chat_request({"model": "tiny", "messages": [USER]})
    declared = chat_request({"model": "tiny", "messages": [USER], "functions": functions})
    num_all = len(chat_prompt(wide, declared))
    num_messages = num_all - _num_function_tokens(wide, functions)
    assert (
        f"resulted in {num_all} tokens ({num_messages} in the messages, {num_all - num_messages} in the"
        in error.message
    )
    assert num_messages == len(chat_prompt(wide, plain)) - len("all\n")  # the beginning of a text, one token each
    assert "Please reduce the length of the messages or functions. The largest functions are bigger (" in error.message
    names = [part.split(" (")[0] for part in error.message.split("functions are ")[1].split(", ")]
    assert names == ["bigger", "big", "medium"]
    assert error.param == "tools"


def _num_function_tokens(model: Model, functions: list[dict[str, Any]]) -> int:
    request = chat_request({"model": "tiny", "messages": [USER], "functions": functions})
    without = replace(request, tools=())
    return len(chat_prompt(model, request)) - len(chat_prompt(model, without))


def test_messages_that_fill_the_context_stay_to_blame(chatml: Model) -> None:
    model, _ = scripted(chatml, "x", max_context=300)
    long = {"role": "user", "content": "word " * 400}
    error = error_of(model, messages=[long], functions=[function("f", 3), function("g", 3)])
    assert error.param == "messages"
    assert "f (" in error.message
    error = error_of(model, messages=[long])
    assert error.message.endswith("tokens. Please reduce the length of the messages.")
    error = error_of(
        model, messages=[long], tools=[{"type": "function", "function": function("f", 3)}], tool_choice="none"
    )
    assert error.message.endswith("tokens. Please reduce the length of the messages.")


def test_legacy_functions_have_their_own_field(chatml: Model) -> None:
    model, _ = scripted(chatml, "x", max_context=300)
    assert error_of(model, functions=[function("f", 500)]).param == "functions"


def test_a_huge_prompt_is_refused_at_once(chatml: Model) -> None:
    """Half a megabyte of tools would take a second to tokenize, only for an error: the sizes are lower bounds."""
    model, _ = scripted(chatml, "x", max_context=300)
    tools = [{"type": "function", "function": function(f"f{number}", 3_200)} for number in range(30)]
    start = time.monotonic()
    error = error_of(model, tools=tools)
    assert time.monotonic() - start < 5
    assert "resulted in at least " in error.message and " in the messages, at least " in error.message
    assert error.param == "tools"


def test_long_names_fit_into_the_message() -> None:
    sizes = FunctionSizes(9_000_000, tuple((f"{number}" * 300, 3_000_000) for number in range(3)), "tools")
    error = PromptTooLong(10_000_000, 8_000_000, is_exact=False, functions=sizes)
    assert len(error.message) < 500 and error.message.endswith("(3000000).")


def test_functions_have_the_names_of_the_request(chatml: Model) -> None:
    """The error named the aliases of tools from MCP servers, which the caller had never seen."""
    model, _ = scripted(chatml, "x", max_context=300)
    tools = [{"type": "function", "function": function(f"github.tool/{number}", 300)} for number in range(3)]
    message = error_of(model, tools=tools).message
    assert "github.tool/0 (" in message and "github_tool" not in message
