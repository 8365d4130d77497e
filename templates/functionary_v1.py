"""The format v1 (functionary-7b-v1.1 and 7b-v1.4): each role has its own end token; a turn has at most one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.conversation import Message, Reasoning, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import ANY_REASONING, DEFAULT_SYSTEM, Piece, PromptTemplate, normalise, one_call_per_turn
from schema import typescript

_CALL = "<|START_OF_FUNCTION_CALL|>"
_END_OF_CALL = "<|END_OF_FUNCTION_CALL|>"
_END_OF_TEXT = "<|END_OF_ASSISTANT|>"


class FunctionaryV1(PromptTemplate):
    name = "functionary_v1"
    versions = ("v1",)
    bos = True
    stop = (_END_OF_TEXT, _END_OF_CALL)
    opening = Piece("assistant:", markup=True)
    text_head = "\n"  # a call begins with it too
    separator = None
    arguments = "free"

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        pieces = _turn("system:\n", typescript(self.functions_only(tools)), "SYSTEM")
        pieces += [Piece(f"system:\n{DEFAULT_SYSTEM}<|END_OF_SYSTEM|>\n", markup=True)]
        for message in one_call_per_turn(normalise(messages)):
            pieces += self._message(message)
        return pieces

    def call_head(self, name: str) -> str:
        return f"\n{_CALL}{name}:\n"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        call = (Mark(_CALL, "name", is_control=True),)
        return TurnFormat(
            start="text",
            regions={
                "text": Region("text", call),
                "name": Region("name", (Mark(":", "args"),)),
                "args": Region("args", call),
            },
        )

    def _message(self, message: Message) -> list[Piece]:
        text = message.content or ""
        match message.role:
            case "system":
                return _turn("system:\n", text, "SYSTEM")
            case "user":
                return _turn("user:\n", text, "USER")
            case "tool":
                head = [Piece("function name=", markup=True), Piece(message.name)]
                return head + _turn(":\n", text, "FUNCTION_RESULT")
            case "assistant":
                return list(self._assistant(message))

    def _assistant(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls. Empty text is rendered."""
        if message.content is None and not message.calls:
            return
        yield self.opening
        if message.content is not None:
            yield Piece("\n", markup=True, learned=True)
            yield Piece(message.content, learned=True)
        for call in message.calls:
            yield Piece(f"\n{_CALL}", markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece(":\n", markup=True, learned=True)
            yield Piece(call.arguments, learned=True)
        yield Piece(_END_OF_CALL if message.calls else _END_OF_TEXT, markup=True, learned=True)
        yield Piece("\n", markup=True)


def _turn(head: str, text: str, end: str) -> list[Piece]:
    return [Piece(head, markup=True), Piece(text), Piece(f"<|END_OF_{end}|>\n", markup=True)]


TEMPLATE: PromptTemplate = FunctionaryV1()
