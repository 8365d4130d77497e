"""Bodies of POST /v1/responses that several tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from apis.responses import AskedResponse, response_request
from core.conversation import ChatRequest
from core.errors import RequestError

Json = dict[str, Any]
KEPT: dict[str, Sequence[Json]] = {
    "resp_1": (
        {"type": "message", "id": "msg_1_in0", "role": "user", "content": [{"type": "input_text", "text": "old"}]},
        {
            "type": "function_call",
            "id": "fc_1_0",
            "call_id": "call_a",
            "name": "f",
            "arguments": "{}",
            "status": "completed",
        },
    )
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "name": "f", "parameters": CITY}
PATCH = {"type": "custom", "name": "patch"}
CALL = {"type": "function_call", "call_id": "call_a", "name": "f", "arguments": '{"a":1}'}
RESULT = {"type": "function_call_output", "call_id": "call_a", "output": "ok"}


def ask(input_: object = "Hi", *, strict_openai: bool = False, **fields: Any) -> AskedResponse:
    given = {} if input_ is None else {"input": input_}
    return response_request({"model": "m", **given, **fields}, find=KEPT.get, strict_openai=strict_openai)


def chat(input_: object = "Hi", **fields: Any) -> ChatRequest:
    return ask(input_, **fields).chat


def error_of(input_: object = "Hi", **fields: Any) -> tuple[str, str | None, str | None]:
    """Return message, param and code of the error."""
    with pytest.raises(RequestError) as caught:
        ask(input_, **fields)
    assert len(caught.value.message) <= 500
    return caught.value.message, caught.value.param, caught.value.code
