"""The turn format (how a model's output splits into text and calls, as data) and the events of a parsed turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Region = Literal["skip", "name", "text", "args", "code", "end"]


@dataclass(frozen=True)
class Mark:
    """A string that ends a region and is never shown. The region `next` follows.

    name:       the function whose call the mark opens, or the text recipient if the mark opens text. None if the mark
                opens neither, or if it ends a name.
    is_control: the mark is a control token. Ordinary text with the same characters is not a mark. A control token is a
                mark even inside the JSON strings of arguments, where other marks do not count.
    """

    text: str
    next: Region
    name: str | None = None
    is_control: bool = False


@dataclass(frozen=True)
class TurnFormat:
    """How the assistant's turn splits into text and calls.

    A turn begins in region `start`. `marks` are the marks that end each region: the earliest mark counts, and of
    several marks at the same position the longest. The regions:
    skip: dropped.
    name: a name up to its mark. The name `text_recipient` opens text, a name in `code_names` opens code, any other name
          opens arguments. Characters that cannot be a name are text.
    text: shown as text.
    args: the JSON arguments of a call.
    code: arguments that are source code; unlike in args, marks inside quotes count.
    end:  all that follows is dropped.
    """

    start: Region
    marks: Mapping[Region, tuple[Mark, ...]]
    text_recipient: str | None = None
    code_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """The start of a call. Its arguments follow, up to the next CallStart or TextDelta."""

    name: str


@dataclass(frozen=True, slots=True)
class ArgsDelta:
    """More of the arguments of the last call. Never empty."""

    text: str


Event = TextDelta | CallStart | ArgsDelta

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class DecodedLogprob:
    """The bytes of a token, and the natural log of its probability. The bytes may be an incomplete character."""

    token: bytes
    logprob: float


@dataclass(frozen=True)
class TokenReport:
    """The logprobs of one token of the text: the sampled token, and the likeliest tokens, best first.

    The report comes before the TextDelta with the token's text.
    """

    chosen: DecodedLogprob
    top: tuple[DecodedLogprob, ...]


@dataclass(frozen=True)
class Finish:
    """The end of an answer, with the engine's token counts."""

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    accepted_tokens: int = 0  # draft tokens that the model accepted
    rejected_tokens: int = 0
