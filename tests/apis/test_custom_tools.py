"""Custom tools in chat completions: requests, history, and calls whose arguments are a text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from apis.chat_completions import Choice, chat_request, fold
from apis.rules.custom_tools import InputReader, custom_function, input_arguments
from apis.rules.fields import MAX_OWN_NAME
from core.conversation import Call, ChatRequest, CodeInterpreter, Message, ResponseFormat, ToolChoice
from core.turn_format import ArgsDelta, CallStart, Finish, TextDelta
from tests.support.request_examples import USER, answer, asks, chat, error_of, tool

FORMAT = "tools[0].custom.format"
LARK = {"syntax": "lark", "definition": 'start: "x"'}
NAMED = {"type": "custom", "custom": {"name": "write"}}
TEXT = 'a "b"\\\n\t北京 😀\x01'


def custom(name: str = "write", **fields: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, **fields}}


def asked(**fields: Any) -> ChatRequest:
    return chat(tools=[custom(), custom("draw"), tool("f")], **fields)


# Requests


@pytest.mark.parametrize(
    ("asked_format", "expected"),
    [
        (None, ResponseFormat(param=FORMAT)),
        ({"type": "text"}, ResponseFormat(param=FORMAT)),
        (
            {"type": "grammar", "grammar": LARK},
            ResponseFormat("grammar", grammar='start: "x"', param=f"{FORMAT}.grammar.definition"),
        ),
        (
            {"type": "grammar", **LARK},
            ResponseFormat("grammar", grammar='start: "x"', param=f"{FORMAT}.definition"),
        ),
        (
            {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}},
            ResponseFormat("regex", pattern="a+", param=f"{FORMAT}.grammar.definition"),
        ),
    ],
)
def test_the_format_of_a_text(asked_format: object, expected: ResponseFormat) -> None:
    """Clients send a grammar as chat completions has it, or without the inner object, as the Responses API has it."""
    (read,) = chat(tools=[custom(description="Write.", format=asked_format)]).tools
    assert read == custom_function("write", "Write.", expected)


def test_the_model_sees_the_grammar_in_lines() -> None:
    grammar = 'start: line+\nline: "x" /[^\\n]*/ "\\n"\n'
    (lark,) = chat(
        tools=[custom(description="Write.", format={"type": "grammar", "syntax": "lark", "definition": grammar})]
    ).tools
    (regex,) = chat(tools=[custom(format={"type": "grammar", "syntax": "regex", "definition": "a+"})]).tools
    (free,) = chat(tools=[custom(description="Write.")]).tools
    assert lark.description == f"Write.\n\nThe input follows this grammar:\n{grammar.strip()}"  # type: ignore[union-attr]
    assert regex.description == "The input matches this regular expression: a+"  # type: ignore[union-attr]
    assert free.description == "Write."  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("broken", "param", "code"),
    [
        ({"type": "custom"}, "tools[0].custom", "missing_required_parameter"),
        ({"type": "custom", "name": "f"}, "tools[0].custom", "missing_required_parameter"),
        (custom(name=""), "tools[0].custom.name", "empty_string"),
        (custom(name="f" * (MAX_OWN_NAME + 1)), "tools[0].custom.name", "string_above_max_length"),
        (custom(description=1), "tools[0].custom.description", "invalid_type"),
        (custom(format="text"), FORMAT, "invalid_type"),
        (custom(format={}), f"{FORMAT}.type", "missing_required_parameter"),
        (custom(format={"type": "json"}), f"{FORMAT}.type", "invalid_value"),
        (custom(format={"type": "grammar"}), f"{FORMAT}.grammar", "missing_required_parameter"),
        (custom(format={"type": "grammar", "syntax": "lark"}), f"{FORMAT}.definition", "missing_required_parameter"),
        (custom(format={"type": "grammar", "grammar": {}}), f"{FORMAT}.grammar.syntax", "missing_required_parameter"),
        (
            custom(format={"type": "grammar", "grammar": {**LARK, "syntax": "ebnf"}}),
            f"{FORMAT}.grammar.syntax",
            "invalid_value",
        ),
        (
            custom(format={"type": "grammar", "grammar": {**LARK, "definition": "x" * 65_537}}),
            f"{FORMAT}.grammar.definition",
            "string_above_max_length",
        ),
    ],
)
def test_broken_tools(broken: object, param: str, code: str) -> None:
    assert error_of(tools=[broken])[1:] == (param, code)


def test_names_are_unique_over_all_tools() -> None:
    assert error_of(tools=[tool("f"), custom("f")])[1] == "tools[1].custom.name"
    assert error_of(tools=[custom("f"), tool("f")])[1] == "tools[1].function.name"
    assert error_of(tools=[{"type": "code_interpreter"}, custom("python")])[1] == "tools[1].custom.name"
    assert isinstance(chat(tools=[{"type": "code_interpreter"}, custom()]).tools[0], CodeInterpreter)


def test_tool_choice() -> None:
    assert asked(tool_choice=NAMED).choice == ToolChoice("named", ("write",))
    assert asked(tool_choice="required").choice == ToolChoice("required", ("write", "draw", "f"))
    tools = [NAMED, {"type": "function", "function": {"name": "f"}}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}
    assert asked(tool_choice=allowed).choice == ToolChoice("auto", ("write", "f"))


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "custom"},
        {"type": "custom", "custom": {}},
        {"type": "custom", "name": "write"},
        {"type": "custom", "custom": {"name": "absent"}},
        {"type": "custom", "custom": {"name": "f"}},
        {"type": "function", "function": {"name": "write"}},
    ],
)
def test_a_choice_names_a_tool_of_its_kind(choice: object) -> None:
    with pytest.raises(Exception, match="tool_choice"):
        asked(tool_choice=choice)


# History


def test_history() -> None:
    """An earlier call is shown to the model as it would write it: the text in JSON."""
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "write", "input": TEXT}}],
    }
    request = chat(USER, call, answer("c", "done"))
    arguments = input_arguments(TEXT)
    assert json.loads(arguments) == {"input": TEXT}
    assert request.messages[1:] == (
        Message("assistant", None, (Call("write", arguments, "c"),)),
        Message("tool", "done", name="write", call_id="c"),
    )


def test_both_kinds_of_calls_in_one_message() -> None:
    both = asks("a")
    both["tool_calls"].append({"id": "b", "type": "custom", "custom": {"name": "write", "input": ""}})
    request = chat(USER, both, answer("b"), answer("a"))
    assert [call.name for call in request.messages[1].calls] == ["f_a", "write"]
    assert [message.name for message in request.messages[2:]] == ["write", "f_a"]


@pytest.mark.parametrize(
    ("call", "at"),
    [
        ({"id": "c", "type": "custom"}, ".custom"),
        ({"id": "c", "type": "custom", "custom": {"name": "write"}}, ".custom.input"),
        ({"id": "c", "type": "custom", "custom": {"name": "write", "input": {}}}, ".custom.input"),
        ({"id": "c", "custom": {"name": "write", "input": ""}}, ".type"),
        ({"id": "c", "type": "other", "custom": {"name": "write", "input": ""}}, ".type"),
        ({"type": "custom", "custom": {"name": "write", "input": ""}}, ".id"),
    ],
)
def test_broken_history(call: object, at: str) -> None:
    assert (
        error_of(USER, {"role": "assistant", "tool_calls": [call]}, answer("c"))[1] == f"messages[1].tool_calls[0]{at}"
    )


# Answers


def deltas(request: ChatRequest, events: Sequence[object]) -> list[dict[str, Any]]:
    choice = Choice(request)
    return [chunk for event in events for chunk in choice.chunks(event)]  # type: ignore[arg-type]


def test_a_call_is_streamed_as_text() -> None:
    events = [CallStart("write"), ArgsDelta('{"inp'), ArgsDelta('ut": "a\\'), ArgsDelta('"b\\n'), ArgsDelta('"}')]
    chunks = deltas(asked(), [*events, Finish("stop", 1, 1)])
    first, *others, last = [chunk["delta"] for chunk in chunks]
    call_id = first["tool_calls"][0].pop("id")
    assert call_id.startswith("call_")
    call = {"index": 0, "type": "custom", "custom": {"name": "write", "input": ""}}
    assert first == {"role": "assistant", "content": None, "tool_calls": [call]}
    pieces = [{"tool_calls": [{"index": 0, "custom": {"input": text}}]} for text in ("a", '"b\n')]
    assert others == pieces and last == {}
    assert chunks[-1]["finish_reason"] == "tool_calls"
    whole = {"id": call_id, "type": "custom", "custom": {"name": "write", "input": 'a"b\n'}}
    first["tool_calls"][0]["id"] = call_id
    assert fold(chunks)["message"]["tool_calls"] == [whole]


def test_text_functions_and_custom_tools_in_one_answer() -> None:
    events = [
        TextDelta("Well"),
        *(CallStart("f"), ArgsDelta('{"input": 1}')),
        *(CallStart("write"), ArgsDelta(input_arguments(TEXT))),
        *(CallStart("draw"), ArgsDelta(input_arguments(""))),
    ]
    message = fold(deltas(asked(), [*events, Finish("stop", 1, 1)]))["message"]
    kinds = [{key: value for key, value in call.items() if key != "id"} for call in message["tool_calls"]]
    assert message["content"] == "Well"
    assert kinds == [
        {"type": "function", "function": {"name": "f", "arguments": '{"input": 1}'}},
        {"type": "custom", "custom": {"name": "write", "input": TEXT}},
        {"type": "custom", "custom": {"name": "draw", "input": ""}},
    ]


def test_the_text_does_not_depend_on_the_pieces_of_the_arguments() -> None:
    """However the arguments fall into pieces, the pieces of the text join to the same text, and none is empty."""
    for arguments in (input_arguments(TEXT), json.dumps({"input": TEXT})):
        for size in range(1, len(arguments)):
            pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
            events = [CallStart("write"), *map(ArgsDelta, pieces), Finish("stop", 1, 1)]
            chunks = deltas(asked(), events)
            assert fold(chunks)["message"]["tool_calls"][0]["custom"]["input"] == TEXT
            assert all(chunk["delta"]["tool_calls"][0]["custom"]["input"] for chunk in chunks[1:-1])


def test_a_text_that_the_token_limit_cuts() -> None:
    """The text so far is kept. An escape that was cut is left out."""
    events = [CallStart("write"), ArgsDelta('{"input": "ab\\nc\\'), Finish("length", 1, 1)]
    choice = fold(deltas(asked(), events))
    assert choice["message"]["tool_calls"][0]["custom"]["input"] == "ab\nc"
    assert choice["finish_reason"] == "length"
    reader = InputReader()
    assert [reader.feed(piece) for piece in ('{"input"', ': "', "x", '"}', "}")] == ["", "", "x", "", ""]


def test_a_named_tool_ends_with_stop() -> None:
    events = [CallStart("write"), ArgsDelta(input_arguments("x")), Finish("stop", 1, 1)]
    assert fold(deltas(asked(tool_choice=NAMED), events))["finish_reason"] == "stop"


def test_a_name_that_the_model_cannot_be_shown_has_an_alias() -> None:
    """MCP servers have names with dots; the alias is in the prompt, and the name of the request in the answer."""
    call = {"id": "c", "type": "custom", "custom": {"name": "files.edit", "input": "x"}}
    body = {"model": "m", "messages": [USER, {"role": "assistant", "tool_calls": [call]}, answer("c")]}
    choice = {"type": "custom", "custom": {"name": "files.edit"}}
    request = chat_request({**body, "tools": [custom("files.edit")], "tool_choice": choice})
    assert request.tools[0].name == request.messages[1].calls[0].name == "files_edit"
    assert request.choice.names == ("files_edit",)
    message = fold(deltas(request, [CallStart("files_edit"), ArgsDelta(input_arguments("y")), Finish("stop", 1, 1)]))
    assert message["message"]["tool_calls"][0]["custom"] == {"name": "files.edit", "input": "y"}
