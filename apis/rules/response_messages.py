"""Convert the items of a Responses request to core.conversation.Message, and check that calls and results match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from apis.rules.custom_tools import input_arguments
from apis.rules.earlier_calls import arguments_text, error_text
from apis.rules.response_items import (
    AnyItem,
    CallOutputItem,
    CustomCallItem,
    FunctionCallItem,
    ItemRefusal,
    ItemText,
    MessageItem,
    ReasoningItem,
    ServerCallItem,
)
from apis.rules.response_tools import full_name
from core.conversation import Call, Message
from core.errors import RequestError

_Written = MessageItem | ReasoningItem | FunctionCallItem | CustomCallItem | ServerCallItem
_CALLS = ("function_call", "custom_tool_call", "mcp_call")


@dataclass
class _Turn:
    """What the assistant wrote in one go, and the results of its calls."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)

    def takes(self, item: _Written) -> bool:
        """Whether `item` continues this turn: results end a turn, and so does a text without calls before the next."""
        if self.results:
            return False
        return item.type in _CALLS or bool(self.calls) or not self.texts

    def messages(self) -> list[Message]:
        """Return the assistant's message and the results. Reasoning that led to nothing is left out."""
        if not self.texts and not self.calls:
            return []
        content = "".join(self.texts) if self.texts else None
        reasoning = "\n\n".join(self.reasoning)
        return [Message("assistant", content, tuple(self.calls), reasoning=reasoning), *self.results]


def fold_items(items: Iterable[AnyItem]) -> list[Message]:
    """Return the messages of a conversation. What the assistant wrote in one go is one message.

    Results may stand anywhere after their call; they become the messages after it. Raises RequestError for a result
    without a call and for a call without a result.
    """
    turns: list[Message | _Turn] = []
    callers: dict[str, tuple[_Turn, str]] = {}  # call id -> the turn and the name of the last call with it
    unanswered: dict[str, str] = {}  # call id -> the kind of the call
    for position, item in enumerate(items):
        match item:
            case CallOutputItem():
                _add_result(item, callers)
                unanswered.pop(item.call_id, None)
            case MessageItem(role="user" | "system" | "developer"):
                turns.append(Message("user" if item.role == "user" else "system", _joined(item.content)))
            case MessageItem() | ReasoningItem() | FunctionCallItem() | CustomCallItem() | ServerCallItem():
                last = turns[-1] if turns else None
                turn = last if isinstance(last, _Turn) and last.takes(item) else _Turn()
                if turn is not last:
                    turns.append(turn)
                _add(item, turn, position)
                if isinstance(item, FunctionCallItem | CustomCallItem):
                    callers[item.call_id] = turn, turn.calls[-1].name
                    unanswered[item.call_id] = "function" if isinstance(item, FunctionCallItem) else "custom tool"
    if unanswered:
        call_id, kind = next(iter(unanswered.items()))
        raise RequestError(f"No tool output found for {kind} call {call_id[:100]}.", "input")
    return [message for turn in turns for message in (turn.messages() if isinstance(turn, _Turn) else [turn])]


def _add(item: _Written, turn: _Turn, position: int) -> None:
    match item:
        case ReasoningItem():
            text = "".join(part.text for part in item.content or item.summary or ())
            turn.reasoning += [text] if text else []
        case FunctionCallItem():
            name = full_name(item.namespace, item.name)
            turn.calls.append(Call(name, arguments_text(item.arguments), item.call_id))
        case CustomCallItem():
            turn.calls.append(Call(full_name(item.namespace, item.name), input_arguments(item.input), item.call_id))
        case ServerCallItem():
            call_id = f"call_{position}"  # such an item has none
            turn.calls.append(Call(item.name, arguments_text(item.arguments), call_id))
            result = item.output if item.error is None else error_text(item.error)
            turn.results.append(Message("tool", result or "", name=item.name, call_id=call_id))
        case MessageItem():
            turn.texts.append(_joined(item.content))


def _add_result(item: CallOutputItem, callers: dict[str, tuple[_Turn, str]]) -> None:
    if item.call_id not in callers:
        message = f"No tool call found for function call output with call_id {item.call_id[:100]}."
        raise RequestError(message, "input")
    turn, name = callers[item.call_id]
    turn.results.append(Message("tool", _joined(item.output), name=name, call_id=item.call_id))


def _joined(content: str | Sequence[ItemText | ItemRefusal]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.refusal if part.type == "refusal" else part.text for part in content)
