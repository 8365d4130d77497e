"""The body of POST /v1/responses -> ChatRequest: items, earlier responses, formats, and what the answer repeats."""

from __future__ import annotations

from typing import Any

import pytest

from core.conversation import Call, Message, Reasoning, ResponseFormat
from tests.support.response_events import check_response
from tests.support.response_requests import CALL, CITY, FUNCTION, KEPT, PATCH, RESULT, ask, chat, error_of

Json = dict[str, Any]


# Items


def test_a_string_is_a_message_of_the_user() -> None:
    assert chat("Hi", instructions="Be brief").messages == (Message("system", "Be brief"), Message("user", "Hi"))


def test_an_empty_string_is_an_empty_message_of_the_user() -> None:
    """As in chat completions. Regression test: the error was about an empty array."""
    asked = ask("")
    assert asked.chat.messages == (Message("user", ""),)
    assert [item["content"] for item in asked.input_items] == [[{"type": "input_text", "text": ""}]]


def test_messages_with_parts_and_without_a_type() -> None:
    messages = chat(
        [
            {"role": "developer", "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"type": "message", "role": "user", "content": "c", "id": "msg_x", "status": "completed"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "d", "annotations": []}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "user", "content": []},
        ]
    ).messages
    assert messages == (
        Message("system", "ab"),
        Message("user", "c"),
        Message("assistant", "d"),
        Message("assistant", "no"),
        Message("user", ""),
    )


def test_what_the_model_wrote_in_one_go_is_one_message() -> None:
    """Its reasoning, text and calls are items of their own, as agents send them back."""
    messages = chat(
        [
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
            CALL,
            {"type": "custom_tool_call", "call_id": "call_b", "name": "patch", "input": 'a "b"'},
            {"type": "custom_tool_call_output", "call_id": "call_b", "output": [{"type": "input_text", "text": "B"}]},
            RESULT,
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": "x"},
            {"role": "assistant", "content": "Done."},
        ]
    ).messages
    calls = (Call("f", '{"a":1}', "call_a"), Call("patch", '{"input": "a \\"b\\""}', "call_b"))
    assert messages == (
        Message("assistant", "Looking.", calls, reasoning="hm"),
        Message("tool", "B", name="patch", call_id="call_b"),
        Message("tool", "ok", name="f", call_id="call_a"),
        Message("assistant", "Done.", reasoning="so"),
    )


def test_results_follow_their_call_wherever_they_stand() -> None:
    """Agents put a user's words between a call and its result. Prompt formats want the result first."""
    messages = chat(
        [
            CALL,
            {"role": "user", "content": "wait"},
            RESULT,
            {**CALL, "call_id": "call_b"},
            {**RESULT, "call_id": "call_b"},
        ]
    ).messages
    assert [message.role for message in messages] == ["assistant", "tool", "user", "assistant", "tool"]


def test_arguments_of_history_are_shown_as_they_are() -> None:
    (message, _) = chat([{**CALL, "arguments": {"a": "é"}}, RESULT]).messages
    assert message.calls[0].arguments == '{"a": "é"}'
    (message, _) = chat([{**CALL, "arguments": "{broken"}, RESULT]).messages
    assert message.calls[0].arguments == "{broken"


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([CALL], "No tool output found for function call call_a."),
        (
            [{"type": "custom_tool_call", "call_id": "c", "name": "p", "input": ""}],
            "No tool output found for custom tool call c.",
        ),
        ([RESULT], "No tool call found for function call output with call_id call_a."),
        ([RESULT, CALL], "No tool call found for function call output with call_id call_a."),
    ],
)
def test_calls_and_results_must_match(items: list[Json], text: str) -> None:
    assert error_of(items) == (text, "input", None)


