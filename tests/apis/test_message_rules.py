"""Valid conversations with their parsed messages, and invalid conversations with their errors."""

from __future__ import annotations

from typing import Any

import pytest

from core.conversation import Call, Message
from tests.support.request_examples import USER, answer, asks, chat, error_of


def test_developer_is_system_and_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "prompt_cache_breakpoint": {}}]
    request = chat({"role": "developer", "content": parts}, {"role": "user", "name": "bob", "content": ""})
    assert request.messages == (Message("system", "ab"), Message("user", "", name="bob"))


def test_roles_need_not_alternate() -> None:
    system, assistant = {"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}
    assert len(chat(USER, system, system, assistant, assistant).messages) == 5
    assert len(chat(system).messages) == 1


def test_tool_messages_in_any_order_get_the_name_of_their_call() -> None:
    request = chat(USER, asks("a", "b"), answer("b", ""), answer("a", [{"type": "text", "text": "ok"}]), USER)
    assert request.messages[2:4] == (
        Message("tool", "", name="f_b", call_id="b"),
        Message("tool", "ok", name="f_a", call_id="a"),
    )


def test_a_result_may_be_empty() -> None:
    """A result may be an empty list of parts, as an MCP tool without output returns it.

    In a user's message an empty list of parts is an error.
    """
    legacy = {"role": "function", "name": "f", "content": []}
    request = chat(USER, asks("a", "b"), answer("a", []), answer("b", ""), legacy)
    assert [message.content for message in request.messages[2:]] == ["", "", ""]
    assert error_of({"role": "user", "content": []})[2] == "empty_array"


def test_empty_ids_are_ids() -> None:
    request = chat(USER, asks("", ""), answer(""), answer(""))
    assert [message.name for message in request.messages[2:]] == ["f_", "f_"]
    assert error_of(USER, asks("", ""), answer(""))[1] == "messages.[1].role"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", ""),
        ("not json", "not json"),
        ("[1]", "[1]"),
        (None, ""),
        ({"city": "Zürich"}, '{"city": "Zürich"}'),
        ([1, None], "[1, null]"),
        (5, "5"),
    ],
)
def test_any_earlier_model_output_is_accepted(arguments: object, text: str) -> None:
    function = {"name": "no such function!", "arguments": arguments}
    history = {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": function}]}
    assert chat(USER, history, answer("a")).messages[1].calls == (Call("no such function!", text, "a"),)
    legacy = {"role": "assistant", "function_call": function}
    assert chat(USER, legacy).messages[1].calls == (Call("no such function!", text),)


def test_assistant_content() -> None:
    def content(**fields: Any) -> str | None:
        return chat(USER, {"role": "assistant", **fields}).messages[1].content

    assert content(content="a", reasoning_content="hm", reasoning="hm", refusal="no", tool_calls=[]) == "a"
    assert content(refusal="no") == "no"
    assert content(content=[{"type": "refusal", "refusal": "no"}]) == "no"
    assert content(content=[]) == ""


@pytest.mark.parametrize(
    "turn",
    [
        {},
        {"content": None},
        {"content": None, "tool_calls": [], "function_call": None, "refusal": None},
        {"content": None, "reasoning_content": None},
    ],
)
def test_an_assistant_message_with_nothing_is_an_empty_turn(turn: dict[str, Any]) -> None:
    """A turn that the token limit cut inside the reasoning has no content, and agents send it back as it is.

    They stopped at the 400 for it, and could not go on with the conversation.
    """
    assert chat(USER, {"role": "assistant", **turn}, USER).messages[1] == Message("assistant")


def test_reasoning_is_kept_under_either_name() -> None:
    """vLLM and OpenRouter call it `reasoning`; DeepSeek, llama.cpp and SGLang `reasoning_content`."""
    for turn in (
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"thinking": "hm"},
        {"reasoning_content": "hm", "reasoning": "no"},
    ):
        assert chat(USER, {"role": "assistant", **turn}).messages[1] == Message("assistant", reasoning="hm")
    both = chat(USER, {**asks("a"), "reasoning_content": "hm"}, answer("a")).messages[1]
    assert (both.reasoning, both.calls[0].name) == ("hm", "f_a")
    wrong: object
    for wrong in (1, ["hm"], {}):
        assert error_of(USER, {"role": "assistant", "reasoning_content": wrong})[2] == "invalid_type"


def test_names_of_authors_are_kept() -> None:
    messages = [{"role": role, "content": "x", "name": "bob"} for role in ("system", "user", "assistant")]
    assert [message.name for message in chat(*messages).messages] == ["bob"] * 3


@pytest.mark.parametrize(
    ("broken", "param"),
    [
        (1, "messages[0]"),
        ({}, "messages[0].role"),
        ({"role": 1, "content": "x"}, "messages[0].role"),
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": None}, "messages[0].content"),
        ({"role": "user", "content": 1}, "messages[0].content"),
        ({"role": "user", "content": []}, "messages[0].content"),
        ({"role": "user", "content": "x", "name": 1}, "messages[0].name"),
        ({"role": "user", "content": ["x"]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "user", "content": [{"text": "x"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "hologram"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "messages[0].content[0]"),
        ({"role": "assistant", "tool_calls": "x"}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": ["x"]}, "messages[0].tool_calls[0]"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "messages[0].tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, "messages[0].tool_calls[0].id"),
        (
            {"role": "assistant", "tool_calls": [{"id": None, "function": {"name": "f"}}]},
            "messages[0].tool_calls[0].id",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "spell", "function": {"name": "f"}}]},
            "messages[0].tool_calls[0].type",
        ),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "tool", "tool_call_id": "a"}, "messages[0].content"),
        ({"role": "tool", "tool_call_id": "a", "content": None}, "messages[0].content"),
    ],
)
def test_broken_messages(broken: object, param: str) -> None:
    assert error_of(broken)[1] == param


def test_answers_stand_directly_after_their_calls() -> None:
    assert error_of(USER, asks("a"), USER, answer("a"))[1] == "messages.[1].role"
    assert error_of(answer("a"))[1] == "messages.[0].role"
    assert error_of(USER, asks("a"), answer("b"))[1] == "messages.[2].role"
