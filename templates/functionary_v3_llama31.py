"""The format v3-llama3.1 (functionary-small-v3.1 and medium-v3.1): Llama 3.1's calls, functions as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from core.conversation import CodeInterpreter, Message, Reasoning, Tool
from prompt_template import ANY_REASONING, Piece, PromptTemplate, functions_of, normalise
from templates.shared.llama_calls import (
    END_OF_CALLS,
    FUNCTIONS_FOOTER,
    FUNCTIONS_HEAD,
    LlamaCallTemplate,
    function_line,
)
from templates.shared.llama_turns import STOP, header, turn


class FunctionaryV3Llama31(LlamaCallTemplate):
    name = "functionary_v3_llama31"
    versions: tuple[str, ...] = ("v3-llama3.1",)
    bos = True
    stop = (*STOP, END_OF_CALLS)
    opening = Piece(header("assistant"), markup=True)
    arguments = "free"

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        pieces = turn("system", Piece(self.system_head(wish), markup=True), *_tools_pieces(tools))
        for message in normalise(messages):
            if message.role == "assistant":
                is_empty = message.content is None and not message.calls
                pieces += () if is_empty else self.assistant_pieces(message)
            else:
                role = "ipython" if message.role == "tool" else message.role
                pieces += turn(role, Piece(message.content or ""))
        return pieces

    def system_head(self, wish: Reasoning) -> str:
        """Return the first text of the prompt, which depends on whether the model shall reason."""
        return ""


def _tools_pieces(tools: Sequence[Tool]) -> list[Piece]:
    has_code = any(isinstance(tool, CodeInterpreter) for tool in tools)
    environment = "Environment: ipython\n\n" if has_code else "\n"
    pieces = [Piece(f"{environment}Cutting Knowledge Date: December 2023\n\n", markup=True)]
    lines = [function_line(function, is_ascii=True) for function in functions_of(tools)]
    if not lines:
        return pieces
    return [*pieces, Piece(FUNCTIONS_HEAD, markup=True), *lines, Piece(FUNCTIONS_FOOTER, markup=True)]


TEMPLATE: PromptTemplate = FunctionaryV3Llama31()
