"""The format v7 of Mistral's models (Small 3 and 3.1): system messages and results have control tokens of their own."""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.shared.mistral_json import MistralJsonTemplate

TEMPLATE: PromptTemplate = MistralJsonTemplate("mistral_v7", versions=("mistral-v7-tekken",), has_system_turns=True)
