"""The turn format (how a model's output splits into text and calls, as data) and the events of a parsed turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RegionKind = Literal["skip", "head", "name", "text", "reasoning", "args", "code", "end"]
StringKind = Literal["string", "string or null"]


@dataclass(frozen=True)
class Mark:
    """A string that ends a region and is never shown. The region named `next` follows.

    name:       the function whose call the mark opens, or the text recipient if the mark opens text. None if the mark
                opens neither, or if it ends a name.
    is_control: the mark is a control token. Ordinary text with the same characters is not a mark. A control token is a
                mark even inside the JSON strings of arguments, where other marks do not count.
    """

    text: str
    next: str
    name: str | None = None
    is_control: bool = False


@dataclass(frozen=True)
class Region:
    """A part of a turn, which ends at one of its marks.

    The earliest mark counts, and of several marks at the same position the longest. The kinds:
    skip:      dropped.
    head:      the part of a call's head that is not its name; held back. Only the characters `allowed`, a regular
               expression for one character, may stand before a mark. If others do, the head is text.
    name:      a name up to its mark. The text recipient opens text. Characters that cannot be a name are text.
    text:      shown as text.
    reasoning: shown as reasoning.
    args:      the arguments of a call: JSON, or with `is_tagged` parameters between tags.
    code:      arguments that are source code; unlike in args, marks inside quotes count.
    end:       all that follows is dropped.

    after_value:   for args: the arguments end with their JSON value, and the region of this name follows. Empty if only
                   marks end them.
    is_tagged:     for args: each argument is written as `<parameter=KEY>`, its value and `</parameter>`, and becomes
                   a member of a JSON object. In a parameter, only control tokens are marks.
    is_string:     for code: the code is the content of a JSON string, whose quote is a mark and whose escapes are
                   decoded.
    leads_to_call: for skip: nothing but calls can follow, so a mark that opens this region opens a call.
    """

    kind: RegionKind
    marks: tuple[Mark, ...] = ()
    allowed: str = r"\s"
    after_value: str = ""
    is_tagged: bool = False
    is_string: bool = False
    leads_to_call: bool = False


@dataclass(frozen=True)
class TurnFormat:
    """How the assistant's turn splits into reasoning, text and calls. A turn begins in the region `start`.

    A region with the name of its kind and without marks may be missing in `regions`. Text that turns out not to be a
    call continues in the region "text". The region "args" is "code" for the functions in `code_names`.

    string_parameters: for tagged arguments, the parameters of each function whose value is text even if it looks like
                       another JSON value.
    """

    start: str
    regions: Mapping[str, Region]
    text_recipient: str | None = None
    code_names: frozenset[str] = frozenset()
    string_parameters: Mapping[str, Mapping[str, StringKind]] = field(default_factory=dict)

    def region(self, name: str) -> Region:
        """Return the region of this name."""
        return self.regions.get(name) or Region(_KINDS[name])

    def opens_call(self, mark: Mark) -> bool:
        """Return whether only calls can follow `mark`, or a call or the text recipient."""
        if mark.name is not None:
            return mark.name != self.text_recipient
        region = self.region(mark.next)
        return region.kind in ("head", "name", "args", "code") or region.leads_to_call


_KINDS: dict[str, RegionKind] = {
    "skip": "skip",
    "name": "name",
    "text": "text",
    "reasoning": "reasoning",
    "args": "args",
    "code": "code",
    "end": "end",
}


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's reasoning. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """The start of a call. Its arguments follow, up to the next CallStart or TextDelta."""

    name: str


@dataclass(frozen=True, slots=True)
class ArgsDelta:
    """More of the arguments of the last call. Never empty."""

    text: str


Event = TextDelta | ReasoningDelta | CallStart | ArgsDelta

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
    """The end of an answer, with the engine's token counts.

    stop_string: the stop string that ended the answer, or None.
    """

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    accepted_tokens: int = 0  # draft tokens that the model accepted
    rejected_tokens: int = 0
    reasoning_tokens: int = 0  # completion tokens that are reasoning
    stop_string: str | None = None
