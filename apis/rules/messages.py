"""Convert a request's messages to core.conversation.Message, and check that every tool result answers a call.

Earlier output of a model is always accepted, even arguments that are not JSON and calls of undeclared functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag

from apis.rules.custom_tools import input_arguments
from apis.rules.earlier_calls import PendingCalls, arguments_text
from apis.rules.fields import Shape, Size, by, either, tag
from core.conversation import Call, Message
from core.errors import RequestError

MAX_MESSAGES = 4096

# The misspelling "preceeding" is OpenAI's.
_ORPHAN = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."


class TextPart(Shape):
    """A part of a message's text."""

    type: Literal["text"] = Field(description="Always text; images, audio and files are not supported.")
    text: str = Field(description="The text; may be empty.")


class RefusalPart(Shape):
    """A part of an assistant's message in which the model declined a request."""

    type: Literal["refusal"] = Field(description="Always refusal.")
    refusal: str = Field(description="The model's text.")


_String = Annotated[str, Tag(tag("string"))]
_AnyParts = list[
    Annotated[
        Annotated[TextPart, Tag(tag("text"))] | Annotated[RefusalPart, Tag(tag("refusal"))],
        by("type", "text", "refusal"),
    ]
]
_STRING_OR_PARTS = either("one of a string or array of objects")

Text = Annotated[_String | Annotated[list[TextPart], Size(low=1), Tag(tag("array"))], _STRING_OR_PARTS]
# These lists may be empty: MCP tools without output return an empty list, and agents send back empty lists.
_Result = Annotated[_String | Annotated[list[TextPart], Size(), Tag(tag("array"))], _STRING_OR_PARTS]
_AssistantContent = Annotated[_String | Annotated[_AnyParts, Size(), Tag(tag("array"))], _STRING_OR_PARTS]


_AUTHOR = "The name of the author. Ignored if the model's prompt format has no place for it."


class FunctionCall(Shape):
    """The function and the arguments of an earlier call."""

    name: str = Field(description="The name of the called function, which need not be declared in this request.")
    arguments: Any = Field(None, description="The arguments as JSON text. Other values are converted to JSON.")


class ToolCall(Shape):
    """An earlier call, whose result is a tool message with the same id."""

    id: str = Field(description="The id that the server gave to the call.")
    type: Literal["function"] | None = Field("function", description="Always function.")
    function: FunctionCall = Field(description="The called function and its arguments.")


class CustomCall(Shape):
    """The custom tool and the text of an earlier call."""

    name: str = Field(description="The name of the called tool, which need not be declared in this request.")
    input: str = Field(description="The text.")


class CustomToolCall(Shape):
    """An earlier call of a custom tool, whose result is a tool message with the same id."""

    id: str = Field(description="The id that the server gave to the call.")
    type: Literal["custom"] = Field(description="Always custom.")
    custom: CustomCall = Field(description="The called tool and its text.")


