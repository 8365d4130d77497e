"""Requests for raw completions, whose prompt can have four shapes."""

from __future__ import annotations

from typing import Any

import pytest

from apis.completions import completion_request
from core.errors import RequestError


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("hi", ("hi",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1], [2, 3]], ((1,), (2, 3))),
    ],
)
def test_prompts(prompt: object, prompts: object) -> None:
    request = completion_request({"model": "m", "prompt": prompt})
    assert request.prompts == prompts
    assert (request.n, request.sampling.max_tokens, request.sampling.logprobs) == (1, 16, None)


def test_fields() -> None:
    body = {"model": "m", "prompt": "x", "n": 2, "best_of": 2, "echo": True, "logprobs": 5, "max_tokens": 3}
    request = completion_request({**body, "stream": True, "stream_options": {"include_usage": True}, "zzz": 1})
    assert (request.n, request.echo, request.stream, request.include_usage) == (2, True, True, True)
    assert (request.sampling.logprobs, request.sampling.max_tokens, request.ignored) == (5, 3, ("zzz",))


def test_only_openai_refuses_five_stop_strings_and_unknown_fields() -> None:
    for fields, message in (
        ({"stop": ["a"] * 5}, "Invalid 'stop': array too long. Expected an array with maximum length 4"),
        ({"chat_template": "x"}, "Unrecognized request argument supplied: chat_template"),
    ):
        body = {"model": "m", "prompt": "x", **fields}
        assert len(completion_request(body).sampling.stop) == len(fields.get("stop", ()))
        with pytest.raises(RequestError, match=message):
            completion_request(body, strict_openai=True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"prompt": [None]}, "prompt[0]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": [1, "a"]}, "prompt[1]"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": [1, -1]}, "prompt[1]"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": [[1, 2**31]]}, "prompt[0][1]"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": ["a"] * 64, "n": 3}, "n"),
        ({"n": 9}, "n"),
        ({"n": 2, "best_of": 3}, "best_of"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"echo": "yes"}, "echo"),
        ({"stop": ["a"] * 65}, "stop"),
        ({"stream_options": {}}, "stream_options"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        completion_request({"model": "m", "prompt": "x", **fields})
    assert caught.value.param == param
