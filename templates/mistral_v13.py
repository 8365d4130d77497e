"""The format v13 of Mistral's models (Devstral 2507, Magistral 2507 and later, Ministral 3): calls without ids."""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.shared.mistral_args import MistralArgsTemplate

TEMPLATE: PromptTemplate = MistralArgsTemplate("mistral_v13", versions=("mistral-v13",), has_call_ids=False)
