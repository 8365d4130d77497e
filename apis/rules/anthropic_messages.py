"""Anthropic's messages, whose contents are blocks: text, calls, results and thinking. Converted to the core's Message.

Neighbouring messages of one role are one turn, as in Anthropic's API. Earlier output of a model is always accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from apis.rules.earlier_calls import PendingCalls, arguments_text
from apis.rules.fields import Shape, Size, by, either, tag
from apis.rules.messages import MAX_MESSAGES
from core.conversation import Call, Message
from core.errors import RequestError

_CACHED = frozenset(("cache_control",))


class TextBlock(Shape):
    """A block of text. Blocks of one message are shown to the model with an empty line between them."""

    unread = _CACHED | {"citations"}

    type: Literal["text"] = Field(description="Always text; images and documents are not supported.")
    text: str = Field(description="The text; may be empty.")


_STRING_OR_BLOCKS = either("one of a string or array of objects")
_String = Annotated[str, Tag(tag("string"))]
_TextOnly = Annotated[Annotated[TextBlock, Tag(tag("text"))], by("type", "text")]

Text = Annotated[_String | Annotated[list[_TextOnly], Size(), Tag(tag("array"))], _STRING_OR_BLOCKS]


class ToolUseBlock(Shape):
    """An earlier call, whose result is a tool_result block in the next message."""

    unread = _CACHED | {"caller"}

    type: Literal["tool_use"] = Field(description="Always tool_use.")
    id: str = Field(description="The id that the server gave to the call.")
    name: str = Field(description="The name of the called tool, which need not be declared in this request.")
    input: Any = Field(None, description="The arguments, an object.")


class ToolReferenceBlock(Shape):
    """The name of a tool that a search for tools has found. The model is shown the name."""

    unread = _CACHED

    type: Literal["tool_reference"] = Field(description="Always tool_reference.")
    tool_name: str = Field(description="The name of the tool.")


_Result = Annotated[
    _String
    | Annotated[
        list[
            Annotated[
                Annotated[TextBlock, Tag(tag("text"))] | Annotated[ToolReferenceBlock, Tag(tag("tool_reference"))],
                by("type", "text", "tool_reference"),
            ]
        ],
        Size(),
        Tag(tag("array")),
    ],
    _STRING_OR_BLOCKS,
]


class ToolResultBlock(Shape):
    """The result of a call in the message before."""

    unread = _CACHED | {"toolset_name"}

    type: Literal["tool_result"] = Field(description="Always tool_result.")
    tool_use_id: str = Field(description="The id of the call.")
    content: _Result | None = Field(None, description="The result, as a string or as blocks; may be empty.")
    is_error: bool | None = Field(
        False, description="true: the call failed. The model is shown the content with `Error: ` before it."
    )


class ChangedTool(Shape):
    """A tool in the request's `tools`."""

    type: Literal["tool_reference"] = Field(description="Always tool_reference.")
    name: str = Field(description="The name of the tool.")


class ToolChangeBlock(Shape):
    """Adds a tool to the conversation or removes it. Ignored: the model may always call all of the request's tools."""

    unread = _CACHED

    type: Literal["tool_addition", "tool_removal"] = Field(description="tool_addition or tool_removal.")
    tool: ChangedTool = Field(description="The tool.")


class ThinkingBlock(Shape):
    """What the model thought, as an earlier answer has it."""

    unread = frozenset(("signature",))

    type: Literal["thinking"] = Field(description="Always thinking.")
    thinking: str = Field(description="Ignored if the model's prompt format has no place for it.")


class RedactedThinkingBlock(Shape):
    """Encrypted thinking of Anthropic's models. Ignored."""

    unread = frozenset(("data",))

    type: Literal["redacted_thinking"] = Field(description="Always redacted_thinking.")


_UserBlock = Annotated[
    Annotated[TextBlock, Tag(tag("text"))] | Annotated[ToolResultBlock, Tag(tag("tool_result"))],
    by("type", "text", "tool_result"),
]
_AssistantBlock = Annotated[
    Annotated[TextBlock, Tag(tag("text"))]
    | Annotated[ToolUseBlock, Tag(tag("tool_use"))]
    | Annotated[ThinkingBlock, Tag(tag("thinking"))]
    | Annotated[RedactedThinkingBlock, Tag(tag("redacted_thinking"))],
    by("type", "text", "tool_use", "thinking", "redacted_thinking"),
]


_SystemBlock = Annotated[
    Annotated[TextBlock, Tag(tag("text"))]
    | Annotated[ToolChangeBlock, Tag(tag("tool_addition"))]
    | Annotated[ToolChangeBlock, Tag(tag("tool_removal"))],
    by("type", "text", "tool_addition", "tool_removal"),
]


class UserTurn(Shape):
    """A message of the user: text, and the results of the calls in the message before."""

    role: Literal["user"] = Field(description="Always user.")
    content: Annotated[_String | Annotated[list[_UserBlock], Size(), Tag(tag("array"))], _STRING_OR_BLOCKS] = Field(
        description="The text, or blocks."
    )


