"""A prompt format with reasoning marks, as a double for the formats of models that reason."""

from __future__ import annotations

from collections.abc import Sequence

from core.conversation import Message, Reasoning, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import ANY_REASONING, Piece, PromptTemplate, ReasoningMarks


class ReasoningTemplate(PromptTemplate):
    """ChatML turns. The assistant's turn is `<think>REASONING</think>` and then text, or `call:NAME ARGUMENTS`.

    The request can switch reasoning off, but cannot state an effort.
    """

    name = "reasoning"
    versions = ()
    bos = False
    stop = ("<|im_end|>",)
    opening = Piece("<|im_start|>assistant\n", markup=True)
    calls_open = "call:"
    call_tail = "<|im_end|>"
    reasoning = ReasoningMarks("<think>", "</think>")
    has_thinking_switch = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        pieces = []
        for message in messages:
            pieces += [Piece(f"<|im_start|>{message.role}\n", markup=True), Piece(message.content or "")]
            pieces.append(Piece("<|im_end|>\n", markup=True))
        return pieces

    def call_head(self, name: str) -> str:
        return f"{name} "

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        heads = tuple(Mark(f"call:{tool.name} ", "args", name=tool.name) for tool in tools)
        return TurnFormat(
            "start",
            {
                "start": Region("text", (Mark("<think>", "reasoning"), *heads)),
                "reasoning": Region("reasoning", (Mark("</think>", "text"),)),
                "text": Region("text", heads),
                "args": Region("args", (Mark("<|im_end|>", "end", is_control=True),)),
            },
        )

    def reasoning_prefill(self, wish: Reasoning) -> str:
        return "<think></think>" if wish.is_enabled is False else ""
