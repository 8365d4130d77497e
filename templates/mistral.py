"""The format v3 of Mistral's models with a SentencePiece tokenizer: 7B v0.3, 8x22B v0.1 and Large 2407."""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.shared.mistral_json import MistralJsonTemplate

TEMPLATE: PromptTemplate = MistralJsonTemplate("mistral", versions=("mistral-v3",), space=" ")
