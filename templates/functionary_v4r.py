"""The format v3-llama3.1-reasoning (functionary-v4r-small-preview): v3-llama3.1 with a switch for reasoning.

The model reasons in its ordinary text, before its calls, without marks around the reasoning.
"""

from __future__ import annotations

from core.conversation import Reasoning
from prompt_template import PromptTemplate
from templates.functionary_v3_llama31 import FunctionaryV3Llama31


class FunctionaryV4r(FunctionaryV3Llama31):
    name = "functionary_v4r"
    versions = ("v3-llama3.1-reasoning",)
    has_thinking_switch = True

    def system_head(self, wish: Reasoning) -> str:
        return "Reasoning Mode: Off\n\n" if wish.is_enabled is False else "Reasoning Mode: On\n\n"


TEMPLATE: PromptTemplate = FunctionaryV4r()