@pytest.mark.parametrize(
    ("items", "param", "code"),
    [
        ([{"type": "web_search_call", "id": "ws_1"}], "input[0].type", "invalid_value"),
        ([{}], "input[0].type", "missing_required_parameter"),
        (["x"], "input[0]", "invalid_type"),
        ([{"role": "critic", "content": "x"}], "input[0].role", "invalid_value"),
        ([{"role": "user"}], "input[0].content", "missing_required_parameter"),
        ([{"role": "user", "content": 1}], "input[0].content", "invalid_type"),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}],
            "input[0].content[0]",
            "invalid_value",
        ),
        ([{"role": "user", "content": [{"type": "input_file"}]}], "input[0].content[0]", "invalid_value"),
        (
            [{"role": "user", "content": [{"type": "input_text"}]}],
            "input[0].content[0].text",
            "missing_required_parameter",
        ),
        ([{**CALL, "call_id": None}], "input[0].call_id", "invalid_type"),
        ([], "input", "empty_array"),
        (None, "input", "missing_required_parameter"),
        (7, "input", "invalid_type"),
    ],
)
def test_wrong_items_are_named(items: Any, param: str, code: str) -> None:
    assert error_of(items)[1:] == (param, code)


@pytest.mark.parametrize("odd", [5, [], {}, "", None, True])
def test_fields_that_are_not_read_may_be_anything(odd: Any) -> None:
    """An id that is a list must not fail where ids are compared."""
    asked = ask([{"role": "user", "content": "x", "id": odd, "status": odd, "phase": odd}], previous_response_id=None)
    assert asked.input_items[0]["id"].startswith("msg_")
    assert asked.input_items[0]["status"] == "completed"
    reference = {"type": "item_reference", "id": "fc_1_0", "role": odd}
    assert [message.role for message in chat([reference, RESULT]).messages] == ["assistant", "tool"]


# Earlier responses


def test_a_previous_response_comes_before_the_input() -> None:
    asked = ask([RESULT], previous_response_id="resp_1", instructions="new")
    assert [message.role for message in asked.chat.messages] == ["system", "user", "assistant", "tool"]
    assert asked.previous_items == KEPT["resp_1"]
    (result,) = asked.input_items
    assert result["id"].startswith("fco_")
    assert error_of(previous_response_id="resp_2") == (
        "Previous response with id 'resp_2' not found.",
        "previous_response_id",
        "previous_response_not_found",
    )


def test_references_to_items_of_kept_responses() -> None:
    """The Vercel AI SDK sends references in place of the items of earlier answers, without previous_response_id."""
    for reference in ({"type": "item_reference", "id": "fc_1_0"}, {"id": "fc_1_0"}):
        asked = ask([{"role": "user", "content": "x"}, reference, RESULT])
        assert [message.role for message in asked.chat.messages] == ["user", "assistant", "tool"]
        assert asked.input_items[1] == KEPT["resp_1"][1]
    twice = chat([{"type": "item_reference", "id": "fc_1_0"}, RESULT], previous_response_id="resp_1")
    assert [message.role for message in twice.messages] == ["user", "assistant", "tool"]
    for unknown in ("fc_1_9", "fc_2_0", "x", "", "_1_", "a_b_c_d"):
        message, param, _ = error_of([{"type": "item_reference", "id": unknown}])
        assert message.startswith(f"Item with id '{unknown}' not found.")
        assert param == "input"


def test_kept_items_are_complete() -> None:
    """The items of a request are listed with an id, a status and parts, as OpenAI lists them."""
    (item,) = ask("Hi").input_items
    response_id = ask("Hi").head["id"]
    assert response_id.startswith("resp_")
    assert {**item, "id": ""} == {
        "type": "message",
        "id": "",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "Hi"}],
    }
    own, call, _ = ask([{"role": "assistant", "content": "x", "id": "msg_own"}, CALL, RESULT]).input_items
    assert own["id"] == "msg_own"
    assert own["content"] == [{"type": "output_text", "text": "x", "annotations": [], "logprobs": []}]
    assert call["arguments"] == CALL["arguments"]


# Formats, sampling, and the rest of the fields


