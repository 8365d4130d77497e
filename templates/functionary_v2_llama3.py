"""The format v2.llama3 (functionary-small-v2.5): Llama 3's turns, and a reserved control token before each call."""

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
from templates.shared.llama_turns import END, STOP, header, turn

_CALL = "<|reserved_special_token_249|>"


class FunctionaryV2Llama3(PromptTemplate):
    name = "functionary_v2_llama3"
    versions = ("v2.llama3",)
    bos = True
    stop = STOP
    opening = Piece(header("assistant"), markup=True)
    required_prefill = _CALL
    arguments = "free"
    needed_tokens = (_CALL,)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        has_code = any(isinstance(tool, CodeInterpreter) for tool in tools)
        pieces = turn("system", Piece(typescript(functions_of(tools))))
        pieces += turn("system", Piece(CODE_INTERPRETER_SYSTEM if has_code else DEFAULT_SYSTEM, markup=True))
        for message in normalise(messages):
            text = Piece(message.content or "")
            match message.role:
                case "assistant":
                    pieces += self._assistant(message)
                case "tool":
                    head = (Piece("name=", markup=True), Piece(message.name), Piece("\n", markup=True))
                    pieces += turn("tool", *head, text)
                case role:
                    pieces += turn(role, text)
        return pieces

    def call_head(self, name: str) -> str:
        return f"{_CALL}{name}\n"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        call = (Mark(_CALL, "name", is_control=True),)
        return TurnFormat(
            start="text",
            regions={
                "text": Region("text", call),
                "name": Region("name", (Mark("\n", "args"),)),
                "args": Region("args", call),
                "code": Region("code", call),
            },
            code_names=frozenset(tool.name for tool in tools if isinstance(tool, CodeInterpreter)),
        )

    def _assistant(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls."""
        if message.content is None and not message.calls:
            return
        yield self.opening
        if message.content:
            yield Piece(message.content, learned=True)
        for call in message.calls:
            yield Piece(_CALL, markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece("\n", markup=True, learned=True)
            yield Piece(call.arguments, learned=True)
        yield Piece(END, markup=True, learned=True)


TEMPLATE: PromptTemplate = FunctionaryV2Llama3()
