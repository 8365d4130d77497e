"""The rules for `tools` and `tool_choice`, and for the older `functions` and `function_call`."""

from __future__ import annotations

import pytest

from apis.chat_completions import chat_request
from core.conversation import Call, ChatRequest, CodeInterpreter, Function, Message, ToolChoice
from tests.support.request_examples import PARAMETERS, USER, chat, error_of, strict_error_of, tool


def test_default_is_auto() -> None:
    request = chat(tools=[tool(description="Look outside", strict=False), tool("g", parameters=None)])
    assert request.tools == (Function("get_weather", "Look outside", PARAMETERS), Function("g"))
    assert (request.choice, request.max_calls, request.legacy) == (ToolChoice("auto"), None, False)


@pytest.mark.parametrize(
    ("choice", "expected", "max_calls"),
    [
        ("none", ToolChoice("none"), None),
        ("auto", ToolChoice("auto"), None),
        ("required", ToolChoice("required", ("f", "g", "python")), None),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", ("f",)), 1),
        ({"type": "function", "function": {"name": "f", "parameters": {}}}, ToolChoice("named", ("f",)), 1),
        ({"type": "code_interpreter"}, ToolChoice("named", ("python",)), 1),
    ],
)
def test_tool_choice(choice: object, expected: ToolChoice, max_calls: int | None) -> None:
    request = chat(tools=[tool("f"), tool("g"), {"type": "code_interpreter"}], tool_choice=choice)
    assert (request.choice, request.max_calls) == (expected, max_calls)


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_keeps_all_tools_in_the_prompt(mode: str) -> None:
    named = {"type": "function", "function": {"name": "g"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named, named]}}
    request = chat(tools=[tool("f"), tool("g")], tool_choice=choice)
    assert (request.choice.mode, request.choice.names, len(request.tools)) == (mode, ("g",), 2)


def test_parallel_tool_calls_false_is_at_most_one() -> None:
    assert chat(tools=[tool()], parallel_tool_calls=False).max_calls == 1
    assert chat(tools=[tool()], parallel_tool_calls=True).max_calls is None


def test_code_interpreter() -> None:
    assert chat(tools=[{"type": "code_interpreter"}]).tools == (CodeInterpreter(),)
    _, param, _ = error_of(tools=[{"type": "code_interpreter"}, tool("python")])
    assert param == "tools[1].function.name"


def test_tool_choice_none_needs_no_tools() -> None:
    assert chat(tool_choice="none").choice == ToolChoice("none")
    assert isinstance(
        chat_request({"model": "m", "messages": [USER], "tool_choice": "none"}, strict_openai=True), ChatRequest
    )


def test_values_at_the_limits_are_accepted() -> None:
    tools = [tool(f"f{i}".ljust(256, "_"), description="d" * 20_000) for i in range(1024)]
    assert len(chat(tools=tools).tools) == 1024
    assert error_of(tools=[tool(description="d" * 20_001)])[2] == "string_above_max_length"


@pytest.mark.parametrize("name", ["__proto__", "constructor", "None", "all", "0", "-"])
def test_odd_names_are_names(name: str) -> None:
    assert chat(tools=[tool(name)]).tools[0].name == name


@pytest.mark.parametrize(
    ("broken", "param"),
    [
        ({}, "tools[0].type"),
        ({"type": "function"}, "tools[0].function"),
        ({"type": "function", "function": {}}, "tools[0].function.name"),
        ({"type": "web_search"}, "tools[0].type"),
        ({"type": "custom"}, "tools[0].custom"),
        ({"type": "custom", "custom": {"name": ""}}, "tools[0].custom.name"),
        (tool(description=1), "tools[0].function.description"),
        (tool(strict="yes"), "tools[0].function.strict"),
        (tool(parameters="none"), "tools[0].function.parameters"),
        (tool(parameters={"type": "object", "properties": [1]}), "tools[0].function.parameters"),
        (tool(""), "tools[0].function.name"),
        (tool("f" * 257), "tools[0].function.name"),
        ("get_weather", "tools[0]"),
    ],
)
def test_broken_tools(broken: object, param: str) -> None:
    assert error_of(tools=[broken])[1] == param


@pytest.mark.parametrize(
    "choice",
    [
        "any",
        "",
        1,
        True,
        [],
        {},
        {"type": "function"},
        {"type": "function", "function": {}},
        {"type": "function", "function": "f"},
        {"type": "custom", "custom": {"name": "f"}},
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": [tool("f")]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("absent")]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": ["f"]}},
    ],
)
def test_broken_choices(choice: object) -> None:
    param = error_of(tools=[tool("f")], tool_choice=choice)[1]
    assert param is not None and param.startswith("tool_choice")
    without_tools = error_of(tool_choice=choice)[1]
    assert without_tools is not None and without_tools.startswith("tool_choice")


def test_functions_are_folded() -> None:
    request = chat(functions=[{"name": "f", "parameters": PARAMETERS}])
    assert request.tools == (Function("f", "", PARAMETERS),)
    assert (request.choice, request.max_calls, request.legacy) == (ToolChoice("auto"), 1, True)


def test_function_call() -> None:
    functions = [{"name": "f"}, {"name": "g"}]
    assert chat(functions=functions, function_call="none").choice == ToolChoice("none")
    assert chat(functions=functions, function_call={"name": "g"}).choice == ToolChoice("named", ("g",))


@pytest.mark.parametrize("choice", ["required", "f", {}, {"name": "absent"}, {"name": 1}, 1, []])
def test_broken_function_call(choice: object) -> None:
    param = error_of(functions=[{"name": "f"}], function_call=choice)[1]
    assert param is not None and param.startswith("function_call")


def test_paths_of_functions() -> None:
    assert error_of(functions=[{"name": "f"}, {"name": "f"}])[1] == "functions[1].name"
    assert strict_error_of(functions=[{"name": "a b"}])[1] == "functions[0].name"
    assert strict_error_of(functions=[{"name": "f", "parameters": PARAMETERS, "strict": True}])[1:] == (
        "functions[0].parameters",
        "invalid_function_parameters",
    )


def test_history_of_functions() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    request = chat(USER, call, {"role": "function", "name": "f", "content": "ok"}, USER)
    assert request.messages[1] == Message("assistant", None, (Call("f", "{}"),))
    assert request.messages[2] == Message("tool", "ok", name="f")


def test_a_result_needs_a_name_and_content_may_be_null() -> None:
    assert chat({"role": "function", "name": "f", "content": None}).messages[0].content == ""
    assert error_of({"role": "function", "content": "ok"})[1] == "messages[0].name"
    assert error_of({"role": "function", "name": "f"})[1] == "messages[0].content"
