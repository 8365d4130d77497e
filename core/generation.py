"""The interface of engines: token ids in, token ids out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry

from core.conversation import JsonSchema
from core.turn_format import TurnFormat


@dataclass(frozen=True)
class JsonRule:
    """A rule of a grammar that matches the JSON values that a schema allows.

    If the grammar compiler does not support the schema, a strict rule causes an error. From a rule that is not strict,
    the unsupported keywords are dropped. `owner`, `param` and `code` describe the schema in that error, as in "Invalid
    schema for function 'f'".
    """

    schema: JsonSchema
    strict: bool
    owner: str
    param: str
    code: str | None = None


@dataclass(frozen=True)
class TextRule:
    """A rule of a grammar that matches a text which has a grammar of its own. In the answer, the text is written so:

    json string: as the content of a JSON string, between the quotes, with its escapes.
    tagged:      as it is, up to the line `</parameter>`, which it cannot contain.

    param: the field of the request that states the grammar, for the error if it does not compile.
    has_lines: the lines of `grammar` are those of that field.
    """

    grammar: str
    written_as: Literal["json string", "tagged"]
    param: str
    has_lines: bool = False


@dataclass(frozen=True)
class Lark:
    """A grammar in llguidance's dialect of Lark, in which `<[id]>` is a control token.

    json_rules: the grammar's rules that match JSON, by rule name.
    text_rules: the grammar's rules that match a text with a grammar of its own, by rule name.
    param: the field of the request that states a part of `text`, for the error if it does not compile; else "".
    """

    text: str
    json_rules: Mapping[str, JsonRule]
    param: str = ""
    text_rules: Mapping[str, TextRule] = field(default_factory=dict)


@dataclass(frozen=True)
class CallRule:
    """The grammar for the rest of a call after OutputParser reports its CallStart.

    before:    the Lark expression of the rest of the head; empty if the head is complete.
    arguments: the rule of the arguments, or a grammar with the rule `arguments`; None if they can only be "{}".
    after:     the Lark expression of the separator or stop token after the arguments; empty if there is none.
    """

    before: str
    arguments: JsonRule | Lark | None
    after: str
    is_strict: bool = False


@dataclass(frozen=True)
class Constraint:
    """Which outputs a request allows, as data. The engine builds the matcher from it (`guarantees/matcher.py`).

    If `turn` is set, it is the grammar of the whole turn after the prompt. Otherwise `turn_format` says how to follow
    the turn, and only these parts of it are constrained:
    recipients: the functions that may be called. No other name can be called.
    calls:      maps a function's name to the grammar for the rest of its call; a function without one has free
                arguments.
    prefill:    the beginning of the turn that the prompt already holds.
    """

    turn: Lark | None = None
    turn_format: TurnFormat | None = None
    recipients: frozenset[str] = frozenset()
    calls: Mapping[str, CallRule] = field(default_factory=dict)
    prefill: str = ""


@dataclass(frozen=True)
class DraftedCall:
    """A function that may be called. `head` is the beginning of a call of this function, up to the arguments."""

    name: str
    head: str
    parameters: JsonSchema


@dataclass(frozen=True)
class Drafts:
    """What an answer will probably contain, as data. The engine builds a drafter from it (`drafting/drafter.py`).

    turn_format:     how the turn splits into text and calls.
    prefill:         the beginning of the turn that the prompt already holds.
    calls:           the functions that may be called.
    user_message:    the last message of the user, which may contain values of arguments.
    likely_function: the name of the function that the user message is probably about; empty if unknown.
    prediction:      a text that the client expects in the answer; empty if none.
    call_tail:       what stands after the arguments of a call.

    In `prefill`, heads and `call_tail`, control tokens are spelled out.
    """

    turn_format: TurnFormat
    prefill: str
    calls: tuple[DraftedCall, ...]
    user_message: str = ""
    likely_function: str = ""
    prediction: str = ""
    call_tail: str = ""


@dataclass(frozen=True)
class Sampling:
    """How the engine generates one answer.

    Temperature 0 is greedy. top_k 0, top_p 1 and min_p 0 keep all tokens. `seed` makes the sampling repeatable.
    `logprobs` is the number of alternatives reported with each token; None for no report. `owner` is the API key of the
    request: the engine shares out slots among owners, and each owner has its own prefix cache.
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
    """The natural log of a token's probability before temperature is applied, and the same for likely alternatives.

    The alternatives begin with the likeliest one.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Step:
    """The tokens that one request gained in one engine step: one, or several if draft tokens were accepted.

    Only the last step has a `finish_reason`; if it is "stop", the last token is the stop token. Only the first step has
    `num_cached_tokens`, the number of prompt tokens served from the prefix cache. `num_accepted` and `num_rejected`
    count the draft tokens that the step verified; `token_ids` holds the accepted ones.
    """

    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    num_cached_tokens: int = 0
    num_accepted: int = 0
    num_rejected: int = 0


class Engine(Protocol):
    """Generates token ids. Safe to call concurrently: the engine batches the requests itself."""

    @property
    def max_context(self) -> int:
        """The maximum number of tokens of prompt and answer together."""

    @property
    def vocab_size(self) -> int:
        """The width of the logits. Every token id is below it."""

    @property
    def registry(self) -> CollectorRegistry:
        """The engine's Prometheus metrics."""

    def description(self) -> str:
        """Return the device and the number format in a few words, for the log lines at the start."""

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        """Generate the answer to a prompt, step by step.

        Closing the iterator cancels the request and frees its memory within one step.
        Raises before the first step: PromptTooLong, EngineBusy, QueueTimeout, or RequestError for a constraint that
        cannot be compiled. Raises at any time: EngineError if the engine fails on this request, EngineDown if the
        engine has failed for good or is closing.
        """

    def health(self) -> str:
        """Return why the engine serves no requests, such as "a step has been running for 130 s".

        Return "" if the engine serves requests.
        """

    @property
    def is_down(self) -> bool:
        """Whether the engine has failed for good, so that only a new process can serve again."""

    async def close(self) -> None:
        """Stop the engine. Running requests end with EngineDown."""
