"""What a teacher is shown, and the JSON found in what it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from apis.rules.json_text import JsonError, read_json
from client.json_lines import Json
from core.conversation import Function, Message
from schema import typescript

MAX_STARTS = 200  # brackets tried as the beginning of a JSON value

_START = re.compile(r"[\[{]")
_THOUGHTS = "</think>"  # some teachers think aloud first, and what they think may hold drafts of the answer


def body(system: str, user: str, *, temperature: float, max_tokens: int) -> Json:
    """A chat request in two turns, which every teacher understands."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"messages": messages, "temperature": temperature, "max_tokens": max_tokens}


def declared(functions: Sequence[Function]) -> str:
    """Functions as the models read them."""
    return typescript(functions)


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as plain text, a paragraph a message."""
    return "\n\n".join(paragraph for message in messages for paragraph in _paragraphs(message))


def _paragraphs(message: Message) -> Iterator[str]:
    if message.role == "tool":
        yield f"Result of {message.name} ({message.call_id}): {message.content}"
        return
    if message.content:
        yield f"{message.role.capitalize()}: {message.content}"
    for call in message.calls:
        yield f"Call {call.id}: {call.name}({call.arguments})"


def answer_text(text: str) -> str:
    """Without what the teacher thought before."""
    return text.rpartition(_THOUGHTS)[2].strip()


def values_in(text: str) -> Iterator[object]:
    """The JSON objects and lists that stand in `text`, outermost and in order, with whatever words between them.

    Only values that a row can carry: no NaN, no lone surrogates, no numbers beyond float64.
    """
    text, place, decoder = answer_text(text), 0, json.JSONDecoder()
    for _ in range(MAX_STARTS):
        found = _START.search(text, place)
        if found is None:
            return
        try:
            value, place = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            place = found.start() + 1
            continue
        try:
            yield read_json(json.dumps({"value": value}).encode())["value"]
        except JsonError:
            continue
