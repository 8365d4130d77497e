"""The format v3.llava_llama (functionary-vision-small-v0.1), for text: the same as v3.llama3."""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.functionary_v3 import in_llama3_turns

TEMPLATE: PromptTemplate = in_llama3_turns("functionary_v3_llava", "v3.llava_llama")
