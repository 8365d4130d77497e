"""POST /v1/chat/completions/render: the prompt of a chat completion as text, tokens and pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
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


class PromptToken(Answer):
    """A token of the prompt."""

    id: int = Field(description="The id.")
    text: str = Field(
        description="The text. Where the bytes of a character are in several tokens, the last of them has the "
        "character and the others have no text."
    )
    kind: Literal["markup", "caller", "model"] = Field(
        description="model: what the model wrote, or would have written, in an earlier turn, with the marks around it. "
        "Else the kind of the piece in which the token begins."
    )


class RenderedPrompt(Answer):
    """The prompt of a chat completion, which the model continues."""

    object: Literal["chat.completion.prompt"] = Field(description="Always chat.completion.prompt.")
    model: str = Field(description="The model name of the request.")
    template: str = Field(description="The name of the model's prompt format.")
    prompt: str = Field(description="The whole prompt, in which control tokens are spelled out, BOS too.")
    prompt_tokens: int = Field(description="The number of tokens.")
    token_ids: list[int] = Field(description="The ids of the tokens.")
    pieces: list[PromptPiece] = Field(description="The prompt in pieces. Neighbours have different kinds.")
    tokens: list[PromptToken] = Field(description="The tokens with their texts, in the order of token_ids.")


@dataclass(frozen=True)
class EncodedToken:
    """A token of a prompt. learned: the model is trained to write it."""

    id: int
    text: str
    learned: bool


def rendered_prompt(
    model: str, template: str, tokens: Sequence[EncodedToken], pieces: Iterable[tuple[bool, str]]
) -> Json:
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
        "prompt_tokens": len(tokens),
        "token_ids": [token.id for token in tokens],
        "pieces": shown,
        "tokens": list(_shown_tokens(tokens, shown)),
    }


def _shown_tokens(tokens: Sequence[EncodedToken], pieces: Sequence[Mapping[str, str]]) -> Iterator[Json]:
    """Yield the tokens as JSON, each with its kind."""
    prompt = "".join(piece["text"] for piece in pieces)
    ends = list(accumulate(len(piece["text"]) for piece in pieces))
    position = number = 0
    for token in tokens:
        while number < len(ends) - 1 and position >= ends[number]:
            number += 1
        kind = "model" if token.learned else pieces[number]["kind"]
        yield {"id": token.id, "text": token.text, "kind": kind}
        # SentencePiece adds a space that the prompt does not have
        is_added = token.text.startswith(" ") and not prompt.startswith(token.text, position)
        position += len(token.text) - is_added
