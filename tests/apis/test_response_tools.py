"""The tools of a Responses request: made strict, custom, in namespaces, in items, and those of OpenAI's servers."""

from __future__ import annotations

from typing import Any

import pytest

from core.conversation import Function, Message, ResponseFormat, ToolChoice
from json_schema.strict_form import strict_form
from tests.support.response_requests import CALL, CITY, FUNCTION, PATCH, RESULT, ask, chat, error_of

Json = dict[str, Any]


def test_parameters_are_made_strict_unless_the_request_decides() -> None:
    """OpenAI's Responses API closes objects and requires all properties where `strict` is left out."""
    optional = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "object", "properties": {}}}}
    asked = ask(
        tools=[{"type": "function", "name": "f", "parameters": optional}, {**FUNCTION, "name": "g", "strict": False}]
    )
    made = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "object", "properties": {}, "additionalProperties": False, "required": []},
        },
        "additionalProperties": False,
        "required": ["a", "b"],
    }
    assert asked.chat.tools == (Function("f", "", made, strict=True), Function("g", "", CITY, strict=False))
    assert "required" not in optional, "the request's own schema stays"
    assert asked.head["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": made, "strict": True},
        {"type": "function", "name": "g", "description": None, "parameters": CITY, "strict": False},
    ]


def test_a_strict_form_that_is_remembered_is_not_shared() -> None:
    """Forms are remembered between requests; a change in one request must not reach the next."""
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    form, again = strict_form(parameters), strict_form(parameters)
    assert form == again and form is not again
    assert form and form["properties"] is not parameters["properties"]
    large = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(300)}}
    assert (strict_form(large) or {})["required"] == list(large["properties"])


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}, "properties": {}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "null"}]}}},
        {"type": "object", "properties": {}, "required": ["a"]},
        {},
    ],
)
def test_parameters_that_cannot_be_strict_stay_as_they_are(parameters: Json) -> None:
    asked = ask(tools=[{"type": "function", "name": "f", "parameters": parameters}])
    assert asked.chat.tools == (Function("f", "", parameters, strict=False),)
    assert asked.head["tools"][0]["strict"] is False


