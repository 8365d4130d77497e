"""A conversation as the variables that chat templates read, in the shape of OpenAI's messages and tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.conversation import Call, Function, Message
from prompt_template import ReasoningMarks

Json = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """In which of the usual shapes a chat template wants what the templates of different families want differently.

    has_objects: the arguments of calls are objects, not strings.
    null_content: the content of a turn that only calls is null, not an empty text.
    short_ids: the ids of calls have nine letters and digits, as Mistral's templates demand.
    """

    has_objects: bool = True
    null_content: bool = False
    short_ids: bool = False


# In the order in which they are tried. Objects are what most templates want; a string would be quoted twice.
SHAPES = tuple(
    Shape(has_objects, null_content, short_ids)
    for short_ids in (False, True)
    for has_objects in (True, False)
    for null_content in (False, True)
)


def chat_messages(messages: Sequence[Message], shape: Shape) -> list[Json]:
    """Return normalised messages in OpenAI's shape."""
    return [_message(message, shape) for message in messages]


def chat_tools(functions: Sequence[Function]) -> list[Json]:
    """Return functions as OpenAI's tools."""
    return [{"type": "function", "function": _function(function)} for function in functions]


def with_own_reasoning(message: Message, marks: ReasoningMarks) -> Message:
    """Return a message of the assistant with the reasoning that its content begins with taken out of the content.

    Some clients send answers back as the model wrote them. Templates take the reasoning out in the same way, but inside
    a text of the request its marks would be no control tokens.
    """
    head, tail = marks.head.strip(), marks.tail.strip()
    before, found, after = (message.content or "").partition(tail)
    if message.role != "assistant" or message.reasoning or not found or not before.lstrip().startswith(head):
        return message
    return replace(message, content=after.lstrip("\n"), reasoning=before.lstrip().removeprefix(head).strip("\n"))


def map_strings(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """Return a JSON value with all its strings and keys changed. `change` gets a string and the key that it stands at.

    The key of a key is empty.
    """
    match value:
        case str():
            return change(value, key)
        case list():
            return [map_strings(item, change, key) for item in value]
        case dict():
            return {change(name, ""): map_strings(item, change, name) for name, item in value.items()}
    return value


def _function(function: Function) -> Json:
    parameters = function.parameters or {"type": "object", "properties": {}}
    return {"name": function.name, "description": function.description, "parameters": parameters}


def _message(message: Message, shape: Shape) -> Json:
    written: Json = {"role": message.role, "content": message.content or ""}
    if message.role == "tool":
        return written | {"name": message.name, "tool_call_id": _id(message.call_id, shape)}
    if message.name:
        written["name"] = message.name
    if message.reasoning:
        written["reasoning_content"] = message.reasoning
    if message.calls:
        written["tool_calls"] = [_call(call, shape) for call in message.calls]
        if shape.null_content and not message.content:
            written["content"] = None
    return written


def _call(call: Call, shape: Shape) -> Json:
    arguments: Any = call.arguments
    if shape.has_objects:
        arguments = _object(call.arguments)
    function = {"name": call.name, "arguments": arguments}
    return {"id": _id(call.id, shape), "type": "function", "function": function}


def _object(arguments: str) -> Any:
    """Return the arguments as an object; as the text itself if they are none, as a model may have written them."""
    try:
        read = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return read if isinstance(read, dict) else arguments


def _id(call_id: str, shape: Shape) -> str:
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:9] if shape.short_ids else call_id
