"""The exact texts of the error messages. A changed text could break clients that compare it."""

from __future__ import annotations

from typing import Any

import pytest

from apis.chat_completions import chat_request
from core.errors import RequestError
from tests.support.request_examples import (
    PARAMETERS,
    STRICT_PARAMETERS,
    USER,
    answer,
    asks,
    error_of,
    strict_error_of,
    tool,
)

TOOLS = [tool("f")]
TABLE: list[tuple[str, dict[str, Any], tuple[str, str | None, str | None]]] = [
    (
        "tool message that answers nothing",
        {"messages": [USER, USER, USER, answer("a")]},
        (
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
            "with 'tool_calls'.",
            "messages.[3].role",
            None,
        ),
    ),
    (
        "calls not all answered",
        {"messages": [USER, USER, asks("call_a", "call_c", "call_b"), answer("call_c")]},
        (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: call_a, call_b",
            "messages.[2].role",
            None,
        ),
    ),
    (
        "function name",
        {"tools": [tool("get weather")]},
        (
            "Invalid 'tools[0].function.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            "tools[0].function.name",
            "invalid_value",
        ),
    ),
    (
        "name too long",
        {"tools": [tool("f" * 65)]},
        (
            "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, "
            "but got a string with length 65 instead.",
            "tools[0].function.name",
            "string_above_max_length",
        ),
    ),
    (
        "too many tools",
        {"tools": [tool(f"f{i}") for i in range(217)]},
        (
            "Invalid 'tools': array too long. Expected an array with maximum length 128, "
            "but got an array with length 217 instead.",
            "tools",
            "array_above_max_length",
        ),
    ),
    (
        "empty tools",
        {"tools": []},
        (
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "tools",
            "empty_array",
        ),
    ),
    (
        "empty functions",
        {"functions": []},
        (
            "Invalid 'functions': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            "functions",
            "empty_array",
        ),
    ),
    (
        "assistant message without content",
        {"messages": [USER, {"role": "assistant", "content": None}]},
        (
            "Invalid value for 'messages[1].content': expected a string or an array of parts, but got nothing. "
            "It is required unless 'tool_calls' or 'function_call' is specified.",
            "messages[1].content",
            None,
        ),
    ),
    (
        "empty messages",
        {"messages": []},
        (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        ),
    ),
    (
        "tool_choice without tools",
        {"tool_choice": "auto"},
        (
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            "tool_choice",
            None,
        ),
    ),
    (
        "parallel_tool_calls without tools",
        {"parallel_tool_calls": True},
        (
            "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when "
            "'tools' are specified.",
            "parallel_tool_calls",
            None,
        ),
    ),
    (
        "function_call without functions",
        {"function_call": "auto"},
        (
            "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' are specified.",
            "function_call",
            None,
        ),
    ),
    (
        "functions and tools",
        {"functions": [{"name": "f"}], "tools": TOOLS},
        (
            "'functions' and 'tools' cannot both be provided. 'functions' are deprecated; "
            "use the 'tools' parameter instead.",
            None,
            None,
        ),
    ),
    (
        "unknown enum value",
        {"tools": TOOLS, "tool_choice": "x"},
        ("Invalid value: 'x'. Supported values are: 'none', 'auto', and 'required'.", "tool_choice", "invalid_value"),
    ),
    (
        "tool_choice names an unknown function",
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "g"}}},
        (
            "Invalid value for 'tool_choice': no function named g was specified in the 'tools' parameter",
            "tool_choice",
            None,
        ),
    ),
    (
        "function_call names an unknown function",
        {"functions": [{"name": "f"}], "function_call": {"name": "g"}},
        (
            "Invalid value for 'function_call': no function named g was specified in the 'functions' parameter",
            "function_call",
            None,
        ),
    ),
    (
        "strict schema",
        {"tools": [tool(f"f{i}") for i in range(4)] + [tool("f", strict=True)]},
        (
            "Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be supplied "
            "and to be false.",
            "tools[4].function.parameters",
            "invalid_function_parameters",
        ),
    ),
    (
        "strict schema with an optional property",
        {"tools": [tool("f", strict=True, parameters={**STRICT_PARAMETERS, "required": []})]},
        (
            "Invalid schema for function 'f': In context=(), 'required' is required to be supplied and to be an array "
            "including every key in properties. Missing 'city'.",
            "tools[0].function.parameters",
            "invalid_function_parameters",
        ),
    ),
    (
        "null in a schema",
        {"tools": [tool("f", parameters={**PARAMETERS, "required": None})]},
        (
            "Invalid schema for function 'f': In context=(), 'required' must be a list of strings, got null.",
            "tools[0].function.parameters",
            "invalid_function_parameters",
        ),
    ),
    (
        "[] in a schema",
        {"tools": [tool("f", parameters={"type": "object", "properties": []})]},
        (
            "Invalid schema for function 'f': In context=(), 'properties' must be an object, got an array.",
            "tools[0].function.parameters",
            "invalid_function_parameters",
        ),
    ),
    (
        "[] as parameters",
        {"tools": [tool("f", parameters=[])]},
        (
            "Invalid type for 'tools[0].function.parameters': expected an object, but got an array instead.",
            "tools[0].function.parameters",
            "invalid_type",
        ),
    ),
    (
        "unknown field",
        {"chat_template": "x"},
        ("Unrecognized request argument supplied: chat_template", None, None),
    ),
    (
        "stop strings",
        {"stop": ["a"] * 5},
        (
            "Invalid 'stop': array too long. Expected an array with maximum length 4, "
            "but got an array with length 5 instead.",
            "stop",
            "array_above_max_length",
        ),
    ),
    (
        "response_format schema",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "strict": True, "schema": PARAMETERS},
            }
        },
        (
            "Invalid schema for response_format 'x': In context=(), 'additionalProperties' is required to be supplied "
            "and to be false.",
            "response_format",
            None,
        ),
    ),
    (
        "json_object without json",
        {"response_format": {"type": "json_object"}},
        (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
            None,
        ),
    ),
    (
        "stream_options without stream",
        {"stream_options": {"include_usage": True}},
        ("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", None),
    ),
    (
        "both token limits",
        {"max_tokens": 1, "max_completion_tokens": 1},
        (
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            None,
            "invalid_parameter_combination",
        ),
    ),
    (
        "wrong type",
        {"temperature": "1"},
        (
            "Invalid type for 'temperature': expected a number, but got a string instead.",
            "temperature",
            "invalid_type",
        ),
    ),
    (
        "above the range",
        {"temperature": 3},
        (
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
            "temperature",
            "decimal_above_max_value",
        ),
    ),
    (
        "below the range",
        {"max_tokens": 0},
        (
            "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "max_tokens",
            "integer_below_min_value",
        ),
    ),
]