def test_text_format() -> None:
    schema = {**CITY, "additionalProperties": False}
    asked = ask(text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}})
    assert asked.chat.response_format == ResponseFormat("json_schema", schema, True, "x", param="text.format.schema")
    assert asked.head["text"]["format"]["schema"] == schema
    assert chat(text={"format": {"type": "json_object"}}).response_format.kind == "json_object"
    assert chat(text={"verbosity": "low"}).response_format.kind == "text"
    message, param, code = error_of(text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "x"}}})
    assert message.startswith("Invalid schema for response_format 'x': ")
    assert (param, code) == ("text.format.schema", "invalid_json_schema")
    assert error_of(text={"format": {"type": "xml"}})[1] == "text.format.type"
    assert error_of(text={"format": {"type": "json_object"}}, strict_openai=True)[:2] == (
        "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
        "input",
    )
    assert error_of(text={"format": {"type": "json_object"}}, guided_regex="a")[1] == "guided_regex"


def test_reasoning_and_sampling() -> None:
    request = chat(
        reasoning={"effort": "low", "summary": "auto"}, max_output_tokens=5, temperature=0, top_k=3, seed=1, stop=["x"]
    )
    assert request.reasoning == Reasoning(None, "low")
    assert request.effort_fields == ("reasoning.effort",)
    assert "reasoning.summary" in request.ignored
    assert chat(reasoning={"effort": "none"}).reasoning == Reasoning(False, None)
    assert chat(reasoning={"effort": "none"}).switch_fields == ("reasoning.effort",)
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_k, sampling.seed, sampling.stop) == (
        5,
        0,
        3,
        1,
        ("x",),
    )
    assert sampling.logprobs is None
    assert chat(top_logprobs=2).sampling.logprobs == 2
    assert chat(include=["message.output_text.logprobs"]).sampling.logprobs == 0
    assert error_of(reasoning={"effort": "huge"})[1] == "reasoning.effort"
    assert error_of(max_output_tokens=0)[1] == "max_output_tokens"


@pytest.mark.parametrize(("field", "value"), [("background", True), ("conversation", "c"), ("prompt", {"id": "p"})])
def test_what_this_server_does_not_have_is_refused_by_name(field: str, value: Any) -> None:
    assert error_of(**{field: value})[1:] == (field, "unsupported_parameter")
    assert chat(**{field: None}).ignored == ()


def test_fields_of_agent_programs_are_accepted() -> None:
    request = chat(
        background=False,
        client_metadata={"session_id": "x"},
        include=["reasoning.encrypted_content"],
        max_tool_calls=3,
        prompt_cache_key="k",
        safety_identifier="s",
        service_tier="auto",
        stream_options={"include_obfuscation": False},
        text={"verbosity": "low"},
        truncation="auto",
        user="u",
        mystery=1,
    )
    assert request.ignored == ("mystery", "max_tool_calls", "truncation")


def test_unknown_fields_with_strict_openai() -> None:
    for field in ("mystery", "top_k", "seed", "stop", "presence_penalty"):
        expected = (f"Unrecognized request argument supplied: {field}", None, None)
        assert error_of(strict_openai=True, **{field: None}) == expected
    assert error_of([{"role": "user", "content": "x", "mood": 1}], strict_openai=True)[1] == "input[0].mood"


def test_the_answer_repeats_the_request() -> None:
    """Every field that the official client's type requires is there, of the right type."""
    fields: Json = {
        "temperature": 0.5,
        "top_p": 1.0,
        "metadata": {"k": "v"},
        "instructions": "Be brief",
        "store": False,
    }
    head = ask("Hi", **fields, tools=[FUNCTION, PATCH], max_output_tokens=9, user="u").head
    check_response(head)
    assert {key: head[key] for key in fields} == fields
    assert (head["max_output_tokens"], head["user"], head["status"]) == (9, "u", "in_progress")
    never_null = ("presence_penalty", "frequency_penalty", "top_logprobs", "truncation", "background", "service_tier")
    assert all(head[key] is not None for key in (*never_null, "tools", "tool_choice", "store"))
