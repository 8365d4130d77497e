"""Group A of the hostile requests: bodies of invalid JSON, and hostile bodies of valid JSON, with expected answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.abuse_client import BODY, CHAT, PROMPT, RAW, USER, as_json

GOOD = as_json(BODY)
NUMBERS = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "max_completion_tokens", "n"),
    *("seed", "top_logprobs", "top_k", "min_p", "repetition_penalty", "min_tokens"),
)
NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5_000, "-" + "9" * 400)
SURROGATES = (r"\ud83d", r"\udc00x", r"a\udfff\ud800")


class Case(NamedTuple):
    """A request and the statuses that are right for it.

    `message` is a part of the expected error message, and `param` is the field that the error must name.
    """

    name: str
    body: Any
    expected: tuple[int, ...] = (400,)
    message: str = ""
    param: str | None = None
    path: str = CHAT


def broken_documents() -> Iterator[Case]:
    """Yield each invalid document once for each route. Both routes must give the same errors."""
    for name, document in _documents().items():
        for path in (CHAT, RAW):
            yield Case(f"{name} to {path[4:]}", document, path=path, message="We could not parse the JSON body")


def _documents() -> dict[str, bytes]:
    text = GOOD.decode()
    return {
        **{f"cut at {size}": GOOD[:size] for size in range(0, len(GOOD) - 1, 12)},
        **{f"only {value}": value.encode() for value in ("null", "true", "0", '"x"', "[]", "[{}]", " \n", "undefined")},
        **{f"with {bad}": f'{{"model": {bad}}}'.encode() for bad in _BAD_VALUES},
        "trailing comma": GOOD[:-1] + b",}",
        "line comment": b"// hello\n" + GOOD,
        "block comment": GOOD + b"/* bye */",
        "hash comment": GOOD + b"# bye",
        "two documents": GOOD + GOOD,
        "two lines": GOOD + b"\n" + GOOD,
        "single quotes": text.replace('"', "'").encode(),
        "bare keys": b'{model: "tiny"}',
        "no colon": b'{"model" "tiny"}',
        "wrong closer": b'{"model": "tiny"]',
        "form": b"model=tiny&messages=hi",
        "multipart": b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n--x--',
        "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///">]><a>&x;</a>',
        "gzip that nobody announced": gzip.compress(GOOD),
        "pickle": b"\x80\x04\x95\x0f\x00\x00\x00",
        "BOM": b"\xef\xbb\xbf" + GOOD,
        "UTF-16": text.encode("utf-16"),
        "UTF-16-BE": text.encode("utf-16-be"),
        "UTF-32": text.encode("utf-32"),
        "Latin-1": '{"model": "é"}'.encode("latin-1"),
        "overlong NUL": b'{"model": "\xc0\x80"}',
        "overlong slash": b'{"model": "\xe0\x80\xaf"}',
        "surrogate as bytes": b'{"model": "\xed\xa0\xbd"}',
        "beyond Unicode": b'{"model": "\xf4\x90\x80\x80"}',
        "half a character": b'{"model": "\xf0\x9f\x98"}',
        "binary": bytes(range(256)),
        "open arrays": b"[" * 100_000,
        "open objects": b'{"a":' * 100_000,
        "closed arrays": b"[" * 100_000 + b"]" * 100_000,
        "closed objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "mixed nest": b'{"a":[' * 50_000 + b"]}" * 50_000,
        "deep in messages": b'{"model": "tiny", "messages": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        "one level too deep": b'{"a":' * 129 + b"1" + b"}" * 129,
        "only closers": b"]" * 100_000,
    }


_BAD_VALUES = (
    *(
        r'"\x41"',
        r'"\u12"',
        r'"\uZZZZ"',
        r'"\"',
        '"open',
        '"tab\there"',
        '"line\nbreak"',
        '"nul\0"',
        "'x'",
        "`x`",
        "tiny",
    ),
    *(
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "1e",
        "--1",
        "1_000",
        "True",
        "None",
        "nan",
        "-",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{1: 2}",
    ),
    *("NaN", "Infinity", "-Infinity", "[NaN]", '{"x": -Infinity}', "9" * 5_000),
)


def odd_documents() -> Iterator[Case]:
    """Yield valid JSON that looks odd.

    The last of equal keys wins, no key has a special meaning, and nesting up to the limit is accepted.
    """
    for path, start in ((CHAT, BODY), (RAW, PROMPT)):
        text = as_json(start).decode()
        for name, document in {
            "equal keys, the last is right": text.replace('"max_tokens"', '"max_tokens": "x", "max_tokens"'),
            "10,000 unknown keys": json.dumps({**start, **{f"key{i}": i for i in range(10_000)}}),
            "keys of a prototype": json.dumps({**start, "__proto__": {"n": 9}, "constructor": {}, "__class__": "x"}),
            "keys that no header can carry": json.dumps({**start, " ": 1, "": 2, "x ": 3, "a\r\nb: c": 4, "é": 5}),
            "120 levels in a field that nobody reads": text[:-1] + ', "x": ' + "[" * 120 + "]" * 120 + "}",
            "whitespace all around": " \r\n\t" * 1_000 + text + "\n" * 1_000,
        }.items():
            yield Case(f"{name} to {path[4:]}", document.encode(), (200,), path=path)
        last_is_wrong = text.replace('"model"', '"max_tokens": 1, "model"', 1)[:-1] + ', "max_tokens": "x"}'
        yield Case(f"the last is wrong, {path[4:]}", last_is_wrong.encode(), param="max_tokens", path=path)


def numbers_that_are_none() -> Iterator[Case]:
    """Put NaN, infinities and integers of 5,000 digits into every numeric field."""
    start = as_json({"model": "tiny", "messages": [USER]})[:-1]
    for number in NO_NUMBERS:
        for field in NUMBERS:
            yield Case(f"{field}={number[:9]}", start + f', "{field}": {number}}}'.encode())
        yield Case(f"logit_bias={number[:9]}", start + f', "logit_bias": {{"1": {number}}}}}'.encode())


def texts_with(escape: str) -> Iterator[tuple[str, bytes]]:
    """For every string field, yield its name and a body with the escape in that field."""
    function = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    called = {"id": "i", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    properties = {"type": "object", "properties": {"ESCAPE": {"type": "string"}}}
    bodies: dict[str, dict[str, Any]] = {
        "messages[0].content": {"messages": [{**USER, "content": "ESCAPE"}]},
        "messages[0].content[0].text": {"messages": [{**USER, "content": [{"type": "text", "text": "ESCAPE"}]}]},
        "messages[0].name": {"messages": [{**USER, "name": "ESCAPE"}]},
        "messages[1].tool_calls[0].function.arguments": {
            "messages": [USER, {"role": "assistant", "tool_calls": [_in_call(called, "arguments")]}, _result("i")]
        },
        "messages[1].tool_calls[0].function.name": {
            "messages": [USER, {"role": "assistant", "tool_calls": [_in_call(called, "name")]}, _result("i")]
        },
        "messages[1].tool_calls[0].id": {
            "messages": [USER, {"role": "assistant", "tool_calls": [{**called, "id": "ESCAPE"}]}, _result("ESCAPE")]
        },
        "messages[2].content": {
            "messages": [USER, {"role": "assistant", "tool_calls": [called]}, {**_result("i"), "content": "ESCAPE"}]
        },
        "stop": {"stop": "ESCAPE"},
        "stop[1]": {"stop": ["a", "ESCAPE"]},
        "user": {"user": "ESCAPE"},
        "metadata.k": {"metadata": {"k": "ESCAPE"}},
        "tools[0].function.description": {"tools": [_tool({**function, "description": "ESCAPE"})]},
        "tools[0].function.parameters.properties.ESCAPE": {"tools": [_tool({**function, "parameters": properties})]},
        "tools[0].function.parameters.properties.x.enum[0]": {
            "tools": [_tool({**function, "parameters": {"properties": {"x": {"enum": ["ESCAPE"]}}}})]
        },
        "unknown.ESCAPE": {"unknown": {"ESCAPE": 1}},
    }
    for name, fields in bodies.items():
        yield name, as_json({**BODY, **fields}).replace(b"ESCAPE", escape.encode())


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": function}


def _in_call(call: dict[str, Any], field: str) -> dict[str, Any]:
    return {**call, "function": {**call["function"], field: "ESCAPE"}}


def _result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "ok"}


def surrogates() -> Iterator[Case]:
    """Yield bodies with a lone surrogate in a string, which is an error that names the field."""
    for escape in SURROGATES:
        for name, body in texts_with(escape):
            yield Case(f"{name}={escape}", body, message="surrogate", param=name.partition("ESCAPE")[0])
    for field in ("model", "role", "tool_choice"):
        body = as_json({**BODY, field: "ESCAPE"}).replace(b"ESCAPE", rb"\udead")
        yield Case(f"{field} with a surrogate", body, message="surrogate", param=field)


def controls() -> Iterator[Case]:
    """Yield bodies with control characters such as U+0000, which are valid text."""
    for escape in (r"\u0000", r"\u001b[31m\r\n", r"\uffff\ufffe\u202e"):
        for name, body in texts_with(escape):
            yield Case(f"{name}={escape}", body, (200,))
