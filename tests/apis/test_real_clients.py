"""What real clients send and OpenAI refuses. By default it is served: the refusal would only cost the caller."""

from __future__ import annotations

from typing import Any

import pytest

from core.conversation import Function, ToolChoice
from tests.support.request_examples import PARAMETERS, USER, chat, error_of, strict_error_of, tool


@pytest.mark.parametrize("fields", [{"tools": []}, {"functions": []}, {"tools": [], "functions": []}])
@pytest.mark.parametrize(
    "choice", [{}, {"tool_choice": "auto"}, {"tool_choice": "required"}, {"function_call": "auto"}]
)
def test_no_tools_are_no_tools(fields: dict[str, Any], choice: dict[str, Any]) -> None:
    """Agents build the list of tools for every turn and send the other fields always, also when the list is empty."""
    request = chat(**fields, **choice, parallel_tool_calls=False)
    assert (request.tools, request.choice, request.legacy) == ((), ToolChoice("none"), False)


@pytest.mark.parametrize("fields", [{}, {"tools": []}, {"functions": [{"name": "g"}]}])
def test_a_choice_without_tools_may_not_name_a_function(fields: dict[str, Any]) -> None:
    """The caller waits for a call that cannot come: this is a mistake in both positions of the switch."""
    named = {"type": "function", "function": {"name": "f"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    for choice in (named, allowed, {"type": "code_interpreter"}):
        assert "no function named" in error_of(tool_choice=choice, **fields)[0]
    assert "no function named f" in error_of(function_call={"name": "f"}, **fields)[0]


def test_an_empty_list_beside_the_other_form_of_tools() -> None:
    assert [one.name for one in chat(tools=[], functions=[{"name": "f"}]).tools] == ["f"]
    assert [one.name for one in chat(tools=[tool("f")], functions=[]).tools] == ["f"]


def test_json_without_the_word_json() -> None:
    assert chat(response_format={"type": "json_object"}).response_format.kind == "json_object"


@pytest.mark.parametrize(("older", "newer"), [(3, 5), (5, 3)])
def test_of_both_token_limits_the_smaller_counts(older: int, newer: int) -> None:
    """Proxies add max_completion_tokens and leave the max_tokens of the client."""
    assert chat(max_tokens=older, max_completion_tokens=newer).sampling.max_tokens == 3


def test_many_stop_strings() -> None:
    assert len(chat(stop=[f"stop {i}" for i in range(64)]).sampling.stop) == 64
    assert error_of(stop=["a"] * 65)[2] == "array_above_max_length"


def test_a_thousand_tools() -> None:
    """An agent with several MCP servers has hundreds of tools."""
    tools = [tool(f"f{i}") for i in range(1024)]
    assert len(chat(tools=tools).tools) == 1024
    assert strict_error_of(tools=tools)[2] == "array_above_max_length"
    assert "Expected an array with maximum length 1024" in error_of(tools=[*tools, tool("g")])[0]
    named = [{"type": "function", "function": {"name": f"f{i}"}} for i in range(1024)]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named}}
    assert len(chat(tools=tools, tool_choice=choice).choice.names or ()) == 1024


@pytest.mark.parametrize(
    "parameters",
    [
        PARAMETERS,
        {**PARAMETERS, "required": [], "additionalProperties": False},
        {"type": "object", "properties": {"place": PARAMETERS, "days": {"type": "integer", "default": 3}}},
    ],
)
def test_strict_schemas_that_are_not_closed(parameters: dict[str, Any]) -> None:
    """Frameworks set `strict` on the schemas that they have, without rewriting them as OpenAI's client does."""
    [function] = chat(tools=[tool("f", parameters=parameters, strict=True)]).tools
    assert isinstance(function, Function) and function.strict
    json_schema = {"name": "x", "strict": True, "schema": parameters}
    assert chat(response_format={"type": "json_schema", "json_schema": json_schema}).response_format.strict
    assert "is required to be supplied" in strict_error_of(tools=[tool("f", parameters=parameters, strict=True)])[0]


def test_the_name_of_a_response_format_may_be_any_text() -> None:
    """Clients put the title of a schema there; this server uses it in error messages only."""
    json_schema = {"name": "The answer, v1.2", "schema": PARAMETERS}
    wanted = {"type": "json_schema", "json_schema": json_schema}
    assert chat(response_format=wanted).response_format.name == "The answer, v1.2"
    assert strict_error_of(response_format=wanted)[1] == "response_format.json_schema.name"


def test_null_for_what_is_not_used() -> None:
    """Typed clients send every optional field, null or empty."""
    nothing = dict.fromkeys(("tool_calls", "function_call", "refusal", "name", "audio", "reasoning_content"))
    assert chat(USER, {"role": "assistant", "content": "x", **nothing}) == chat(
        USER, {"role": "assistant", "content": "x"}
    )
    function = {"name": "f", "description": None, "parameters": None, "strict": None}
    assert chat(tools=[{"type": "function", "function": function}]).tools == (Function("f"),)