# What only costs the caller: refused with --strict-openai only.
STRICT_ONLY = {
    "assistant message without content",
    "function name",
    "name too long",
    "too many tools",
    "empty tools",
    "empty functions",
    "tool_choice without tools",
    "parallel_tool_calls without tools",
    "function_call without functions",
    "strict schema",
    "strict schema with an optional property",
    "response_format schema",
    "json_object without json",
    "both token limits",
    "stop strings",
    "null in a schema",
    "[] in a schema",
    "[] as parameters",
    "unknown field",
}


def test_the_rules_that_only_cost_the_caller_are_in_the_table() -> None:
    assert {row[0] for row in TABLE} > STRICT_ONLY


@pytest.mark.parametrize(("name", "fields", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table_of_texts(name: str, fields: dict[str, Any], expected: tuple[str, str | None, str | None]) -> None:
    """With --strict-openai every text of the table is OpenAI's. Without it, the same text or an answer."""
    if name in STRICT_ONLY:
        assert strict_error_of(**fields) == expected
        return
    assert error_of(**fields) == expected
    with pytest.raises(RequestError) as caught:
        chat_request({"model": "m", "messages": [USER], **fields}, strict_openai=True)
    assert (caught.value.message, caught.value.param, caught.value.code) == expected


@pytest.mark.parametrize("field", ["model", "messages"])
def test_missing(field: str) -> None:
    body = {"model": "m", "messages": [USER]}
    del body[field]
    with pytest.raises(RequestError) as caught:
        chat_request(body)
    assert caught.value.message == f"Missing required parameter: '{field}'."
    assert (caught.value.param, caught.value.code) == (field, "missing_required_parameter")
