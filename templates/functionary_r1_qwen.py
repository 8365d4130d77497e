"""The format r1_distilled_qwen: DeepSeek's turns with Hermes's tool calls."""

from __future__ import annotations

from core.conversation import Message
from prompt_template import Piece, PromptTemplate
from templates.shared.deepseek_turns import ASSISTANT, END, SYSTEM, USER
from templates.shared.tool_call_chat import ToolCallChat

_TURNS = {
    "system": (f"\n        {SYSTEM}", "\n"),  # with the spaces of the published format
    "user": (USER, ""),
    "assistant": (ASSISTANT, END),
    "tool": (f"{USER}\n", ""),
}


class FunctionaryR1Qwen(ToolCallChat):
    name = "functionary_r1_qwen"
    versions = ("r1_distilled_qwen",)
    bos = True
    stop = (END,)
    turns = _TURNS
    text_tail = ""
    opening = Piece(ASSISTANT, markup=True)

    def system_pieces(self, messages: list[Message], tools_section: list[Piece]) -> list[Piece]:
        if not tools_section:
            return []
        return [Piece(f"{SYSTEM}\n\n", markup=True), *tools_section, Piece("\n", markup=True)]


TEMPLATE: PromptTemplate = FunctionaryR1Qwen()
