"""Names of tools that OpenAI forbids: the model sees a legal alias, and the caller sees its own name."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apis.chat_completions import Choice, fold
from apis.rules.fields import LEGAL_NAME, MAX_NAME
from apis.rules.tool_names import own_names
from core.conversation import ChatRequest, ToolChoice
from core.turn_format import ArgsDelta, CallStart, Finish
from tests.support.request_examples import USER, answer, chat, error_of, strict_error_of, tool
from tests.support.work import num_lines


def aliases(*names: str) -> list[str]:
    """Return the names that the model sees."""
    found = {name: alias for alias, name in own_names(names).items()}
    return [found.get(name, name) for name in names]


def test_a_legal_name_is_its_own() -> None:
    assert own_names(["get_weather", "f-1", "x" * 64, "__proto__"]) == {}


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("github.create_issue", "github_create_issue"),
        ("mcp://files/read file", "mcp_files_read_file"),
        ("server:tool", "server_tool"),
        ("a//b..c", "a_b_c"),
        ("météo", "meteo"),
        ("f\n>>>all", "f_all"),
    ],
)
def test_an_alias_reads_like_the_name(name: str, alias: str) -> None:
    assert aliases(name) == [alias]


def test_a_long_name_keeps_its_end_and_gets_a_hash() -> None:
    """MCP's long names begin alike: `mcp__SERVER__`."""
    [alias] = aliases("mcp__the-internal-server-of-our-company-in-europe__list_open_pull_requests")
    assert len(alias) <= MAX_NAME and "europe__list_open_pull_requests_" in alias


def test_names_without_a_legal_letter() -> None:
    first, second = aliases("天気", "時間")
    assert first != second and first.startswith("function_")


def test_aliases_differ_from_names_and_from_each_other() -> None:
    """`a.b` beside `a_b` and `a/b`, and beside an attempt at the alias that `a/b` gets."""
    names = ["a_b", "a.b", "a/b"]
    guessed = aliases(*names)[2]
    assert len(set(aliases(*names, guessed))) == 4 and aliases(*names, guessed)[0] == "a_b"


def test_words_of_prompt_formats_are_no_aliases() -> None:
    """`all` is the user in the formats v2 and v3, and `python` the code interpreter."""
    assert not {"all", "python"} & set(aliases("all.", "python!"))


def test_more_tools_do_not_change_an_alias() -> None:
    """An alias that changed between two turns would make the model call a function by a name that is gone."""
    names = ["a.b", "a/b", "x" * 70]
    assert aliases(*names, "a:b", "c", "d.e")[:3] == aliases(*names)


@given(st.lists(st.text(min_size=1, max_size=100), max_size=20, unique=True))
def test_aliases_are_legal_unique_and_lead_back(names: list[str]) -> None:
    found = aliases(*names)
    assert len(set(found)) == len(names) and own_names(names) == own_names(names)
    assert all(LEGAL_NAME.fullmatch(alias) and len(alias) <= MAX_NAME for alias in found)
    assert [own_names(names).get(alias, alias) for alias in found] == names


MCP = [tool("github.create_issue"), tool("plain")]


def test_the_model_sees_the_alias_everywhere() -> None:
    """Tools, choice, and the calls and results of the history have the alias, so the model sees one name only."""
    call = {"id": "a", "type": "function", "function": {"name": "github.create_issue", "arguments": "{}"}}
    history = [USER, {"role": "assistant", "tool_calls": [call]}, answer("a")]
    named = {"type": "function", "function": {"name": "github.create_issue"}}
    request = chat(*history, tools=MCP, tool_choice=named)
    assert [one.name for one in request.tools] == ["github_create_issue", "plain"]
    assert request.choice == ToolChoice("named", ("github_create_issue",))
    assert request.messages[1].calls[0].name == request.messages[2].name == "github_create_issue"
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    assert chat(tools=MCP, tool_choice=allowed).choice == ToolChoice("required", ("github_create_issue",))


def test_the_older_form_has_aliases_too() -> None:
    functions = [{"name": "a/b"}, {"name": "c"}]
    call = {"role": "assistant", "content": None, "function_call": {"name": "a/b", "arguments": "{}"}}
    result = {"role": "function", "name": "a/b", "content": "ok"}
    request = chat(USER, call, result, functions=functions, function_call={"name": "a/b"})
    assert request.messages[1].calls[0].name == request.messages[2].name == "a_b"
    assert request.choice == ToolChoice("named", ("a_b",))
    assert answered(request, "a_b")["function_call"]["name"] == "a/b"


def test_the_name_of_a_user_is_no_tool() -> None:
    assert chat({**USER, "name": "a.b"}, tools=[tool("a.b")]).messages[0].name == "a.b"


def answered(request: ChatRequest, called: str) -> dict[str, Any]:
    """Return the message for an answer in which the model calls the function `called`."""
    choice = Choice(request)
    events = (CallStart(called), ArgsDelta("{}"), Finish("stop", 1, 1, 0))
    message: dict[str, Any] = fold(chunk for event in events for chunk in choice.chunks(event))["message"]
    return message


def test_the_answer_has_the_callers_name() -> None:
    """Agents look a call up by its name and stop with "tool not found" at any other spelling."""
    request = chat(tools=MCP)
    for called, name in (("github_create_issue", "github.create_issue"), ("plain", "plain")):
        assert answered(request, called)["tool_calls"][0]["function"]["name"] == name


def test_names_that_are_still_wrong() -> None:
    assert error_of(tools=[tool("")])[2] == "empty_string"
    assert error_of(tools=[tool("x" * 257)])[2] == "string_above_max_length"
    assert "the name 'a.b' is taken" in error_of(tools=[tool("a.b"), tool("a.b")])[0]
    named = {"type": "function", "function": {"name": "a_b"}}  # the alias is no name of the caller's
    assert "no function named a_b" in error_of(tools=[tool("a.b")], tool_choice=named)[0]
    broken = error_of(tools=[tool("a.b", parameters={"type": "array"})])[0]
    assert broken.startswith("Invalid schema for function 'a.b'")


@pytest.mark.parametrize("name", ["a b", "é", "a.b", "f\n", "\u202ef", "{f}", "x" * 65])
def test_openai_refuses_them(name: str) -> None:
    assert strict_error_of(tools=[tool(name)])[1] == "tools[0].function.name"
    assert strict_error_of(functions=[{"name": name}])[1] == "functions[0].name"


def test_the_work_for_aliases_grows_with_the_request() -> None:
    def work(num: int) -> int:
        return num_lines(partial(chat, tools=[tool(f"a.b/{'c' * (i % 3)}{i}") for i in range(num)]))

    assert work(1024) < 8.5 * work(128)
