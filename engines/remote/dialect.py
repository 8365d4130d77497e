"""What the dialects of the servers have in common: how an answer is asked for, and what one event of it says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.generation import Sampling, TokenLogprob
from engines.remote.http import HttpServer

Json = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What a server says about itself. None for what it does not say.

    model: the name that requests must use. source: the checkpoint that it names, which may be the same.
    has_priorities: requests with a lower `priority` run first.
    """

    model: str
    source: str = ""
    max_context: int | None = None
    vocab_size: int | None = None
    has_priorities: bool = False


@dataclass(frozen=True)
class Ask:
    """One request to a server: the ids to continue, and how.

    facts: those of the server. ids: the prompt, and the tokens of the answer that are already there.
    allowed: the only tokens that may come next, for a request for one token; None for all.
    grammar: the grammar of what may follow, in llguidance's dialect of Lark; "" for none. It saves work: the answer is
    checked again here.
    is_resumed: the answer has begun, so that it should not wait behind new ones where the server has priorities.
    """

    ids: Sequence[int]
    sampling: Sampling
    facts: Facts
    allowed: Collection[int] | None = None
    grammar: str = ""
    is_resumed: bool = False


@dataclass(frozen=True)
class Gain:
    """What one event adds to an answer.

    finish: "stop" if the server ended the answer at a stop token or an end-of-text token, "length" at its limit.
    logprobs: one for each token, if they were asked for. num_cached: prompt tokens from the server's prefix cache.
    """

    token_ids: tuple[int, ...] = ()
    finish: Literal["stop", "length"] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    num_cached: int = 0


class Reader(Protocol):
    """Reads the events of one answer. Raises KeyError, TypeError, ValueError or IndexError for an unusable event."""

    def read(self, event: Json) -> Gain: ...


class Dialect(Protocol):
    """How one kind of server is spoken to. All paths begin with a slash.

    path: the route of completions. health_path: answers with 200 while the server works.
    missing: what this kind of server cannot do, for the lines at start; "" if nothing.
    """

    name: str
    path: str
    health_path: str
    missing: str

    def body(self, ask: Ask) -> Json:
        """Return the body of a streamed request. Raises RequestError for what the server cannot do."""

    def reader(self, ask: Ask) -> Reader:
        """Return the reader of the answer to `ask`."""

    def knows_itself(self, models: Json) -> bool:
        """Return whether the answer to GET /v1/models is that of a server of this kind."""

    async def facts(self, server: HttpServer, models: Json, wanted: str) -> Facts:
        """Return what the server says about itself. `wanted` is the name of the checkpoint. Raises ServerError."""

    def tokenize(self, text: str, model: str) -> tuple[str, Json]:
        """Return the path and the body of a request that tokenizes `text`, where control tokens are those tokens."""
