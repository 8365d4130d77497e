"""Anthropic's Messages API: bodies converted to requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apis.messages import EXAMPLES, count_request, messages_request
from core.conversation import Call, ChatRequest, Function, Message, Reasoning, ToolChoice
from core.errors import RequestError

Json = dict[str, Any]
USER = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "The weather", "input_schema": SCHEMA}
TIME = {"name": "get_time", "input_schema": {"type": "object"}}


def converted(*messages: Json, strict_openai: bool = False, **fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 9, "messages": list(messages) or [USER], **fields}
    return messages_request(json.loads(json.dumps(body)), strict_openai=strict_openai)


def error_of(*messages: Json, strict_openai: bool = False, **fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        converted(*messages, strict_openai=strict_openai, **fields)
    return caught.value


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def text(content: str) -> Json:
    return {"type": "text", "text": content}


def use(call_id: str, name: str = "get_weather", **arguments: Any) -> Json:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(call_id: str, content: Any = "14", **fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


# Messages


def test_strings_and_text_blocks() -> None:
    """Blocks have an empty line between them: Claude Code sends its reminders as blocks before the user's words."""
    messages = converted(user(text("<reminder>"), text("Hi")), system=[text("Be brief."), text("Be kind.")]).messages
    assert messages == (Message("system", "Be brief.\n\nBe kind."), Message("user", "<reminder>\n\nHi"))
    assert converted(USER, system="Be brief.").messages == (Message("system", "Be brief."), Message("user", "Hi"))
    assert converted(USER, system="").messages == converted(USER, system=[]).messages == (Message("user", "Hi"),)
    assert converted(user()).messages == (Message("user", ""),)


