"""The format of Qwen3, whose reasoning a request can turn off, and of Qwen3 Instruct 2507, which does not reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.conversation import Function, Message, Reasoning, Tool
from prompt_template import ANY_REASONING, Piece, PromptTemplate, ReasoningMarks
from templates.shared.chatml_calls import ChatmlCalls, qwen_system


class Qwen3(ChatmlCalls):
    """The prompt shows the reasoning only of turns after the last message of the user.

    The empty reasoning before an answer without any teaches the model that it may leave the reasoning out.
    """

    name = "qwen3"
    versions: tuple[str, ...] = ("qwen3",)
    signs: tuple[str, ...] = ("<tool_call>", "<|im_start|>", "<think>", "enable_thinking")
    reasoning = ReasoningMarks(head="<think>\n", tail="\n</think>\n\n")
    has_thinking_switch = True
    renders_reasoning = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        return super().render([_with_reasoning(message) for message in messages], tools, wish)

    def system_pieces(self, turns: list[Message], functions: Sequence[Function]) -> list[Piece]:
        return qwen_system(turns, functions, "")

    def reasoning_prefill(self, wish: Reasoning) -> str:
        return "<think>\n\n</think>\n\n" if wish.is_enabled is False else ""


def _with_reasoning(message: Message) -> Message:
    """Return the message with the reasoning that a client left in its text."""
    text = message.content or ""
    if message.role != "assistant" or message.reasoning or "</think>" not in text:
        return message
    reasoning = text.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
    return replace(message, reasoning=reasoning, content=text.split("</think>")[-1].lstrip("\n"))


TEMPLATE: PromptTemplate = Qwen3()
