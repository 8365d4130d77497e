"""The format v11 of Mistral's models (Small 3.2, Magistral 2506): calls with ids, functions before the last message."""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.shared.mistral_args import MistralArgsTemplate

TEMPLATE: PromptTemplate = MistralArgsTemplate("mistral_v11", versions=("mistral-v11",), has_call_ids=True)