def test_calls_results_and_thinking() -> None:
    """The results come first, then the text of the user's message. Encrypted thinking is left out."""
    messages = converted(
        USER,
        assistant(
            {"type": "thinking", "thinking": "Hm.", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            text("One moment."),
            use("a", city="Zürich"),
            use("b", "get_time"),
        ),
        user(text("And?"), result("b", [text("12:00"), text("CET")]), result("a")),
    ).messages
    calls = (Call("get_weather", '{"city": "Zürich"}', "a"), Call("get_time", "{}", "b"))
    assert messages[1:] == (
        Message("assistant", "One moment.", calls, reasoning="Hm."),
        Message("tool", "12:00\n\nCET", name="get_time", call_id="b"),
        Message("tool", "14", name="get_weather", call_id="a"),
        Message("user", "And?"),
    )


def test_a_failed_call_is_shown_as_an_error() -> None:
    """The prompt formats have no field for it, so the text says it, once."""
    for content, shown in (("no such city", "Error: no such city"), ("Error: x", "Error: x"), (None, "Error: ")):
        blocks = user(result("a", content, is_error=True))
        assert converted(USER, assistant(use("a")), blocks).messages[-1].content == shown
    assert converted(USER, assistant(use("a")), user(result("a", [], is_error=False))).messages[-1].content == ""


def test_neighbours_of_one_role_are_one_turn() -> None:
    """Agents write each block as a message of its own. In Anthropic's API they are one turn, and so are the results."""
    messages = converted(
        USER,
        {"role": "user", "content": "there"},
        {"role": "assistant", "content": "Well."},
        assistant(use("a")),
        assistant(use("b", "get_time")),
        user(result("a")),
        user(result("b", "12")),
    ).messages
    assert [(message.role, message.content) for message in messages] == [
        ("user", "Hi\n\nthere"),
        ("assistant", "Well."),
        ("tool", "14"),
        ("tool", "12"),
    ]
    assert [call.id for call in messages[1].calls] == ["a", "b"]


def test_system_messages_in_the_conversation() -> None:
    """Claude Code describes its environment in a system message after the user's first, and changes tools in others."""
    change = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
    only_changes = {"role": "system", "content": [change, {**change, "type": "tool_removal"}]}
    environment = {"role": "system", "content": [text("Linux"), change], "clear_at": "never"}
    messages = converted(USER, environment, assistant(use("a")), user(result("a")), only_changes).messages
    assert [message.role for message in messages] == ["user", "system", "assistant", "tool"]
    assert messages[1].content == "Linux"
    inline = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": TOOL}}
    assert error_of(USER, {"role": "system", "content": [inline]}).param == "messages[1].content[0].tool.type"


def test_found_tools_are_shown_by_name() -> None:
    found = [{"type": "tool_reference", "tool_name": "f"}, {"type": "tool_reference", "tool_name": "g"}]
    assert converted(USER, assistant(use("a")), user(result("a", found))).messages[-1].content == "f\n\ng"


def test_calls_need_results_in_the_next_message() -> None:
    calls = assistant(use("a"), use("b"))
    for rest in ((user(result("b")),), (USER,), ({"role": "system", "content": "x"}, user(result("a"), result("b")))):
        error = error_of(USER, calls, *rest)
        assert "`tool_use` ids were found without `tool_result` blocks immediately after: a" in error.message
        assert error.param == "messages[1].content"
    with pytest.raises(RequestError, match="immediately after: a, b"):
        count_request({"model": "m", "messages": [USER, calls]})


def test_results_need_a_call_in_the_message_before() -> None:
    for before in ((), (USER, assistant(text("x"))), (USER, assistant(use("b")), user(result("b")), assistant())):
        error = error_of(*before, user(text("x"), result("a")))
        assert error.message.startswith(f"Invalid 'messages[{len(before)}].content[1]': unexpected `tool_use_id` found")
        assert error.param == f"messages[{len(before)}].content[1]"


def test_what_a_model_wrote_is_always_accepted() -> None:
    """Other servers give arguments as text or null, and agents send empty answers back."""
    inputs: list[Any] = ["{", None, [1], {"a": {"b": [None, "ü"]}}]
    calls = [{**use(str(number)), "input": given} for number, given in enumerate(inputs)]
    asked = converted(USER, assistant(*calls), user(*(result(call["id"]) for call in calls)))
    assert [call.arguments for call in asked.messages[1].calls] == ["{", "{}", "[1]", '{"a": {"b": [null, "ü"]}}']
    assert converted(USER, assistant(), USER).messages[1] == Message("assistant", None)


def test_results_answer_calls_with_one_id_in_their_order() -> None:
    """Some servers give every call of a turn the same id. Both results got the name of the last call."""
    calls = assistant(use("a", "first"), use("a", "second"))
    messages = converted(USER, calls, user(result("a"), result("a"), result("a"))).messages
    assert [message.name for message in messages if message.role == "tool"] == ["first", "second", "second"]
    assert error_of(USER, calls, user(result("a"))).param == "messages[1].content"


@pytest.mark.parametrize("kind", ["image", "document"])
def test_images_and_documents_are_refused_by_path(kind: str) -> None:
    block = {"type": kind, "source": {"type": "url", "url": "http://x"}}
    error = error_of(user(text("x"), block))
    assert (error.param, error.code) == ("messages[0].content[1]", "invalid_value")
    assert "this model reads text only" in error.message
    nested = error_of(USER, assistant(use("a")), user(result("a", [text("x"), block])))
    assert nested.param == "messages[2].content[0].content[1]"


def test_prefill_is_refused_but_counted() -> None:
    """No prompt format can continue a turn, and a client that joins both texts would get a beginning twice."""
    messages = [USER, {"role": "assistant", "content": "The answer is ("}]
    error = error_of(*messages)
    assert (error.param, error.code) == ("messages[1].role", "unsupported_value")
    assert "prefill" in error.message
    assert count_request({"model": "m", "messages": messages}).messages[-1].content == "The answer is ("


# Tools


def test_tools() -> None:
    asked = converted(tools=[{**TOOL, "cache_control": {"type": "ephemeral"}, "defer_loading": True}, TIME])
    assert asked.tools == (Function("get_weather", "The weather", SCHEMA), Function("get_time", "", {"type": "object"}))
    assert (asked.choice, asked.max_calls) == (ToolChoice("auto"), None)
    assert converted(tools=[]).tools == ()
    strict = {**TOOL, "type": "custom", "strict": True, "input_schema": {**SCHEMA, "additionalProperties": False}}
    [function] = converted(tools=[strict]).tools
    assert isinstance(function, Function) and function.strict


@pytest.mark.parametrize(
    ("given", "choice", "max_calls"),
    [
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto"), 1),
        ({"type": "any"}, ToolChoice("required", ("get_weather", "get_time")), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required", ("get_weather", "get_time")), 1),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "get_time"}, ToolChoice("named", ("get_time",)), 1),
        (
            {"type": "tool", "name": "get_time", "disable_parallel_tool_use": False},
            ToolChoice("named", ("get_time",)),
            1,
        ),
    ],
)
def test_tool_choices(given: Json, choice: ToolChoice, max_calls: int | None) -> None:
    asked = converted(tools=[TOOL, TIME], tool_choice=given)
    assert (asked.choice, asked.max_calls) == (choice, max_calls)


def test_a_choice_without_tools_changes_nothing() -> None:
    assert converted(tool_choice={"type": "any"}).choice == ToolChoice("none")
    assert error_of(tool_choice={"type": "tool", "name": "f"}).param == "tool_choice.name"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [TIME, {"type": "bash_20250124", "name": "bash"}]}, "tools[1].type", "unsupported_value"),
        ({"tools": [{"type": 5}]}, "tools[0].type", "invalid_type"),
        ({"tools": ["f"]}, "tools[0]", "invalid_type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "missing_required_parameter"),
        ({"tools": [{**TIME, "name": ""}]}, "tools[0].name", "empty_string"),
        ({"tools": [TIME, TIME]}, "tools[1].name", "invalid_value"),
        (
            {"tools": [{**TIME, "input_schema": {"type": "array"}}]},
            "tools[0].input_schema",
            "invalid_function_parameters",
        ),
        ({"tool_choice": "any"}, "tool_choice", "invalid_type"),
        ({"tool_choice": {"type": "required"}}, "tool_choice.type", "invalid_value"),
        ({"tools": [TIME], "tool_choice": {"type": "tool"}}, "tool_choice.name", "missing_required_parameter"),
        ({"tools": [TIME], "tool_choice": {"type": "tool", "name": "f"}}, "tool_choice.name", "invalid_value"),
        ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers", "unsupported_parameter"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": None}, "max_tokens", "invalid_type"),
        ({"temperature": 2.5}, "temperature", "decimal_above_max_value"),
        ({"thinking": {"type": "maybe"}}, "thinking.type", "invalid_value"),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format.type", "invalid_value"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "invalid_value"),
    ],
)
def test_errors_name_the_field(fields: Json, param: str, code: str) -> None:
    error = error_of(**fields)
    assert (error.param, error.code) == (param, code)


