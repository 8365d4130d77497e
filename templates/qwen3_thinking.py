"""The format of Qwen3 Thinking 2507, which always reasons: the prompt begins the reasoning."""

from __future__ import annotations

from core.conversation import Reasoning
from prompt_template import PromptTemplate
from templates.qwen3 import Qwen3


class Qwen3Thinking(Qwen3):
    name = "qwen3_thinking"
    versions = ("qwen3-thinking-2507",)
    signs = ("<tool_call>", "<|im_start|>", "<think>", "<|im_start|>assistant\\n<think>\\n", "reasoning_content")
    has_thinking_switch = False

    def reasoning_prefill(self, wish: Reasoning) -> str:
        return "<think>\n"


TEMPLATE: PromptTemplate = Qwen3Thinking()
