"""Requests that several tests share."""

from __future__ import annotations

from typing import Any

import pytest

from apis.chat_completions import chat_request
from core.conversation import ChatRequest
from core.errors import RequestError

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT_PARAMETERS = {**PARAMETERS, "additionalProperties": False}
USER = {"role": "user", "content": "Weather in Paris?"}


def tool(name: str = "get_weather", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": PARAMETERS, **fields}}


def asks(*ids: str) -> dict[str, Any]:
    calls = [{"id": i, "type": "function", "function": {"name": f"f_{i}", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def answer(call_id: str, content: object = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def chat(*messages: object, **fields: Any) -> ChatRequest:
    """Parse a body with these messages (default: one question) and fields. Return the result of chat_request."""
    return chat_request({"model": "m", "messages": list(messages) or [USER], **fields})


def strict_error_of(*messages: object, **fields: Any) -> tuple[str, str | None, str | None]:
    """Return message, param and code of the error with --strict-openai. The same request is served without it."""
    body = {"model": "m", "messages": list(messages) or [USER], **fields}
    assert isinstance(chat_request(body), ChatRequest)
    with pytest.raises(RequestError) as caught:
        chat_request(body, strict_openai=True)
    return caught.value.message, caught.value.param, caught.value.code


def error_of(*messages: object, **fields: Any) -> tuple[str, str | None, str | None]:
    """Return message, param and code of the error that `chat` raises for the same arguments."""
    with pytest.raises(RequestError) as caught:
        chat(*messages, **fields)
    assert len(caught.value.message) <= 500
    return caught.value.message, caught.value.param, caught.value.code


FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Answer in JSON"}], "name": "s"},
        USER,
        {**asks("a", "b"), "refusal": None},
        answer("a"),
        answer("b"),
        {"role": "assistant", "content": "x", "refusal": "y", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "ok"},
    ],
    "tools": [tool("f", parameters=STRICT_PARAMETERS, strict=True, description="d"), {"type": "code_interpreter"}],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    },
    "parallel_tool_calls": True,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "x", "description": "d", "schema": STRICT_PARAMETERS, "strict": True},
    },
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 5,
    "temperature": 1,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "n": 2,
    "stop": ["a", "b"],
    "seed": 1,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 1},
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_options": {},
    "prompt_cache_retention": "24h",
    "metadata": {"k": "v"},
    "store": False,
    "service_tier": "auto",
    "reasoning_effort": "low",
    "verbosity": "low",
    "prediction": {"type": "content", "content": "x"},
    "modalities": ["text"],
    "top_k": 1,
    "min_p": 0,
    "repetition_penalty": 1,
    "ignore_eos": False,
    "stop_token_ids": [1],
    "min_tokens": 1,
}
LEGACY: dict[str, Any] = {
    "model": "m",
    "messages": [USER],
    "functions": [{"name": "f", "description": "d", "parameters": PARAMETERS}],
    "function_call": {"name": "f"},
    "max_completion_tokens": 5,
    "stop": "a",
}
RAW: dict[str, Any] = {"model": "m", "prompt": [[1, 2], [3]], "n": 2, "best_of": 2, "echo": True, "logprobs": 1}
