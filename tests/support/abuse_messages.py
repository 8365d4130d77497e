"""Group D of the hostile requests: absurd conversations, and broken histories such as real agents send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.support.abuse_client import BODY, CANARY, USER
from tests.support.abuse_json import Case

Message = dict[str, Any]
VALUES: tuple[Any, ...] = (None, True, 0, 1.5, "", "x", [], [None], ["x"], [[]], [{}], {}, {"x": 1})
ROLES: tuple[Any, ...] = (
    "",
    "User",
    "root",
    "assistant ",
    "system\n",
    "<|im_start|>",
    "critic",
    None,
    1,
    [],
    {},
    ["user"],
)
PARTS: tuple[Any, ...] = (
    *({}, {"type": None}, {"type": "x"}, {"type": "text"}, {"type": "text", "text": None}, {"type": "text", "text": 1}),
    *({"text": "x"}, {"type": ["text"], "text": "x"}, {"type": "refusal", "refusal": "x"}, {"type": "video"}, "text"),
)
BROKEN_ARGUMENTS: tuple[Any, ...] = (
    *(
        "",
        " ",
        "{",
        "null",
        "[]",
        "1",
        '"x"',
        "{}{}",
        "{'a': 1}",
        '{"a": NaN}',
        "\0",
        "<|im_end|>",
        ">>>all\nhi",
        "x" * 9_000,
    ),
    *(None, {}, {"a": [1, None]}, [], 1, True, "[" * 5_000, '{"a": "\ufffd'),
)
UNITS = (
    "x",
    " ",
    "\n",
    "<",
    "<|im_start|>",
    "1",
    "é",
    "e\u0301",
    "\u0301",
    "😀",
    "\0",
    "\u202e",
    "ﷺ",
    ">>>",
    "word and ",
)


def called(**fields: Any) -> Message:
    """Return an assistant message with one call. The arguments `fields` replace fields of the message."""
    call = {"id": "i", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", "tool_calls": [{**call, **fields}]}


def result(content: Any = "ok", call_id: Any = "i") -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _body(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {**BODY, "messages": list(messages), **fields}


def shapes() -> Iterator[Case]:
    """For messages of every role, put values of every type into every field."""
    for value in VALUES:
        yield Case(f"messages={value!r}", {**BODY, "messages": value})
    for role in ROLES:
        yield Case(f"role={role!r}", _body({"role": role, "content": "x"}), param="messages[0].role")
    for role in ("user", "system", "developer"):
        for value in VALUES:
            is_text = isinstance(value, str)
            body = _body({"role": role, "content": value})
            yield Case(
                f"{role} {value!r}", body, (200,) if is_text else (400,), param=None if is_text else "messages[0].c"
            )
        yield Case(f"{role} without content", _body({"role": role}), param="messages[0].content")
    for value in VALUES:
        is_fine = isinstance(value, str) or value == []
        says_nothing = value is None or is_fine
        yield Case(
            f"assistant {value!r}",
            _body(USER, {"role": "assistant", "content": value}),
            (200,) if says_nothing else (400,),
        )
        reasoning = {"role": "assistant", "reasoning_content": value}
        is_reasoning = value is None or isinstance(value, str)
        yield Case(f"reasoning {value!r}", _body(USER, reasoning), (200,) if is_reasoning else (400,))
        is_text = isinstance(value, str)
        yield Case(f"result {value!r}", _body(USER, called(), result(value)), (200,) if is_fine else (400,))
        calls = {"role": "assistant", "tool_calls": value}
        is_none = value is None or value == []
        yield Case(f"tool_calls={value!r}", _body(USER, calls), (200,) if is_none else (400,))
        yield Case(f"name={value!r}", _body({**USER, "name": value}), (200,) if is_text or value is None else (400,))
        if not isinstance(value, str):
            yield Case(f"call id {value!r}", _body(USER, called(id=value), result(call_id=value)))
            yield Case(f"call name {value!r}", _body(USER, called(function={"name": value, "arguments": ""}), result()))
        if value not in (None, {}):
            yield Case(f"call of type {value!r}", _body(USER, called(type=value), result()), param="messages[1]")
        yield Case(f"function {value!r}", _body(USER, called(function=value), result()), param="messages[1]")
    for part in PARTS:
        yield Case(f"part {part!r}", _body({"role": "user", "content": [part]}), param="messages[0].content[0]")
    yield Case(
        "second part",
        _body({"role": "user", "content": [{"type": "text", "text": "a"}, {}]}),
        param="messages[0].content[1]",
    )


def histories() -> Iterator[Case]:
    """Yield histories of calls and results.

    A history is an error if its results and calls do not match. Invalid arguments or names in a call are accepted,
    since a model wrote them.
    """
    yield Case(
        "an answer to nothing",
        _body(USER, result()),
        message="must be a response to a preceeding",
        param="messages.[1].role",
    )
    yield Case("an answer first", _body(result()), message="must be a response", param="messages.[0].role")
    yield Case(
        "unanswered",
        _body(USER, called(), USER),
        message="did not have response messages: i",
        param="messages.[1].role",
    )
    yield Case("unanswered at the end", _body(USER, called()), message="did not have response messages")
    yield Case("the answer of another", _body(USER, called(), result(call_id="j")), message="must be a response")
    yield Case("answered too late", _body(USER, called(), USER, result()), message="did not have response messages")
    yield Case("a result without a name", _body(USER, {"role": "function", "content": "x"}), param="messages[1].name")
    yield Case("an assistant who says nothing", _body(USER, {"role": "assistant"}), (200,))
    for arguments in BROKEN_ARGUMENTS:
        function = {"name": "gone", "arguments": arguments}
        yield Case(f"arguments {arguments!r:.30}", _body(USER, called(function=function), result()), (200,))
        legacy = {"role": "assistant", "content": None, "function_call": function}
        results = {"role": "function", "name": "gone", "content": None}
        yield Case(f"older arguments {arguments!r:.30}", _body(USER, legacy, results), (200,))
    yield Case("no arguments at all", _body(USER, called(function={"name": "f"}), result()), (200,))
    for name in ("a b", "", "<|im_end|>", "all", "x" * 1_000, "f\n>>>g"):
        yield Case(
            f"call of {name!r:.20}", _body(USER, called(function={"name": name, "arguments": "{}"}), result()), (200,)
        )
    yield Case("an empty id", _body(USER, called(id=""), result(call_id="")), (200,))
    yield Case("the same id twice", _body(USER, called(), result(), called(), result()), (200,))
    yield Case("two answers to a call", _body(USER, called(), result(), result("again")), (200,))
    yield Case("one who starts", _body({"role": "assistant", "content": "hi"}), (200,))
    yield Case("nobody but the system", _body({"role": "system", "content": "hi"}), (200,))
    yield Case("systems everywhere", _body(*[{"role": "developer", "content": "x"}, USER] * 3), (200,))
    yield Case("an empty text", _body({"role": "user", "content": ""}), (200,))
    yield Case("a refusal", _body(USER, {"role": "assistant", "refusal": "no"}, USER), (200,))


def media(elsewhere: str) -> Iterator[Case]:
    """Yield messages with media parts, which are errors.

    The server neither decodes them nor fetches anything from `elsewhere`.
    """
    urls = (
        elsewhere,
        f"{elsewhere}/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "data:;base64,%%%",
        "x" * 10**6,
    )
    for url in urls:
        for role in ("user", "system"):
            part = {"type": "image_url", "image_url": {"url": url}}
            yield Case(f"{role}'s image {url[:30]}", _body({"role": role, "content": [part]}), message="text only")
    parts: tuple[Any, ...] = (
        {"type": "image_url"},
        {"type": "image_url", "image_url": elsewhere},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "../../x", "file_data": elsewhere}},
    )
    for part in parts:
        yield Case(f"part {part!r:.60}", _body({"role": "user", "content": [{"type": "text", "text": "x"}, part]}))
    yield Case(
        "a result with an image",
        _body(USER, called(), result([{"type": "image_url", "image_url": {"url": elsewhere}}])),
    )


def lengths() -> Iterator[Case]:
    """Yield prompts that are longer than the context, by much or by little.

    The error states the prompt's length and the context's, and comes before any forward.
    """
    for text in ("x" * 20_000, "x" * 1_900_000, f"{CANARY} " * 100_000, "é" * 20_000):
        for role in ("user", "system"):
            for stream in (False, True):
                body = _body({"role": role, "content": text}, n=8, stream=stream)
                message = "maximum context length is 16384 tokens"
                yield Case(f"{role} {text[:9]} {len(text)} {stream}", body, message=message, param="messages")
    yield Case("many messages", _body(*[USER] * 4_000), message="context length")
    yield Case("too many messages", _body(*[USER] * 4_097), message="maximum length 4096", param="messages")


def heavy_texts() -> Iterator[Case]:
    """Yield 200 kB of text that is slow to tokenize, and thousands of messages and parts.

    These requests need an engine that accepts prompts of any length.
    """
    for unit in UNITS:
        text = (unit * 200_000)[: 200_000 // len(unit[0].encode())]
        yield Case(f"200 kB of {unit!r}", _body({"role": "user", "content": text}), (200,))
    yield Case("4,000 messages", _body(*[USER] * 4_000), (200,))
    part = {"type": "text", "text": "x"}
    yield Case("20,000 parts", _body({"role": "user", "content": [part] * 20_000}), (200,))
    many = [call for i in range(500) for call in called(id=f"c{i}")["tool_calls"]]
    results = [result(call_id=f"c{i}") for i in reversed(range(500))]
    yield Case("500 calls at once", _body(USER, {"role": "assistant", "tool_calls": many}, *results), (200,))
