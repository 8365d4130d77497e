"""The format gemma3: Gemma's turns with Hermes's tool calls."""

from __future__ import annotations

from core.conversation import Message
from prompt_template import Piece, PromptTemplate
from templates.shared.tool_call_chat import ToolCallChat, chat_turns

_SYSTEM = "You are capable of executing available function(s) if required.\n\n"


class FunctionaryGemma3(ToolCallChat):
    name = "functionary_gemma3"
    versions = ("gemma3",)
    bos = True
    stop = ("<end_of_turn>",)
    turns = chat_turns("<start_of_turn>", "<end_of_turn>", model="model", results="tool")
    opening = Piece("<start_of_turn>model\n", markup=True)

    def system_pieces(self, messages: list[Message], tools_section: list[Piece]) -> list[Piece]:
        """Return the section `# Tools`. Without tools, the published format repeats a system message at the start."""
        if tools_section:
            return self.turn("system", [Piece(_SYSTEM, markup=True), *tools_section])
        is_repeated = bool(messages) and messages[0].role == "system"
        return self.turn("system", [Piece(messages[0].content or "")]) if is_repeated else []


TEMPLATE: PromptTemplate = FunctionaryGemma3()