def _kind_of_call(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("type") or ("custom" if "custom" in value else "function")
    return tag(kind) if kind in ("function", "custom") else None


AnyToolCall = Annotated[
    Annotated[ToolCall, Tag(tag("function"))] | Annotated[CustomToolCall, Tag(tag("custom"))],
    Discriminator(_kind_of_call, "no_member", "type function custom"),
]


class SystemMessage(Shape):
    """Instructions for the model."""

    role: Literal["system", "developer"] = Field(description="system or developer, which mean the same.")
    name: str | None = Field(None, description=_AUTHOR)
    content: Text = Field(description="The text, as a string or as parts.")


class UserMessage(Shape):
    """A message of the user."""

    role: Literal["user"] = Field(description="Always user.")
    name: str | None = Field(None, description=_AUTHOR)
    content: Text = Field(description="The text, as a string or as parts; may be empty.")


class AssistantMessage(Shape):
    """An earlier message of the model: text, calls or both."""

    beyond_openai = frozenset(("reasoning_content", "reasoning", "thinking"))
    unread = frozenset(("audio", "annotations"))

    role: Literal["assistant"] = Field(description="Always assistant.")
    name: str | None = Field(None, description=_AUTHOR)
    content: _AssistantContent | None = Field(
        None, description="The text, as a string or as parts. A message without content and calls is an empty turn."
    )
    reasoning_content: str | None = Field(
        None,
        description="The reasoning before the content, as other servers return it. Ignored if the model's prompt "
        "format has no place for it.",
    )
    reasoning: str | None = Field(None, description="Another name of reasoning_content.")
    thinking: str | None = Field(None, description="Another name of reasoning_content.")
    refusal: str | None = Field(None, description="Used as the content if the message has none.")
    tool_calls: Annotated[list[AnyToolCall], Size()] | None = Field(
        None, description="The calls. The tool messages with their results must follow this message directly."
    )
    function_call: FunctionCall | None = Field(None, description="The call, in the older form.")


class ToolMessage(Shape):
    """The result of a call in `tool_calls`."""

    role: Literal["tool"] = Field(description="Always tool.")
    name: str | None = Field(None, description="Ignored.")
    content: _Result = Field(description="The result, as a string or as parts; may be empty.")
    tool_call_id: str = Field(description="The id of the call in the assistant's message before.")


class FunctionMessage(Shape):
    """The result of a `function_call`, the older form of a call."""

    role: Literal["function"] = Field(description="Always function.")
    name: str = Field(description="The name of the called function.")
    content: _Result | None = Field(description="The result, as a string or as parts; may be empty or null.")


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
    """The fields of a chat request that name the model and hold the conversation."""

    model: str = Field(description="One of the names in /v1/models.", examples=["functionary"])
    messages: Messages = Field(
        description="The conversation so far, which the model continues.",
        examples=[[{"role": "user", "content": "Hello"}]],
    )


class _Turn(NamedTuple):
    """A message, its role in the request, and its calls that tool messages must answer."""

    role: str
    message: Message
    tool_calls: tuple[Call, ...] = ()


def fold_messages(messages: Sequence[AnyMessage], *, strict_openai: bool) -> tuple[Message, ...]:
    """Check and convert the messages.

    The role developer becomes system, and function becomes tool. A tool message gets the name of its call.
    strict_openai: a message of the assistant needs content or calls.
    """
    turns = [_turn(message, index, strict_openai) for index, message in enumerate(messages)]
    folded: list[Message] = []
    while len(folded) < len(turns):
        first = len(folded)
        end = first + 1
        while end < len(turns) and turns[end].role == "tool":
            end += 1
        folded.append(turns[first].message)
        folded.extend(_results(turns[first], turns[first + 1 : end], first))
    return tuple(folded)


def joined(content: str | Sequence[TextPart | RefusalPart]) -> str:
    """Return a message's content as one string; parts are concatenated."""
    if isinstance(content, str):
        return content
    return "".join(part.text if part.type == "text" else part.refusal for part in content)


def _turn(message: AnyMessage, position: int, strict_openai: bool) -> _Turn:
    # Roles are compared since isinstance with a pydantic class is slower than the rest of this function.
    if message.role == "user":
        return _Turn("user", Message("user", joined(message.content), name=message.name or ""))
    if message.role == "assistant":
        return _assistant(message, position, strict_openai)
    if message.role == "tool":
        return _Turn("tool", Message("tool", joined(message.content), call_id=message.tool_call_id))
    if message.role == "function":
        return _Turn("function", Message("tool", joined(message.content or ""), name=message.name))
    return _Turn("system", Message("system", joined(message.content), name=message.name or ""))


def _assistant(message: AssistantMessage, position: int, strict_openai: bool) -> _Turn:
    content = message.refusal if message.content is None else joined(message.content)
    tool_calls = tuple(map(_tool_call, message.tool_calls or ()))
    calls = tool_calls if message.function_call is None else (*tool_calls, _call(message.function_call))
    if content is None and not calls and strict_openai:
        path = f"messages[{position}].content"
        sentence = f"Invalid value for '{path}': expected a string or an array of parts, but got nothing. "
        raise RequestError(sentence + "It is required unless 'tool_calls' or 'function_call' is specified.", path)
    reasoning = message.reasoning_content or message.reasoning or message.thinking or ""
    folded = Message("assistant", content, calls, name=message.name or "", reasoning=reasoning)
    return _Turn("assistant", folded, tool_calls)


def _tool_call(call: ToolCall | CustomToolCall) -> Call:
    if isinstance(call, CustomToolCall):
        return Call(call.custom.name, input_arguments(call.custom.input), call.id)
    return _call(call.function, call.id)


def _call(call: FunctionCall, call_id: str = "") -> Call:
    return Call(call.name, arguments_text(call.arguments), call_id)


def _results(caller: _Turn, results: list[_Turn], position: int) -> list[Message]:
    """Convert the tool messages `results`. Each gets the name of the call in `caller` that it answers.

    `caller` is the message before the results; `position` is its index in the request.

    Raises RequestError for a result without a call and for a call without a result.
    """
    if caller.role == "tool":  # possible for the first message of a request only
        raise _orphan(position)
    calls = PendingCalls(caller.tool_calls)
    named = []
    for offset, (_, result, _) in enumerate(results, 1):
        name = calls.answer(result.call_id)
        if name is None:
            raise _orphan(position + offset)
        named.append(Message("tool", result.content, name=name, call_id=result.call_id))
    if unanswered := calls.unanswered():
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
