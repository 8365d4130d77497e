"""The messages of a request -> conversation.Message, and the rules of a history: who answers whom.

What a model once wrote is never refused, however broken: arguments that are no JSON, calls of functions long gone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, Tag

from apis.rules.fields import Shape, Size, by, either, tag
from core.conversation import Call, Message
from core.errors import RequestError

MAX_MESSAGES = 4096

# "preceeding" is how OpenAI spells it.
_ORPHAN = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."


class TextPart(Shape):
    """A piece of text."""

    type: Literal["text"] = Field(description="Only text can be read here.")
    text: str = Field(description="The text; may be empty.")


class RefusalPart(Shape):
    """A piece of text with which the model once refused."""

    type: Literal["refusal"] = Field(description="Only in a message of the assistant.")
    refusal: str = Field(description="The text.")


_String = Annotated[str, Tag(tag("string"))]
_AnyParts = list[
    Annotated[
        Annotated[TextPart, Tag(tag("text"))] | Annotated[RefusalPart, Tag(tag("refusal"))],
        by("type", "text", "refusal"),
    ]
]
_STRING_OR_PARTS = either("one of a string or array of objects")

Text = Annotated[_String | Annotated[list[TextPart], Size(low=1), Tag(tag("array"))], _STRING_OR_PARTS]
# An empty list is a result of a tool that has nothing to say, as MCP's; and agents replay empty lists.
_Result = Annotated[_String | Annotated[list[TextPart], Size(), Tag(tag("array"))], _STRING_OR_PARTS]
_Said = Annotated[_String | Annotated[_AnyParts, Size(), Tag(tag("array"))], _STRING_OR_PARTS]


class FunctionCall(Shape):
    """A call in the history."""

    name: str = Field(description="Any name; the function need not be declared any more.")
    arguments: Any = Field(None, description="The JSON text that the model wrote; other values are shown as JSON.")


class ToolCall(Shape):
    """A call in the history that a message of role tool answers by its id."""

    id: str = Field(description="As the answer of this server gave it.")
    type: Literal["function"] | None = Field("function", description="Always function.")
    function: FunctionCall = Field(description="What was called.")


class SystemMessage(Shape):
    """Instructions; developer means the same as system."""

    role: Literal["system", "developer"] = Field(description="Both mean the same.")
    name: str | None = Field(None, description="Ignored.")
    content: Text = Field(description="A text, whole or in parts.")


class UserMessage(Shape):
    """What the user says."""

    role: Literal["user"] = Field(description="The user.")
    name: str | None = Field(None, description="Ignored.")
    content: Text = Field(description="A text, whole or in parts; may be empty.")


class AssistantMessage(Shape):
    """What the model said: content, calls or both."""

    role: Literal["assistant"] = Field(description="The model.")
    name: str | None = Field(None, description="Ignored.")
    content: _Said | None = Field(None, description="Required unless there are calls.")
    refusal: str | None = Field(None, description="Stands for the content if there is none.")
    tool_calls: Annotated[list[ToolCall], Size()] | None = Field(
        None, description="Each must be answered by a tool message right after this one."
    )
    function_call: FunctionCall | None = Field(None, description="The older style.")


class ToolMessage(Shape):
    """The result of a call in `tool_calls`."""

    role: Literal["tool"] = Field(description="A result.")
    name: str | None = Field(None, description="Ignored.")
    content: _Result = Field(description="A text, whole or in parts; may be empty.")
    tool_call_id: str = Field(description="The id of the call, which the assistant's message right before has.")


class FunctionMessage(Shape):
    """The result of a `function_call`, the older style."""

    role: Literal["function"] = Field(description="A result in the older style.")
    name: str = Field(description="The function that was called.")
    content: _Result | None = Field(description="A text, whole or in parts; may be empty or null.")


AnyMessage = Annotated[
    Annotated[SystemMessage, Tag(tag("system"))]
    | Annotated[SystemMessage, Tag(tag("developer"))]
    | Annotated[UserMessage, Tag(tag("user"))]
    | Annotated[AssistantMessage, Tag(tag("assistant"))]
    | Annotated[ToolMessage, Tag(tag("tool"))]
    | Annotated[FunctionMessage, Tag(tag("function"))],
    by("role", "system", "assistant", "user", "function", "tool", "developer"),
]
Messages = Annotated[list[AnyMessage], Size(MAX_MESSAGES, 1)]


class MessageFields(Shape):
    """The model and the history that it goes on with."""

    model: str = Field(description="One of the names in /v1/models.", examples=["functionary"])
    messages: Messages = Field(
        description="The conversation up to here.", examples=[[{"role": "user", "content": "Hello"}]]
    )


class _Turn(NamedTuple):
    """A message, the role under which it came, and those of its calls that must be answered."""

    role: str
    message: Message
    asked: tuple[Call, ...] = ()


def fold_messages(messages: Sequence[AnyMessage]) -> tuple[Message, ...]:
    """The history, checked. developer becomes system, function becomes tool; answers carry the name of their call."""
    turns = [_turn(message, index) for index, message in enumerate(messages)]
    folded: list[Message] = []
    while len(folded) < len(turns):
        first = len(folded)
        end = first + 1
        while end < len(turns) and turns[end].role == "tool":
            end += 1
        folded.append(turns[first].message)
        folded.extend(_answers(turns[first], turns[first + 1 : end], first))
    return tuple(folded)


def joined(content: str | Sequence[TextPart | RefusalPart]) -> str:
    """The text of a content, given as a string or in parts."""
    if isinstance(content, str):
        return content
    return "".join(part.text if part.type == "text" else part.refusal for part in content)


def _turn(message: AnyMessage, position: int) -> _Turn:
    # Compared by role: isinstance of a pydantic class takes longer than all the rest.
    if message.role == "user":
        return _Turn("user", Message("user", joined(message.content)))
    if message.role == "assistant":
        return _assistant(message, position)
    if message.role == "tool":
        return _Turn("tool", Message("tool", joined(message.content), call_id=message.tool_call_id))
    if message.role == "function":
        return _Turn("function", Message("tool", joined(message.content or ""), name=message.name))
    return _Turn("system", Message("system", joined(message.content)))


def _assistant(message: AssistantMessage, position: int) -> _Turn:
    content = message.refusal if message.content is None else joined(message.content)
    asked = tuple(_call(call.function, call.id) for call in message.tool_calls or ())
    calls = asked if message.function_call is None else (*asked, _call(message.function_call))
    if content is None and not calls:
        path = f"messages[{position}].content"
        sentence = f"Invalid value for '{path}': expected a string or an array of parts, but got nothing. "
        raise RequestError(sentence + "It is required unless 'tool_calls' or 'function_call' is specified.", path)
    return _Turn("assistant", Message("assistant", content, calls), asked)


def _call(call: FunctionCall, call_id: str = "") -> Call:
    """Other servers wrote objects or null for arguments."""
    arguments = "" if call.arguments is None else call.arguments
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return Call(call.name, text, call_id)


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
    return RequestError(_ORPHAN, f"messages.[{position}].role")


def _unanswered(call_ids: list[str], position: int) -> RequestError:
    message = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(call_ids)}"
    )
    return RequestError(message, f"messages.[{position}].role")
