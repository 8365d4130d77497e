"""How a model's output splits into text and calls (the turn format, as data), and the events that reading it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Region = Literal["skip", "name", "text", "args", "code", "end"]


@dataclass(frozen=True)
class Mark:
    """A string that ends a region; never shown.

    name:    the mark itself opens a call of this function (or, with the text recipient's name, text).
    special: a control token: it counts only as such, and then even inside a JSON string; the same characters in
             ordinary text are text. Other marks do not count inside the JSON strings of arguments.
    """

    text: str
    next: Region
    name: str | None = None
    special: bool = False


@dataclass(frozen=True)
class TurnFormat:
    """How an assistant's turn splits into text and calls.

    A turn begins in region `start`. "skip" is dropped; "name" is read up to its mark, whose `next` is "args": the name
    `text_recipient` then means text, a name in `code_names` code (no JSON strings), any other a call with JSON
    arguments; what cannot be a name was text after all. "end" drops all that follows. Marks of one region are tried
    longest first at the earliest place.
    """

    start: Region
    marks: Mapping[Region, tuple[Mark, ...]]
    text_recipient: str | None = None
    code_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call opens; what follows are its arguments, up to the next CallStart or TextDelta."""

    name: str


@dataclass(frozen=True, slots=True)
class ArgsDelta:
    """More of the arguments of the call opened last; never empty."""

    text: str


Event = TextDelta | CallStart | ArgsDelta

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class SpelledLogprob:
    """A token by its bytes, which may be a part of a character, and its natural log probability."""

    token: bytes
    logprob: float


@dataclass(frozen=True)
class TokenReport:
    """A token of the answer's text, and its likeliest alternatives, best first; stands before its text."""

    chosen: SpelledLogprob
    top: tuple[SpelledLogprob, ...]


@dataclass(frozen=True)
class Finish:
    """The end of an answer. Token counts are those of the engine."""

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    accepted_tokens: int = 0  # of guesses that the model agreed with, and of those that it did not
    rejected_tokens: int = 0
