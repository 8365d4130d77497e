"""The format qwen2.5-text-only: ChatML with Hermes's tool calls."""

from __future__ import annotations

from core.conversation import Message
from prompt_template import Piece, PromptTemplate
from templates.shared.tool_call_chat import ToolCallChat, chat_turns

DEFAULT_SYSTEM = "You are a helpful assistant."


class FunctionaryQwen25(ToolCallChat):
    name = "functionary_qwen25"
    versions: tuple[str, ...] = ("qwen2.5-text-only",)
    bos = False
    stop = ("<|im_end|>",)
    turns = chat_turns("<|im_start|>", "<|im_end|>")
    opening = Piece("<|im_start|>assistant\n", markup=True)

    def system_pieces(self, messages: list[Message], tools_section: list[Piece]) -> list[Piece]:
        own = messages.pop(0).content if messages and messages[0].role == "system" else None
        text = self.system_text(own, has_tools=bool(tools_section))
        gap = [Piece("\n\n", markup=True)] if tools_section else []
        return self.turn("system", [*text, *gap, *tools_section])

    def system_text(self, own: str | None, *, has_tools: bool) -> list[Piece]:
        """Return the text before the section `# Tools`. `own` is the conversation's first message, if of the system."""
        return [Piece(DEFAULT_SYSTEM, markup=True)] if own is None else [Piece(own)]


TEMPLATE: PromptTemplate = FunctionaryQwen25()