def test_custom_tools() -> None:
    lark = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"+'}
    regex = {"type": "grammar", "syntax": "regex", "definition": "a+"}
    asked = ask(tools=[PATCH, *({**PATCH, "name": name, "format": f} for name, f in (("l", lark), ("r", regex)))])
    formats = [tool.input_format for tool in asked.chat.tools if isinstance(tool, Function)]
    assert formats == [
        ResponseFormat(param="tools[0].format"),
        ResponseFormat("grammar", grammar='start: "a"+', param="tools[1].format.definition"),
        ResponseFormat("regex", pattern="a+", param="tools[2].format.definition"),
    ]
    assert [tool["format"] for tool in asked.head["tools"]] == [{"type": "text"}, lark, regex]
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}}
    (shown,) = ask(tools=[{**PATCH, "format": nested}]).head["tools"]
    assert shown["format"] == {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    assert error_of(tools=[{**PATCH, "format": {"type": "bnf"}}])[1] == "tools[0].format.type"
    assert error_of(tools=[{**PATCH, "format": {**lark, "syntax": "bnf"}}])[1] == "tools[0].format.syntax"


def test_namespaces() -> None:
    """Codex groups its tools, and expects the name of the group in a call. The model sees one name for both."""
    group = {"type": "namespace", "name": "agents", "description": "d", "tools": [FUNCTION, PATCH]}
    asked = ask(
        [{**CALL, "namespace": "agents"}, RESULT],
        tools=[FUNCTION, group],
        tool_choice={"type": "function", "name": "f", "namespace": "agents"},
    )
    assert [tool.name for tool in asked.chat.tools] == ["f", "agents_f", "agents_patch"]
    assert asked.chat.choice == ToolChoice("named", ("agents_f",))
    assert asked.chat.messages[0].calls[0].name == "agents_f"
    assert asked.tools["agents.f"].namespace == "agents"
    assert [tool["name"] for tool in asked.head["tools"][1]["tools"]] == ["f", "patch"]
    assert error_of(tools=[{**group, "tools": [FUNCTION, FUNCTION]}])[1] == "tools[0].tools[1].name"
    bad = {**FUNCTION, "parameters": {"type": "strin"}}
    assert error_of(tools=[{**group, "tools": [bad]}])[1] == "tools[0].tools[0].parameters"


def test_tools_in_items() -> None:
    """Newer models of OpenAI get their tools in an item of the input."""
    item = {"type": "additional_tools", "role": "developer", "tools": [FUNCTION, {"type": "web_search"}]}
    asked = ask([item, {"role": "user", "content": "x"}], tools=[PATCH])
    assert [tool.name for tool in asked.chat.tools] == ["patch", "f"]
    assert asked.chat.messages == (Message("user", "x"),)
    assert error_of([item, {"role": "user", "content": "x"}], tools=[FUNCTION])[1] == "input[0].tools[0].name"


def test_tools_of_openais_servers_are_ignored_by_name() -> None:
    """Agent programs declare them by default. A request that insists on one is refused."""
    hosted = [{"type": "web_search", "filters": {}}, {"type": "image_generation"}, {"type": "mcp", "server_label": "x"}]
    asked = ask(tools=[*hosted, FUNCTION])
    assert asked.chat.ignored == ("tools.web_search", "tools.image_generation", "tools.mcp")
    assert [tool["name"] for tool in asked.head["tools"]] == ["f"]
    assert error_of(tools=hosted, tool_choice={"type": "web_search"})[1] == "tool_choice.type"
    assert error_of(tools=[FUNCTION, *hosted], strict_openai=True)[1] == "tools[1].type"
    message, param, _ = error_of(tools=[{"type": "teleport"}])
    assert (message, param) == (
        "Invalid value: 'teleport'. Supported values are: 'function', 'custom', and 'namespace'.",
        "tools[0].type",
    )


@pytest.mark.parametrize(
    ("choice", "expected", "max_calls"),
    [
        (None, ToolChoice("auto"), None),
        ("none", ToolChoice("none"), None),
        ("required", ToolChoice("required", ("f", "patch")), None),
        ({"type": "function", "name": "f"}, ToolChoice("named", ("f",)), 1),
        ({"type": "custom", "name": "patch"}, ToolChoice("named", ("patch",)), 1),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "patch"}]},
            ToolChoice("required", ("patch",)),
            None,
        ),
    ],
)
def test_tool_choice(choice: Any, expected: ToolChoice, max_calls: int | None) -> None:
    asked = ask(tools=[FUNCTION, PATCH], tool_choice=choice)
    assert (asked.chat.choice, asked.chat.max_calls) == (expected, max_calls)
    assert asked.head["tool_choice"] == (choice or "auto")
    assert chat(tools=[FUNCTION], parallel_tool_calls=False).max_calls == 1


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("any", "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "function", "name": "g"}, "tool_choice"),
        ({"type": "custom", "name": "f"}, "tool_choice"),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, "tool_choice.tools[0].type"),
    ],
)
def test_wrong_tool_choices(choice: Any, param: str) -> None:
    assert error_of(tools=[FUNCTION], tool_choice=choice)[1] == param


def test_wrong_tools() -> None:
    assert error_of(tools=[FUNCTION, FUNCTION])[1] == "tools[1].name"
    assert error_of(tools=[{"type": "function"}])[1] == "tools[0].name"
    assert error_of(tools=[{**FUNCTION, "parameters": {"type": "string"}}])[1:] == (
        "tools[0].parameters",
        "invalid_function_parameters",
    )
    message, param, code = error_of(tools=[{**FUNCTION, "strict": True}], strict_openai=True)
    assert "'additionalProperties' is required" in message
    assert (param, code) == ("tools[0].parameters", "invalid_function_parameters")
    many = [
        {"type": "namespace", "name": n, "tools": [{"type": "function", "name": f"f{i}"} for i in range(600)]}
        for n in "ab"
    ]
    assert error_of(tools=many)[2] == "array_above_max_length"
