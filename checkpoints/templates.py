"""Chooses the template of a checkpoint: by name, by what the checkpoint shows, or its own chat template."""

from __future__ import annotations

from chat_templates.generic import GenericTemplate
from checkpoints.checkpoint import Checkpoint
from core.errors import ModelError
from prompt_template import GENERIC, PromptTemplate, detect, load_template, missing_template


def choose_template(checkpoint: Checkpoint, wanted: str | None = None) -> tuple[PromptTemplate, str]:
    """Return the template, bound to the checkpoint's tokenizer, and how it was found.

    `wanted` is the name that was asked for. Raises ModelError if no template fits, or if the tokenizer lacks a control
    token of the template.
    """
    token_id = checkpoint.tokenizer.token_id
    if wanted == GENERIC:
        return _generic(checkpoint, "chosen by name")
    if wanted:
        return load_template(wanted).bound(token_id), "chosen by name"
    if checkpoint.template:
        return load_template(checkpoint.template).bound(token_id), "made for this model"
    detected = detect(checkpoint.chat_template, token_id, checkpoint.name)
    if detected and detected.template:
        return detected.template.bound(token_id), f"detected by {detected.sign}"
    if checkpoint.chat_template:
        return _generic(checkpoint, "its format has no template here")
    raise ModelError(missing_template(detected, checkpoint.name))


def _generic(checkpoint: Checkpoint, reason: str) -> tuple[PromptTemplate, str]:
    if not checkpoint.chat_template:
        raise ModelError(f"{checkpoint.name} has no chat template, which --template {GENERIC} renders.")
    template = GenericTemplate(
        checkpoint.chat_template,
        special_tokens=checkpoint.special_tokens,
        control_tokens=frozenset(checkpoint.tokenizer.control_tokens),
        end_tokens=checkpoint.end_tokens,
    )
    return template, f"the model's own chat template, {reason}; {template.description()}"
