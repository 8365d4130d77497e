"""The contract of engines: token ids in, token ids out. One file per engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry

from conversation import JsonSchema
from output_parser import Grammar


@dataclass(frozen=True)
class JsonRule:
    """A grammar rule that stands for JSON by a schema.

    A schema that the grammar compiler cannot take is refused if `strict`; otherwise it loses the keywords in the way.
    The last three say how the refusal names it, as in "Invalid schema for function 'f': ...".
    """

    schema: JsonSchema
    strict: bool
    owner: str
    param: str
    code: str | None = None


@dataclass(frozen=True)
class Lark:
    """A grammar in llguidance's dialect of Lark, control tokens written as `<[id]>`; `json` adds rules to it."""

    text: str
    json: Mapping[str, JsonRule]


@dataclass(frozen=True)
class Constraint:
    """Which outputs are allowed, as data; the engine builds the working matcher (`engines/constraints.py`).

    Either `turn` binds all that follows; or `reader`, which reads the turn from its start, tells what is bound, and the
    logits stay untouched elsewhere:
    calls:      by function name, what follows where the reader sees such a call open: the rest of its head, its
                arguments and what may stand behind them.
    recipients: the functions that may be called; None for all.
    """

    turn: Lark | None = None
    reader: Grammar | None = None
    calls: Mapping[str, Lark] = field(default_factory=dict)
    recipients: frozenset[str] | None = None


@dataclass(frozen=True)
class DraftedCall:
    """A function that may be called; `head` is how a call of it begins."""

    name: str
    head: str
    parameters: JsonSchema


@dataclass(frozen=True)
class Drafts:
    """What an answer will probably say, as data; the engine guesses from it (`engines/drafting.py`).

    `reader` reads the turn, of which the prompt holds `begun` already. `spoken` is what was said last, `likely` the
    function that it seems to be about, `prediction` a text that the answer may repeat.
    """

    reader: Grammar
    begun: str
    calls: tuple[DraftedCall, ...]
    spoken: str = ""
    likely: str = ""
    prediction: str = ""


@dataclass(frozen=True)
class Sampling:
    """How one request is sampled.

    Temperature 0 is greedy. top_k 0, top_p 1 and min_p 0 keep all tokens. `seed` gives the request its own generator.
    `logprobs` is the number of alternatives reported with each token, None for no report. `owner` is whose request it
    is: turns are shared out among owners, and each has prompts remembered for itself.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop_ids: frozenset[int] = frozenset()
    min_tokens: int = 0
    logprobs: int | None = None
    constraint: Constraint | None = None
    owner: str = ""
    drafts: Drafts | None = None


@dataclass(frozen=True)
class TokenLogprob:
    """Natural log of a token's probability before temperature, and the likeliest alternatives, best first."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Step:
    """What one request gained in one engine step. Several ids when drafted tokens were accepted.

    A step with finish_reason is the last; with "stop" its last id is the stop id. `num_cached_tokens` stands in the
    first step: how many tokens of the prompt were not computed anew. Of the guesses verified in this step
    `num_accepted` stand in `token_ids`, and `num_rejected` do not.
    """

    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    num_cached_tokens: int = 0
    num_accepted: int = 0
    num_rejected: int = 0


class Engine(Protocol):
    """Safe to call concurrently; whatever batching there is happens behind this door."""

    @property
    def max_context(self) -> int:
        """How many tokens prompt and answer may have together."""

    @property
    def vocab_size(self) -> int:
        """The width of the logits: token ids are below it."""

    @property
    def registry(self) -> CollectorRegistry:
        """What the engine tells Prometheus."""

    def description(self) -> str:
        """Device and number format in a few words, for the start lines."""

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        """Closing the iterator cancels the request and frees its memory within one step.

        Raises PromptTooLong, RequestError (a constraint that cannot be compiled), EngineBusy or EngineDown before the
        first step, EngineError when the engine fails on this request.
        """

    def health(self) -> str:
        """Why requests are not served now, as "a step has been running for 130 s"; empty when they are."""

    @property
    def is_down(self) -> bool:
        """Whether the engine has failed for good: only a new process serves again."""

    async def close(self) -> None:
        """End the engine; running requests end with EngineError."""
