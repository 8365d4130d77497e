"""The sampling fields of a request: their ranges and types."""

from __future__ import annotations

import pytest

from tests.support.request_examples import chat, error_of

HUGE = 10**400
OUT_OF_RANGE: dict[str, list[object]] = {
    "temperature": [-0.1, 2.1, float("nan"), float("inf"), 1e308, HUGE, True],
    "top_p": [-0.1, 1.1, float("nan"), "0.5"],
    "presence_penalty": [-2.1, 2.1, float("-inf")],
    "frequency_penalty": [-2.1, 2.1, []],
    "max_tokens": [0, -1, 1.5, 1.0, "ten", True],
    "max_completion_tokens": [0, 2.0, {}],
    "n": [0, 9, 10**9, HUGE, 1.0, "1", [1], True],
    "seed": [2**63, -(2**63) - 1, 2**70, "x", 1.5],
    "stop": [1, [1], [None], ["a"] * 5, "a" * 1001, ["a" * 1001], {}],
    "logprobs": [1, "true"],
    "top_logprobs": [5, 0],
    "logit_bias": [[], {"x": 1}, {"-1": 1}, {"1": 101}, {"1": "1"}, {"1": float("nan")}, {str(2**31): 1}, {"²": 1}],
    "stream": ["maybe", 1, "true"],
    "metadata": [{"a": 1}, {"k" * 65: "v"}, {"k": "v" * 513}, {str(i): "v" for i in range(17)}, "x"],
    "top_k": [-2, 1.5, HUGE],
    "min_p": [-0.1, 1.1],
    "repetition_penalty": [0, -1, 11],
    "min_tokens": [-1, HUGE],
    "stop_token_ids": [[-1], ["a"], [0] * 65, 1],
    "ignore_eos": [1],
    "user": [1],
    "store": ["yes"],
    "reasoning_effort": ["much", 1],
    "verbosity": ["mute"],
    "modalities": [["text", "audio"], [], "text"],
    "audio": [{}],
    "web_search_options": [{}],
    "moderation": [{"model": "x"}],
    "response_format": ["json", {}, {"type": "xml"}, {"type": "json_schema"}],
    "stream_options": [{}, [], 1],
}


@pytest.mark.parametrize(("field", "value"), [(key, value) for key, values in OUT_OF_RANGE.items() for value in values])
def test_out_of_range(field: str, value: object) -> None:
    message, param, _ = error_of(**{field: value})
    assert field in message or message.startswith("Invalid value: ")
    assert param is not None and param.startswith(field)


def test_the_ends_of_the_ranges() -> None:
    request = chat(
        temperature=0,
        top_p=1,
        presence_penalty=-2,
        frequency_penalty=2.0,
        max_tokens=2**63,
        n=8,
        seed=-(2**63),
        stop=["a" * 1000, "", "b", "\0"],
        logprobs=True,
        top_logprobs=20,
        logit_bias={"0": -100, "2147483647": 100},
        metadata={"k" * 64: "v" * 512},
        stream=True,
        top_k=-1,
        min_p=0.5,
        repetition_penalty=1.1,
        min_tokens=3,
        stop_token_ids=[7],
        ignore_eos=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed) == (0.0, 1.0, 2**63, -(2**63))
    assert sampling.stop == ("a" * 1000, "b", "\0")
    assert sampling.logit_bias == ((0, -100.0), (2147483647, 100.0))
    assert (sampling.top_k, sampling.min_p, sampling.repetition_penalty, sampling.min_tokens) == (0, 0.5, 1.1, 3)
    assert (sampling.stop_token_ids, sampling.ignore_eos, sampling.logprobs) == ((7,), True, 20)
    assert (request.n, request.stream, request.include_usage) == (8, True, True)
    assert request.metadata == {"k" * 64: "v" * 512}
