"""The format r1_distilled_llama: DeepSeek's turns with Llama 3.1's calls."""

from __future__ import annotations

from collections.abc import Sequence

from core.conversation import Message, Reasoning, Tool
from prompt_template import ANY_REASONING, Piece, PromptTemplate, normalise
from templates.shared.deepseek_turns import ASSISTANT, END, caller_turn, header_pieces
from templates.shared.llama_calls import END_OF_CALLS, FUNCTIONS_FOOTER, LlamaCallTemplate


class FunctionaryR1Llama(LlamaCallTemplate):
    name = "functionary_r1_llama"
    versions = ("r1_distilled_llama",)
    bos = True
    stop = (END, END_OF_CALLS)
    opening = Piece(ASSISTANT, markup=True)
    has_thinking_switch = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        """Return the messages. As in the published format, nothing separates a result from the texts around it."""
        pieces = header_pieces(tools, wish, FUNCTIONS_FOOTER)
        for message in normalise(messages):
            if message.role == "assistant":
                pieces += self.assistant_pieces(message) if message.content or message.calls else ()
            elif message.role == "tool":
                pieces += [Piece("ipython\n\n", markup=True), Piece(message.content or "")]
            else:
                pieces += caller_turn(message)
        return pieces


TEMPLATE: PromptTemplate = FunctionaryR1Llama()
