"""The format v1.0-plain (functionary-7b-v0.2 and 7b-v1): no control tokens of its own, at most one call per turn.

Each message is tokenized separately. `</s>` ends a call. After a text the model writes `user:` and `</s>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.conversation import Message, Reasoning, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import ANY_REASONING, DEFAULT_SYSTEM, Piece, PromptTemplate, normalise, one_call_per_turn
from schema import flat_typescript

_CALL = "to=functions."


class FunctionaryV1Plain(PromptTemplate):
    name = "functionary_v1_plain"
    versions = ("v1.0-plain",)
    bos = False
    stop = ("</s>",)
    opening = Piece("assistant", markup=True, is_separate=True)
    text_head = ":\n"
    separator = None
    arguments = "free"

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        functions = self.functions_only(tools)
        pieces = _turn("system:\n", flat_typescript(functions)) if functions else []
        pieces += [Piece(f"system:\n{DEFAULT_SYSTEM}\n", markup=True, is_separate=True)]
        for message in one_call_per_turn(normalise(messages)):
            pieces += self._message(message)
        return pieces

    def call_head(self, name: str) -> str:
        return f" {_CALL}{name}:\n"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        """The line `user:` ends a text.

        SentencePiece adds a space at the start of a message. Before `assistant to=` the space is optional. Before
        `user:` it is required, because a text may contain that line without a space (YAML).
        """
        text = (
            Mark("\n user:\n", "end"),
            Mark(f"\n assistant {_CALL}", "name"),
            Mark(f"\nassistant {_CALL}", "name"),
        )
        return TurnFormat(
            start="skip",
            regions={
                "skip": Region("skip", (Mark(_CALL, "name"), Mark(":", "text"))),
                "name": Region("name", (Mark(":", "args"),)),
                "text": Region("text", text),
            },
        )

    def _message(self, message: Message) -> list[Piece]:
        text = message.content or ""
        match message.role:
            case "system":
                return _turn("system:\n", text)
            case "user":
                end_of_turn_before = Piece("user:\n</s>", markup=True, learned=True, is_separate=True)
                return [end_of_turn_before, Piece(text), Piece("\n", markup=True)]
            case "tool":
                head = Piece("function name=functions.", markup=True, is_separate=True)
                return [head, Piece(message.name), Piece(":\n", markup=True), Piece(text), Piece("\n", markup=True)]
            case "assistant":
                return list(_assistant(message))


def _assistant(message: Message) -> Iterator[Piece]:
    if message.content:
        yield Piece("assistant:\n", markup=True, learned=True, is_separate=True)
        yield Piece(message.content, learned=True)
        yield Piece("\n", markup=True, learned=True)
    for call in message.calls:
        yield Piece(f"assistant {_CALL}", markup=True, learned=True, is_separate=True)
        yield Piece(call.name, learned=True)
        yield Piece(":\n", markup=True, learned=True)
        yield Piece(call.arguments, learned=True)
        yield Piece("</s>", markup=True, learned=True)


def _turn(head: str, text: str) -> list[Piece]:
    return [Piece(head, markup=True, is_separate=True), Piece(text), Piece("\n", markup=True)]


TEMPLATE: PromptTemplate = FunctionaryV1Plain()
