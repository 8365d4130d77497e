"""POST /v1/chat/completions/render: the prompt of a chat completion as text, token ids and pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Literal

from pydantic import Field

from apis.rules.answers import Answer

Json = dict[str, Any]


class PromptPiece(Answer):
    """A stretch of the prompt."""

    kind: Literal["markup", "caller"] = Field(
        description="markup: written by the template, so its text may become control tokens. caller: made of the "
        "request's text, which never becomes a control token."
    )
    text: str = Field(description="The text. The texts of all pieces, joined, are the prompt.")


class RenderedPrompt(Answer):
    """The prompt of a chat completion, which the model continues."""

    object: Literal["chat.completion.prompt"] = Field(description="Always chat.completion.prompt.")
    model: str = Field(description="The model name of the request.")
    template: str = Field(description="The name of the model's prompt format.")
    prompt: str = Field(description="The whole prompt, in which control tokens are spelled out, BOS too.")
    prompt_tokens: int = Field(description="The number of tokens.")
    token_ids: list[int] = Field(description="The ids of the tokens.")
    pieces: list[PromptPiece] = Field(description="The prompt in pieces. Neighbours have different kinds.")


def rendered_prompt(model: str, template: str, token_ids: Sequence[int], pieces: Iterable[tuple[bool, str]]) -> Json:
    """Build the answer. `pieces` are the stretches of the prompt, each with whether the template wrote it."""
    shown = [
        {"kind": "markup" if is_markup else "caller", "text": "".join(text for _, text in group)}
        for is_markup, group in groupby(filter(lambda piece: piece[1], pieces), lambda piece: piece[0])
    ]
    return {
        "object": "chat.completion.prompt",
        "model": model,
        "template": template,
        "prompt": "".join(piece["text"] for piece in shown),
        "prompt_tokens": len(token_ids),
        "token_ids": list(token_ids),
        "pieces": shown,
    }
