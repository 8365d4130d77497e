"""Writes the texts of requests to a teacher, and finds the JSON in the teacher's answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from apis.rules.json_text import JsonError, read_json
from client.json_lines import Json
from core.conversation import Function, Message
from schema import typescript

MAX_STARTS = 200  # the most brackets that are tried as the beginning of a JSON value

_START = re.compile(r"[\[{]")
_REASONING_END = "</think>"  # some teachers write their reasoning first, and it may hold drafts of the answer


def body(system: str, user: str, *, temperature: float, max_tokens: int) -> Json:
    """Return the body of a chat request with a system and a user message. It has no field that some teachers reject."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"messages": messages, "temperature": temperature, "max_tokens": max_tokens}


def declared(functions: Sequence[Function]) -> str:
    """Declare functions as TypeScript, as in the prompts of our own models."""
    return typescript(functions)


def transcript(messages: Sequence[Message]) -> str:
    """Write a conversation as plain text, one paragraph for each message, call and result."""
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
    """Return the answer without the reasoning before it."""
    return text.rpartition(_REASONING_END)[2].strip()


def json_values(text: str) -> Iterator[object]:
    """Yield the outermost JSON objects and lists in `text`, in order. Other text may be between them.

    Values that a row cannot hold are left out: NaN, lone surrogates, numbers beyond float64.
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
