"""Requests of /tokenize and /detokenize: which are converted, and the errors of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from apis.token_ids import detokenize_request, tokenize_request
from core.conversation import ChatRequest
from core.errors import RequestError

USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({}, "Missing required parameter: 'prompt', or 'messages' for a chat.", "prompt"),
        ({"prompt": None}, "Missing required parameter: 'prompt', or 'messages' for a chat.", "prompt"),
        ({"prompt": 5}, "Invalid type for 'prompt': expected a string", "prompt"),
        ({"prompt": ["x"]}, "Invalid type for 'prompt': expected a string", "prompt"),
        ({"prompt": "x", "messages": [USER]}, "cannot both be provided", "prompt"),
        ({"prompt": "x", "model": 5}, "Invalid type for 'model'", "model"),
        ({"prompt": "x", "return_token_strs": 1}, "expected a boolean", "return_token_strs"),
        ({"messages": "x"}, "Invalid type for 'messages': expected an array", "messages"),
        ({"messages": []}, "Invalid 'messages': empty array", "messages"),
        ({"messages": [{"role": "x"}]}, "Invalid value: 'x'", "messages[0].role"),
        ({"messages": [USER], "tools": [{}]}, "Missing required parameter", "tools[0].type"),
        ({"messages": [USER], "add_generation_prompt": "no"}, "expected a boolean", "add_generation_prompt"),
    ],
)
def test_wrong_bodies_of_tokenize(body: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        tokenize_request(body)
    assert message in caught.value.message
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("tokens", "param"),
    [(5, "tokens"), ("1", "tokens"), ([-1], "tokens[0]"), ([1, 2.0], "tokens[1]"), ([True], "tokens[0]")],
)
def test_wrong_bodies_of_detokenize(tokens: object, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        detokenize_request({"tokens": tokens})
    assert caught.value.param == param
    with pytest.raises(RequestError, match="Missing required parameter: 'tokens'"):
        detokenize_request({})


def test_null_is_the_default() -> None:
    fields = ("model", "messages", "add_special_tokens", "add_generation_prompt", "return_token_strs")
    assert tokenize_request({"prompt": "x", **dict.fromkeys(fields)}) == tokenize_request({"prompt": "x"})
    fields = ("model", "prompt", "add_special_tokens", "add_generation_prompt", "return_token_strs")
    assert tokenize_request({"messages": [USER], **dict.fromkeys(fields)}) == tokenize_request({"messages": [USER]})


def test_fields_that_change_nothing_are_named() -> None:
    assert tokenize_request({"prompt": "x", "zzz": 1}).ignored == ("zzz",)
    asked = tokenize_request({"messages": [USER], "zzz": 1, "add_special_tokens": False})
    assert isinstance(asked.prompt, ChatRequest)
    assert (asked.ignored, asked.prompt.ignored) == (("add_special_tokens",), ("zzz",))
    assert detokenize_request({"tokens": [], "zzz": 1}).ignored == ("zzz",)


@pytest.mark.parametrize("body", [{"prompt": "x", "zzz": 1}, {"messages": [USER], "zzz": 1}])
def test_strict_openai_names_unknown_fields_in_an_error(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="Unrecognized request argument supplied: zzz"):
        tokenize_request(body, strict_openai=True)