class AssistantTurn(Shape):
    """An earlier message of the model: text, calls and thinking."""

    role: Literal["assistant"] = Field(description="Always assistant.")
    content: Annotated[_String | Annotated[list[_AssistantBlock], Size(), Tag(tag("array"))], _STRING_OR_BLOCKS] = (
        Field(description="The text, or blocks.")
    )


class SystemTurn(Shape):
    """Instructions in the middle of the conversation."""

    unread = frozenset(("clear_at", "output_config"))

    role: Literal["system"] = Field(description="Always system.")
    content: Annotated[_String | Annotated[list[_SystemBlock], Size(), Tag(tag("array"))], _STRING_OR_BLOCKS] = Field(
        description="The text, or blocks."
    )


AnyTurn = Annotated[
    Annotated[UserTurn, Tag(tag("user"))]
    | Annotated[AssistantTurn, Tag(tag("assistant"))]
    | Annotated[SystemTurn, Tag(tag("system"))],
    by("role", "user", "assistant", "system"),
]
Turns = Annotated[list[AnyTurn], Size(MAX_MESSAGES, 1)]
_Block = TextBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock | ToolChangeBlock


@dataclass
class _Turn:
    """Neighbouring messages of one role: their blocks, each with its path in the request.

    `path` is that of the last message's content.
    """

    role: str
    path: str
    blocks: list[tuple[str, _Block]]


def fold_turns(system: str | Sequence[TextBlock] | None, turns: Sequence[AnyTurn]) -> tuple[Message, ...]:
    """Convert the system prompt and the messages.

    A turn of the user becomes the results of calls, then its text. Raises RequestError for a result without a call and
    for a call without a result in the next turn.
    """
    folded = [Message("system", _joined(system))] if system else []
    caller = ""  # the path of the last calls
    calls = PendingCalls()
    for turn in _joined_turns(turns):
        texts = [block for _, block in turn.blocks if block.type == "text"]
        results = [message for path, block in turn.blocks for message in _result(block, calls, path)]
        _check_answered(calls, caller)
        folded += results
        if turn.role == "assistant":
            message = _assistant(turn, texts)
            caller, calls = turn.path, PendingCalls(message.calls)
            folded.append(message)
            continue
        calls = PendingCalls()
        if turn.role == "system":
            folded += [Message("system", _joined(texts))] if texts else []
        elif texts or not results:
            folded.append(Message("user", _joined(texts)))
    _check_answered(calls, caller)
    return tuple(folded)


def _joined(content: str | Iterable[TextBlock | ToolReferenceBlock]) -> str:
    """Return a content as one text."""
    if isinstance(content, str):
        return content
    return "\n\n".join(block.text if block.type == "text" else block.tool_name for block in content)


def _joined_turns(turns: Sequence[AnyTurn]) -> list[_Turn]:
    joined_turns: list[_Turn] = []
    for index, turn in enumerate(turns):
        path = f"messages[{index}].content"
        blocks: list[tuple[str, _Block]]
        if isinstance(turn.content, str):
            blocks = [(path, TextBlock.model_construct(type="text", text=turn.content))]
        else:
            blocks = [(f"{path}[{place}]", block) for place, block in enumerate(turn.content)]
        if joined_turns and joined_turns[-1].role == turn.role:
            joined_turns[-1].path = path
            joined_turns[-1].blocks += blocks
        else:
            joined_turns.append(_Turn(turn.role, path, blocks))
    return joined_turns


def _assistant(turn: _Turn, texts: list[TextBlock]) -> Message:
    calls, thoughts = [], []
    for _, block in turn.blocks:
        if block.type == "tool_use":
            calls.append(Call(block.name, arguments_text({} if block.input is None else block.input), block.id))
        elif block.type == "thinking":
            thoughts.append(block.thinking)
    content = _joined(texts) if texts else None
    return Message("assistant", content, tuple(calls), reasoning="\n\n".join(thoughts))


def _result(block: _Block, calls: PendingCalls, path: str) -> Iterator[Message]:
    """Yield the message of a block that is a result. `calls` are those that it may answer."""
    if block.type != "tool_result":
        return
    name = calls.answer(block.tool_use_id)
    if name is None:
        raise RequestError(
            f"Invalid '{path}': unexpected `tool_use_id` found in `tool_result` blocks: {block.tool_use_id[:64]}. Each "
            "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
            path,
            "invalid_value",
        )
    text = _joined(block.content or "")
    if block.is_error and not text.lower().startswith("error"):
        text = f"Error: {text}"
    yield Message("tool", text, name=name, call_id=block.tool_use_id)


def _check_answered(calls: PendingCalls, path: str) -> None:
    """Raise RequestError unless each of the calls at `path` has a result."""
    if unanswered := [call_id[:64] for call_id in calls.unanswered()]:
        raise RequestError(
            f"Invalid '{path}': `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(unanswered)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message.",
            path,
            "invalid_value",
        )
