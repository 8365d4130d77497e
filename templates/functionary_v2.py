"""The format v2 (functionary-7b-v2 and v2.1, small and medium v2.2 and v2.4).

Every message names its sender and its recipient. The recipient `all` is the user. Each call of a turn is a message to
its function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.conversation import CodeInterpreter, Message, Reasoning, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import (
    ANY_REASONING,
    CODE_INTERPRETER_SYSTEM,
    DEFAULT_SYSTEM,
    Piece,
    PromptTemplate,
    functions_of,
    normalise,
)
from schema import typescript

_FROM, _RECIPIENT, _CONTENT, _STOP = "<|from|>", "<|recipient|>", "<|content|>", "<|stop|>"
_OPENING = f"{_FROM}assistant\n{_RECIPIENT}"
_TO_ALL = f"\n{_RECIPIENT}all\n{_CONTENT}"


class FunctionaryV2(PromptTemplate):
    name = "functionary_v2"
    versions = ("v2",)
    bos = True
    stop = (_STOP,)
    opening = Piece(_OPENING, markup=True)
    text_head = text_prefill = f"all\n{_CONTENT}"
    separator = f"\n{_OPENING}"
    arguments = "free"
    needed_tokens = (_FROM, _RECIPIENT, _CONTENT)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        self.check_reserved_name("all", tools)
        has_code = any(isinstance(tool, CodeInterpreter) for tool in tools)
        pieces = _to_all("system", Piece(typescript(functions_of(tools))))
        pieces += _to_all("system", Piece(CODE_INTERPRETER_SYSTEM if has_code else DEFAULT_SYSTEM, markup=True))
        for message in normalise(messages):
            if message.role == "assistant":
                pieces += self._assistant(message)
            else:
                sender = message.name if message.role == "tool" else message.role
                pieces += _to_all(sender, Piece(message.content or ""))
        return pieces

    def call_head(self, name: str) -> str:
        return f"{name}\n{_CONTENT}"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        message = (Mark(_FROM, "sender", is_control=True),)
        return TurnFormat(
            start="name",
            regions={
                "sender": Region("skip", (Mark(_RECIPIENT, "name", is_control=True),), leads_to_call=True),
                "name": Region("name", (Mark(_CONTENT, "args", is_control=True),)),
                "text": Region("text", message),
                "args": Region("args", message),
                "code": Region("code", message),
            },
            text_recipient="all",
            code_names=frozenset(tool.name for tool in tools if isinstance(tool, CodeInterpreter)),
        )

    def _assistant(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls. Empty text is rendered.

        As in training, whitespace at the end of the last call is not rendered.
        """
        parts = [] if message.content is None else [("all", message.content)]
        parts += [(call.name, call.arguments) for call in message.calls]
        if message.calls:
            parts[-1] = (parts[-1][0], parts[-1][1].rstrip())
        for number, (recipient, body) in enumerate(parts):
            yield Piece(self.separator, markup=True, learned=True) if number else self.opening
            yield Piece(recipient, learned=True)
            yield Piece(f"\n{_CONTENT}", markup=True, learned=True)
            yield Piece(body, learned=True)
        if parts:
            yield Piece(_STOP, markup=True, learned=True)
            yield Piece("\n", markup=True)


def _to_all(sender: str, text: Piece) -> list[Piece]:
    return [Piece(_FROM, markup=True), Piece(sender), Piece(_TO_ALL, markup=True), text, Piece("\n", markup=True)]


TEMPLATE: PromptTemplate = FunctionaryV2()
