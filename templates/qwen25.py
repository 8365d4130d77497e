"""The format of Qwen 2.5 Instruct."""

from __future__ import annotations

from collections.abc import Sequence

from core.conversation import Function, Message
from prompt_template import Piece, PromptTemplate
from templates.shared.chatml_calls import ChatmlCalls, qwen_system


class Qwen25(ChatmlCalls):
    name = "qwen25"
    versions = ("qwen2.5",)
    signs = ("<tool_call>", "<|im_start|>", "You are Qwen, created by Alibaba Cloud")

    def system_pieces(self, turns: list[Message], functions: Sequence[Function]) -> list[Piece]:
        default = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        return qwen_system(turns, functions, default)


TEMPLATE: PromptTemplate = Qwen25()
