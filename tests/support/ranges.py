"""The ranges of a request's fields: values that each field accepts, and values that are errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HUGE = 10**400


@dataclass(frozen=True)
class Range:
    """Valid and invalid values of one field. The values in `inside` are valid.

    The values in `outside` and `not_json` break the field's own rule; those in `not_json` exist in Python but not in
    JSON. The values in `beyond_the_model` are errors for a vocabulary of 272 tokens, or if `max_tokens` is 1.
    """

    inside: tuple[Any, ...] = ()
    outside: tuple[Any, ...] = ()
    not_json: tuple[Any, ...] = ()
    beyond_the_model: tuple[Any, ...] = ()


RANGES: dict[str, Range] = {
    "temperature": Range(
        inside=(0, 2, 1e-300, 5e-324, 1e-6, None),
        outside=(-0.0001, -0.1, 2.0001, 2.1, 1e308, -1e308, 10**300, HUGE, "0.5", "NoneType", True),
        not_json=(float("nan"), float("inf")),
    ),
    "top_p": Range(
        inside=(0, 1, 1e-300, 5e-324, None), outside=(-0.1, 1.0001, 1.1, 1e308, "0.5"), not_json=(float("nan"),)
    ),
    "presence_penalty": Range(inside=(-2, 2), outside=(-2.1, 2.1, 1e300), not_json=(float("-inf"),)),
    "frequency_penalty": Range(inside=(-2, 2, 1e-300), outside=(-2.1, 2.1, -1e300, [])),
    "max_tokens": Range(inside=(1, None), outside=(0, -1, -(2**63), 1.0, 1.5, "ten", "1", True)),
    "max_completion_tokens": Range(inside=(1,), outside=(0, 2.0, {})),
    "n": Range(inside=(1, 8), outside=(0, 9, 129, 10**9, 2**63, HUGE, 1.0, "1", [1], True)),
    "seed": Range(
        inside=(2**63 - 1, -(2**63), 0), outside=(2**63, -(2**63) - 1, 2**64, 2**70, -(2**70), 1.0, 1.5, "1", "x")
    ),
    "stop": Range(
        inside=(["x" * 1000] * 64, "\0", ["", ""], "😀"),
        outside=(
            *(["a"] * 65, ["a"] * 1000, "x" * 1001, ["x" * 1001]),
            *(1, [1], [None], ["a", 1], {}, {"a": 1}),
        ),
    ),
    "logprobs": Range(inside=(True, False), outside=(1, "true")),
    "top_logprobs": Range(outside=(5, 0)),  # errors without `logprobs`
    "logit_bias": Range(
        inside=({"271": 100}, {"0": -100, "00": 100}, {str(i): -100 for i in range(272)}, {"258": 1e-300}),
        outside=(
            *({"1": 101}, {"1": -101}, {"1": "x"}, {"1": "1"}, {"1": None}, {"1": True}, {"x": 1}, {"-1": 1}),
            *({"1.5": 1}, {"": 1}, {str(2**31): 1}, {"9" * 400: 1}, {"²": 1}, {"٣": 1}, {"1e1": 1}, {" 1": 1}),
            *({str(i): 0 for i in range(1025)}, []),
        ),
        not_json=({"1": float("nan")},),
        beyond_the_model=({"272": 1}, {"100000": 1}),
    ),
    "stream": Range(outside=("maybe", 1, "true", [True])),
    "metadata": Range(
        inside=({"k" * 64: "v" * 512}, {str(i): "" for i in range(16)}),
        outside=(
            *({"k": 1}, {"k": None}, {"k" * 65: "v"}, {"k": "v" * 513}, {str(i): "v" for i in range(17)}, "x"),
            {"a": 1},
        ),
    ),
    "top_k": Range(inside=(0, 2**31 - 1), outside=(-2, 2**31, 1.0, 1.5, HUGE)),
    "min_p": Range(inside=(0, 1), outside=(-0.1, 1.1)),
    "repetition_penalty": Range(inside=(0.01, 10), outside=(0, -1, 10.1, 11, 1e300)),
    "min_tokens": Range(inside=(1,), outside=(-1, 2**31, HUGE), beyond_the_model=(2,)),
    "stop_token_ids": Range(
        inside=([271, 0], [258]),
        outside=([-1], [2**31], [1.5], ["1"], ["a"], [True], [0] * 65, list(range(65)), 1),
        beyond_the_model=([272], [2**31 - 1]),
    ),
    "ignore_eos": Range(outside=(1,)),
    "user": Range(outside=([1],)),
    "prompt_cache_key": Range(outside=(1, {}, [])),
    "store": Range(outside=("yes",)),
    "reasoning_effort": Range(outside=("much", 1)),
    "chat_template_kwargs": Range(
        inside=({}, {"date": 1}), outside=("x", [], {"enable_thinking": "no"}, {"thinking": 1})
    ),
    "enable_thinking": Range(inside=(True,), outside=("yes", 1)),
    "verbosity": Range(outside=("mute",)),
    "modalities": Range(outside=(["audio"], ["text", "audio"], [], "text")),
    "audio": Range(outside=({},)),
    "web_search_options": Range(outside=({},)),
    "moderation": Range(outside=({"model": "x"},)),
    "response_format": Range(outside=("json", {}, {"type": "xml"}, {"type": "json_schema"})),
    "stream_options": Range(outside=({}, [], 1)),  # errors without `stream`
    "functions": Range(outside=([{}], [{"name": 1}], [{"name": "f"}] * 2, [{"name": f"f{i}"} for i in range(1025)])),
}
