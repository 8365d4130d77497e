"""The format v3 of Mistral's models with a Tekken tokenizer, without spaces behind control tokens: Nemo 2407."""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.shared.mistral_json import MistralJsonTemplate

TEMPLATE: PromptTemplate = MistralJsonTemplate("mistral_nemo", versions=("mistral-v3-tekken",))