def test_missing_fields() -> None:
    for key in ("model", "max_tokens", "messages"):
        body = {"model": "m", "max_tokens": 9, "messages": [USER]}
        del body[key]
        with pytest.raises(RequestError, match=f"Missing required parameter: '{key}'"):
            messages_request(body)
    assert count_request({"model": "m", "messages": [USER]}).messages == (Message("user", "Hi"),)


def test_names_of_mcp_tools_have_aliases() -> None:
    """A name that no prompt format can show has an alias in the prompt, and the answer has the name."""
    own = "mcp://files/read"
    tool = {**TIME, "name": own}
    asked = converted(USER, assistant(use("a", own)), user(result("a")), tools=[tool], strict_openai=True)
    [alias] = [function.name for function in asked.tools]
    assert alias != own and asked.messages[1].calls[0].name == alias == asked.messages[2].name
    assert asked.own_name(alias) == own


# Other fields


@pytest.mark.parametrize(
    ("fields", "wish"),
    [
        ({}, Reasoning()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Reasoning(is_enabled=True)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(is_enabled=True)),
        ({"thinking": {"type": "disabled"}}, Reasoning(is_enabled=False)),
        ({"output_config": {"effort": "high"}}, Reasoning(effort="high")),
    ],
)
def test_thinking_and_effort(fields: Json, wish: Reasoning) -> None:
    assert converted(**fields).reasoning == wish


def test_output_format() -> None:
    stated = {"type": "json_schema", "schema": SCHEMA}
    new, old = converted(output_config={"format": stated}), converted(output_format=stated)
    assert new.response_format.schema == old.response_format.schema == SCHEMA
    assert new.response_format.strict and old.response_format.strict
    error = error_of(output_config={"format": {**stated, "schema": {"type": "x"}}})
    assert error.param == "output_config.format.schema"


def test_sampling() -> None:
    sampling = converted(stop_sequences=["a", ""], temperature=1, top_p=0.5, top_k=40, stream=True).sampling
    assert (sampling.stop, sampling.temperature, sampling.top_p, sampling.top_k) == (("a",), 1, 0.5, 40)
    assert sampling.max_tokens == 9


def test_known_fields_without_effect_and_unknown_ones() -> None:
    """What Claude Code sends is known, also with --strict-openai. Unknown fields are named, or refused by it."""
    known = {
        "metadata": {"user_id": "u"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "thinking": {"type": "adaptive", "display": "omitted"},
        "service_tier": "auto",
        "container": None,
        "mcp_servers": [],
        "top_k": 5,
    }
    cached = {**text("x"), "cache_control": {"type": "ephemeral"}}
    assert converted(user(cached), system=[cached], strict_openai=True, **known).ignored == ()
    other: Json = {"foo": 1, "b r": 2}
    assert converted(**other).ignored == ("foo", "b?r")
    assert error_of(foo=1, strict_openai=True).message == "Unrecognized request argument supplied: foo"
    assert error_of(user({**text("x"), "foo": 1}), strict_openai=True).param == "messages[0].content[0].foo"


def test_null_means_left_out() -> None:
    optional = ("system", "tools", "tool_choice", "stop_sequences", "temperature", "top_p", "top_k", "stream")
    others = ("thinking", "output_config", "output_format", "metadata", "mcp_servers")
    left_out: Json = dict.fromkeys((*optional, *others))
    assert converted(**left_out) == converted()


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "\0", [], {}, [[]], [{}], {"type": "x"}, {"type": "text"}]
)


@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_any_json_is_a_request_or_an_error(name: str, data: st.DataObject) -> None:
    """A field of an example becomes another value; nothing but RequestError may be raised."""
    body = json.loads(json.dumps(EXAMPLES[name]))
    place: Any = body
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(ODD)
    for convert in (messages_request, count_request):
        try:
            convert(body)
        except RequestError as error:
            assert error.message


def test_examples_are_requests() -> None:
    for example in EXAMPLES.values():
        assert messages_request(json.loads(json.dumps(example)), strict_openai=True).ignored == ()
