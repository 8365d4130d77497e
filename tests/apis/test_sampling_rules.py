"""The sampling fields of a request: their ranges and types."""

from __future__ import annotations

import pytest

from tests.support.ranges import RANGES
from tests.support.request_examples import chat, error_of


def test_values_out_of_range_are_errors(subtests: pytest.Subtests) -> None:
    for field, values in RANGES.items():
        for value in (*values.outside, *values.not_json):
            with subtests.test(f"{field}={value!r:.60}"):
                message, param, _ = error_of(**{field: value})
                assert field in message or message.startswith("Invalid value: ")
                assert param is not None and param.startswith(field)


def test_out_of_range(subtests: pytest.Subtests) -> None:
    for field, values in RANGES.items():
        for value in (*values.inside, *values.beyond_the_model):
            with subtests.test(f"{field}={value!r:.60}"):
                chat(**{field: value})


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
