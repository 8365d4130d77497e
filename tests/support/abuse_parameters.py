"""Group C of the hostile requests: fields of wrong types, out of range and just within range.

The limits are OpenAI's or this server's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.support.abuse_client import BODY, CANARY, PROMPT, RAW, USER
from tests.support.abuse_json import Case
from tests.support.ranges import RANGES

VALUES: tuple[Any, ...] = (True, -1, 7, 1.5, "x", "", [], [1], [None], {}, {"x": 1}, [[]], [{}])
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "f"}}
CHAT_BODY = {"model": "tiny", "messages": [USER]}
JSON_SCHEMA = {"name": "x", "schema": {"type": "object"}}

# The items of VALUES that each field accepts. True does not count as a number, nor 1.5 as an integer.
RIGHT: dict[str, tuple[Any, ...]] = {
    "temperature": (1.5,),
    "top_p": (),
    "presence_penalty": (-1, 1.5),
    "frequency_penalty": (-1, 1.5),
    "max_tokens": (7,),
    "max_completion_tokens": (7,),
    "n": (7,),
    "seed": (-1, 7),
    "stop": ("x", "", []),
    "logprobs": (True,),
    "logit_bias": ({},),
    "stream": (True,),
    "user": ("x", ""),
    "metadata": ({},),
    "store": (True,),
    "service_tier": ("x", ""),
    "top_k": (-1, 7),
    "min_p": (),
    "repetition_penalty": (7, 1.5),
    "min_tokens": (),
    "ignore_eos": (True,),
    "stop_token_ids": ([], [1]),
    "reasoning_effort": (),
    "chat_template_kwargs": ({}, {"x": 1}),
    "enable_thinking": (True,),
    "verbosity": (),
    "prediction": ({"type": "content", "content": "x"},),
    "response_format": (),
    "modalities": (),
    "audio": (),
    "web_search_options": (),
    "moderation": (),
    "stream_options": (),
    "tools": ([],),
    "tool_choice": (),
    "parallel_tool_calls": (True,),
    "functions": ([],),
    "function_call": (),
}
# Fields that other servers know. This server ignores them, whatever their values are.
IGNORED: dict[str, tuple[Any, ...]] = {
    "prompt_embeds": ("gASVDwAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOU",),
    "cache_salt": ("\0" * 1000, 1, {}),
    "kv_transfer_params": ({"remote_host": "127.0.0.1"},),
    "allowed_token_ids": ([10**9], []),
    "bad_words": (["x"] * 1000, [1]),
    "chat_template": (
        "{% for i in range(10**9) %}{{ i }}{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ 'x' * 10**10 }}",
    ),
    "chat_template_kwargs": ({"tokenize": True, "chat_template": "{{ 1/0 }}", "enable_thinking": True},),
}
TOOL_CHOICES: tuple[Any, ...] = (
    *("any", "", "f", "AUTO", {}, [], 1, True, {"type": "function"}, {"type": "function", "function": {}}),
    *(
        {"type": "function", "function": "f"},
        {"type": "function", "function": {"name": "g"}},
        {"type": "tool", "name": "f"},
    ),
    *({"type": "function", "name": "f"}, {"type": "function", "function": {"name": None}}, {"function": {"name": "f"}}),
    *(
        {"type": "custom", "custom": {"name": "f"}},
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": []},
    ),
    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
    {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": [NAMED]}},
    {"type": "allowed_tools", "allowed_tools": {"tools": [NAMED]}},
    {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
    },
    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED] * 1025}},
)
_BROKEN: tuple[Any, ...] = (None, [], "x", {}, {"name": "x"}, 1, True)
RESPONSE_FORMATS: tuple[Any, ...] = (
    *({"type": "json"}, {"type": None}, {"type": "json_schema"}),
    *({"type": "json_schema", "json_schema": broken} for broken in _BROKEN),
    *({"type": "json_schema", "json_schema": {**JSON_SCHEMA, "name": name}} for name in ("", "x" * 257, 1, None)),
    *({"type": "json_schema", "json_schema": {**JSON_SCHEMA, "schema": s}} for s in (None, [1], "x")),
    *({"type": "json_schema", "json_schema": {**JSON_SCHEMA, "strict": strict}} for strict in ("yes", 1)),
    {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}},
    {"type": "json_schema", "json_schema": {**JSON_SCHEMA, "description": 1}},
)
FORMATS_OPENAI_REFUSES: tuple[Any, ...] = (
    {"type": "json_object"},
    *({"type": "json_schema", "json_schema": {**JSON_SCHEMA, "name": name}} for name in ("a b", "x" * 256, "\0")),
    {"type": "json_schema", "json_schema": {**JSON_SCHEMA, "schema": []}},
    {"type": "json_schema", "json_schema": {**JSON_SCHEMA, "strict": True}},
)
# Prompts of raw completions.
PROMPTS: tuple[Any, ...] = (
    *("", [""], ["x", ""], [], [[]], [1, "x"], ["x", 1], [[1], "x"], ["x", [1]], [[1], [None]], None, 1, {}, True),
    *([272], [-1], [2**31], [2**63], [1.5], [True], [[1], [272]], ["x"] * 129, [[1]] * 129),
)
RAW_FIELDS: dict[str, tuple[Any, ...]] = {
    **{
        field: (*RANGES[field].outside, *RANGES[field].beyond_the_model)
        for field in ("n", "max_tokens", "stream", "logit_bias", "stop")
    },
    "suffix": ("x",),
    "best_of": (2, 0, 10**9, "1"),
    "logprobs": (6, -1, True, 1.5),
    "echo": (1, "x"),
    "stream_options": ({"include_usage": True},),
}


def wrong_types() -> Iterator[Case]:
    for field, right in RIGHT.items():
        for value in VALUES:
            fits = any(value == one and type(value) is type(one) for one in right)
            yield Case(f"{field}={value!r}", {**BODY, field: value}, (200,) if fits else (400,))


def ranges() -> Iterator[Case]:
    for field, values in RANGES.items():
        limit = "max_completion_tokens" if field == "max_completion_tokens" else "max_tokens"
        for value in (*values.outside, *values.beyond_the_model):
            yield Case(f"{field}={value!r:.40}", {**CHAT_BODY, limit: 1, field: value}, param=field)
        for value in values.inside:
            yield Case(f"{field}={value!r:.40} fits", {**CHAT_BODY, limit: 2, field: value}, (200,))
    for field, ignored in IGNORED.items():
        for value in ignored:
            yield Case(f"{field}={value!r:.40} is ignored", {**BODY, "max_tokens": 2, field: value}, (200,))
    yield Case("a billion tokens, cut by a stop", {**BODY, "max_tokens": 10**9, "logit_bias": {"258": 100}}, (200,))


def combinations() -> Iterator[Case]:
    """Yield requests with fields that need or exclude each other. An error must come before a stream starts."""
    for choice in TOOL_CHOICES:
        yield Case(f"tool_choice={choice!r:.90}", {**BODY, "tools": [TOOL], "tool_choice": choice}, param="tool_choice")
        yield Case(f"streamed {choice!r:.90}", {**BODY, "tools": [TOOL], "tool_choice": choice, "stream": True})
    yield Case("a function without tools", {**BODY, "tool_choice": NAMED}, param="tool_choice")
    for choice in ("auto", "required"):
        yield Case(f"{choice} without tools", {**BODY, "tool_choice": choice}, (200,))
    for choice in ("required", "x", {}, {"name": "g"}, {"name": 1}, NAMED, 1):
        body = {**BODY, "functions": [{"name": "f"}], "function_call": choice}
        yield Case(f"function_call={choice!r:.60}", body, param="function_call")
    for wanted in RESPONSE_FORMATS:
        yield Case(f"response_format={wanted!r:.120}", {**BODY, "response_format": wanted})
    for wanted in FORMATS_OPENAI_REFUSES:
        yield Case(f"served {wanted!r:.120}", {**BODY, "response_format": wanted}, (200,))
    yield Case(
        "both dialects", {**BODY, "tools": [TOOL], "functions": [{"name": "f"}]}, message="cannot both be provided"
    )
    yield Case("call without functions", {**BODY, "function_call": "auto"}, (200,))
    yield Case("both limits", {**BODY, "max_completion_tokens": 1}, (200,))
    yield Case("top_logprobs alone", {**BODY, "top_logprobs": 1}, param="top_logprobs")
    yield Case("21 top_logprobs", {**BODY, "logprobs": True, "top_logprobs": 21}, param="top_logprobs")
    yield Case("20 top_logprobs", {**BODY, "logprobs": True, "top_logprobs": 20}, (200,))
    yield Case("options without a stream", {**BODY, "stream_options": {"include_usage": True}}, param="stream_options")
    yield Case("another model", {**BODY, "model": "gpt-4"}, (404,), "The model 'gpt-4' does not exist")
    yield Case("a long model", {**BODY, "model": "x" * 10_000}, (404,), "does not exist")
    yield Case("no model", {"messages": [USER]}, param="model")
    yield Case("no messages", {"model": "tiny"}, param="messages")


def raw_completions() -> Iterator[Case]:
    for prompt in PROMPTS:
        yield Case(f"prompt={prompt!r:.60}", {**PROMPT, "prompt": prompt}, path=RAW)
    for field, values in RAW_FIELDS.items():
        for value in values:
            yield Case(f"raw {field}={value!r:.40}", {**PROMPT, field: value}, param=field, path=RAW)
    served: dict[str, dict[str, Any]] = {
        "control tokens": {"prompt": "<|im_start|><|im_end|>"},
        "ids": {"prompt": [[271, 0], [1]], "n": 2, "echo": True, "logprobs": 5},
        "NUL": {"prompt": "\0", "echo": True},
        "128 choices": {"prompt": ["x"] * 64, "n": 2},
    }
    for name, fields in served.items():
        yield Case(f"raw prompt of {name}", {**PROMPT, **fields}, (200,), path=RAW)
    for prompt in ("x" * 20_000, CANARY * 100_000, [1] * 20_000, [1] * 500_000, [[1], [1] * 20_000]):
        yield Case(f"too long: {len(prompt)}", {**PROMPT, "prompt": prompt, "n": 8}, message="context length", path=RAW)
