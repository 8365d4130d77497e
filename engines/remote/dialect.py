"""What the dialects of the servers have in common: how an answer is asked for, and what one event of it says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.generation import Sampling, TokenLogprob
from engines.remote.http import HttpServer
from text.vocabulary import Vocabulary

Json = dict[str, Any]

LOWEST = -9999.0  # the logprob in place of minus infinity, or of one that a server does not tell; as in OpenAI's API


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
    is_single: only one token is asked for. allowed: which tokens it may be, (vocab_size,); None for all.
    grammar: the grammar of what may follow, in llguidance's dialect of Lark; "" for none. It saves work: the answer is
    checked again here.
    is_resumed: the answer has begun, so that it should not wait behind new ones where the server has priorities.
    """

    ids: Sequence[int]
    sampling: Sampling
    facts: Facts
    is_single: bool = False
    allowed: NDArray[np.bool_] | None = None
    grammar: str = ""
    is_resumed: bool = False


@dataclass(frozen=True)
class Gain:
    """What one event adds to an answer.

    finish: "stop" if the server ended the answer at a stop token or an end-of-text token, "length" at its limit.
    logprobs: one for each token, if they were asked for. num_cached: prompt tokens from the server's prefix cache.
    is_lost: the server generated tokens after `token_ids` whose ids cannot be known; it must be asked for them again.
    """

    token_ids: tuple[int, ...] = ()
    finish: Literal["stop", "length"] | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    num_cached: int = 0
    is_lost: bool = False


class Reader(Protocol):
    """Reads the events of one answer. Raises KeyError, TypeError, ValueError or IndexError for an unusable event."""

    def read(self, event: Json) -> Gain: ...


class Dialect(Protocol):
    """How one kind of server is spoken to. All paths begin with a slash.

    path: the route of completions. health_path: answers with 200 while the server works.
    takes_grammars: `Ask.grammar` is used.
    missing: what this kind of server cannot do, for the lines at start; "" if nothing.
    needs_vocabulary: its readers use the vocabulary, which is then built at start.
    """

    name: str
    path: str
    health_path: str
    takes_grammars: bool
    missing: str
    needs_vocabulary: bool

    def body(self, ask: Ask) -> Json:
        """Return the body of a streamed request. Raises RequestError for what the server cannot do.

        The answer to a request for one token may be no stream: it is read as one event.
        """

    def reader(self, ask: Ask, vocabulary: Callable[[], Vocabulary]) -> Reader:
        """Return the reader of the answer to `ask`."""

    def knows_itself(self, models: Json) -> bool:
        """Return whether the answer to GET /v1/models is that of a server of this kind."""

    async def facts(self, server: HttpServer, models: Json, wanted: str) -> Facts:
        """Return what the server says about itself. `wanted` is the name of the checkpoint. Raises ServerError."""

    def tokenize(self, text: str, model: str) -> tuple[str, Json]:
        """Return the path and the body of a request that tokenizes `text`, where control tokens are those tokens."""


def cache_name(owner: str) -> str:
    """Return the name under which an owner's prompts share cached prefixes on a server.

    It is not the digest of the key, which does not leave the process.
    """
    return hashlib.sha256(b"cache " + owner.encode()).hexdigest()
