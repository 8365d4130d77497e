"""The messages of a request -> conversation.Message, and the rules of a history: who answers whom.

What a model once wrote is never refused, however broken: arguments that are no JSON, calls of functions long gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from apis.rules.fields import Fields, a_string, a_word, an_array, refusal, wrong_type
from core.conversation import Call, Message
from core.errors import RequestError

MAX_MESSAGES = 4096

_MEDIA = ("image_url", "input_audio", "file")
# "preceeding" is how OpenAI spells it.
_ORPHAN = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."


class _Turn(NamedTuple):
    """A message, the role under which it came, and those of its calls that must be answered."""

    role: str
    message: Message
    asked: tuple[Call, ...] = ()


def read_messages(value: object, path: str, max_messages: int = MAX_MESSAGES) -> tuple[Message, ...]:
    """The history, checked. developer becomes system, function becomes tool; answers carry the name of their call."""
    items = an_array(value, path, min_length=1, max_length=max_messages)
    turns = [_read_turn(Fields(item, f"{path}[{index}]")) for index, item in enumerate(items)]
    messages: list[Message] = []
    while len(messages) < len(turns):
        first = len(messages)
        end = first + 1
        while end < len(turns) and turns[end].role == "tool":
            end += 1
        messages.append(turns[first].message)
        messages.extend(_answers(turns[first], turns[first + 1 : end], first))
    return tuple(messages)


def _answers(asker: _Turn, answers: list[_Turn], position: int) -> list[Message]:
    """The tool messages that follow the message at `position`, each with the name of the call that it answers."""
    if asker.role == "tool":  # only the very first message can be both
        raise _orphan(position)
    waiting: dict[str, list[str]] = {}
    for call in reversed(asker.asked):
        waiting.setdefault(call.id, []).append(call.name)
    names: dict[str, str] = {}  # the last name taken for an id: a second answer to one call is harmless
    named = []
    for offset, (_, answer, _) in enumerate(answers, 1):
        if answer.call_id not in waiting:
            raise _orphan(position + offset)
        if waiting[answer.call_id]:
            names[answer.call_id] = waiting[answer.call_id].pop()
        named.append(Message("tool", answer.content, name=names[answer.call_id], call_id=answer.call_id))
    unanswered = [call_id for call_id, left in reversed(waiting.items()) if left]
    if unanswered:
        raise _unanswered(unanswered, position)
    return named


def _orphan(position: int) -> RequestError:
    return refusal(_ORPHAN, f"messages.[{position}].role")


def _unanswered(call_ids: list[str], position: int) -> RequestError:
    message = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(call_ids)}"
    )
    return refusal(message, f"messages.[{position}].role")


def _read_turn(fields: Fields) -> _Turn:
    role = fields.required("role", a_word, tuple(_READERS))
    fields.optional("name", a_string)
    return _READERS[role](fields)


def _system(fields: Fields) -> _Turn:
    return _Turn("system", Message("system", fields.required("content", _text)))


def _user(fields: Fields) -> _Turn:
    return _Turn("user", Message("user", fields.required("content", _text)))


def _tool(fields: Fields) -> _Turn:
    content = fields.required("content", _result)
    return _Turn("tool", Message("tool", content, call_id=fields.required("tool_call_id", a_string)))


def _function(fields: Fields) -> _Turn:
    name = fields.required("name", a_string)
    content = fields.required("content", _result_or_null)
    return _Turn("function", Message("tool", content, name=name))


def _assistant(fields: Fields) -> _Turn:
    content = fields.optional("content", _assistant_text)
    refused = fields.optional("refusal", a_string)
    content = refused if content is None else content
    asked = fields.optional("tool_calls", _tool_calls) or ()
    legacy_call = fields.optional("function_call", _function_call)
    calls = asked if legacy_call is None else (*asked, legacy_call)
    if content is None and not calls:
        path = fields.at("content")
        message = f"Invalid value for '{path}': expected a string or an array of parts, but got nothing. "
        raise refusal(message + "It is required unless 'tool_calls' or 'function_call' is specified.", path)
    return _Turn("assistant", Message("assistant", content, calls), asked)


_READERS: dict[str, Callable[[Fields], _Turn]] = {
    "system": _system,
    "assistant": _assistant,
    "user": _user,
    "function": _function,
    "tool": _tool,
    "developer": _system,
}


def _text(value: object, path: str) -> str:
    return _joined(value, path, ("text",), min_length=1)


def _result(value: object, path: str) -> str:
    return _joined(value, path, ("text",), min_length=0)  # of a tool that has nothing to say, as MCP's


def _result_or_null(value: object, path: str) -> str:
    return "" if value is None else _result(value, path)


def _assistant_text(value: object, path: str) -> str:
    return _joined(value, path, ("text", "refusal"), min_length=0)  # agents replay empty lists


def text_parts(value: object, path: str) -> str:
    """A text, given as a string or in parts."""
    return _joined(value, path, ("text",), min_length=1)


def _joined(value: object, path: str, kinds: tuple[str, ...], min_length: int) -> str:
    """The text of a content, given as a string or in parts of these kinds."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise wrong_type(path, "one of a string or array of objects", value)
    parts = an_array(value, path, min_length=min_length)
    return "".join(_part(Fields(part, f"{path}[{index}]"), kinds) for index, part in enumerate(parts))


def _part(fields: Fields, kinds: tuple[str, ...]) -> str:
    kind = fields.required("type", a_string)
    if kind in _MEDIA:
        message = (
            f"Invalid '{fields.path}': this model reads text only. Expected a part of type 'text', but got '{kind}'."
        )
        raise refusal(message, fields.path, "invalid_value")
    return fields.required(a_word(kind, fields.at("type"), kinds), a_string)


def _tool_calls(value: object, path: str) -> tuple[Call, ...]:
    return tuple(_tool_call(Fields(call, f"{path}[{index}]")) for index, call in enumerate(an_array(value, path)))


def _tool_call(fields: Fields) -> Call:
    call_id = fields.required("id", a_string)
    fields.optional("type", a_word, ("function",))
    return fields.required("function", _function_call, call_id)


def _function_call(value: object, path: str, call_id: str = "") -> Call:
    fields = Fields(value, path)
    return Call(fields.required("name", a_string), _arguments(fields.values.get("arguments")), call_id)


def _arguments(value: object) -> str:
    """Arguments as text: other servers wrote objects or null here."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
