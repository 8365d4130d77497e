"""One answer, read along: which of a server's tokens count, where it must be corrected, and how it goes on.

A server is not trusted: each token is checked against the request's constraint, its stop tokens and its limits here,
whatever the server was told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.errors import EngineError
from core.generation import Sampling, Step, TokenLogprob
from core.turn_format import FinishReason
from engines.remote.dialect import Gain
from guarantees.matcher import Matcher

_SEED_STEP = 0x9E3779B97F4A7C15  # odd, so that no seed of an answer is used twice


class Answer:
    """The state of one answer.

    num_asked: how many requests to servers it took so far.
    is_forbidden: the last gain had a token that is not allowed. It was dropped with all after it, and the next token
    must be asked for under the mask `allowed`.
    is_lost: the server does not tell the next token in a stream, so that it must be asked for alone.
    """

    def __init__(
        self, prompt_ids: Sequence[int], sampling: Sampling, matcher: Matcher | None, max_context: int, vocab_size: int
    ) -> None:
        self._prompt_ids = prompt_ids
        self._sampling = sampling
        self._matcher = matcher
        self._max_tokens = min(sampling.max_tokens, max_context - len(prompt_ids))
        self._vocab_size = vocab_size
        self._ids: list[int] = []
        self.num_asked = 0
        self.is_forbidden = False
        self.is_lost = False
        self.finish_reason: FinishReason | None = None

    @property
    def ids(self) -> list[int]:
        """The prompt and the tokens of the answer so far: what a server has to continue."""
        return [*self._prompt_ids, *self._ids]

    @property
    def num_generated(self) -> int:
        return len(self._ids)

    def num_cached(self, num: int) -> int:
        """Return how many prompt tokens the cache had, of which a server counts `num`.

        Only the first request tells it: the others find in the cache what the first one has computed.
        """
        return min(num, len(self._prompt_ids)) if self.num_asked == 1 else 0

    def next_sampling(self) -> Sampling:
        """Return the sampling for the next request of this answer.

        A server takes the tokens so far for a part of the prompt. So their penalties, which count generated tokens
        only, become biases. That is exact but for a token that is sampled again after a resumption: its presence
        penalty counts once in the bias and once on the server. Each request has a seed of its own: with one seed for
        all, a server would draw the same random numbers again, and the tokens would depend on each other.
        """
        sampling, num = self._sampling, len(self._ids)
        seed = None if sampling.seed is None else sampling.seed + self.num_asked * _SEED_STEP
        self.num_asked += 1
        biases: defaultdict[int, float] = defaultdict(float, sampling.logit_bias)
        if sampling.presence_penalty or sampling.frequency_penalty:
            for token_id, count in Counter(self._ids).items():
                biases[token_id] -= sampling.presence_penalty + sampling.frequency_penalty * count
        return replace(
            sampling,
            max_tokens=self._max_tokens - num,
            min_tokens=max(0, min(sampling.min_tokens, self._max_tokens) - num),  # servers refuse more than max_tokens
            seed=seed,
            logit_bias=tuple(biases.items()),
        )

    def allowed(self) -> NDArray[np.bool_] | None:
        """Return which tokens may come next, (vocab_size,); None for all. Raises EngineError if there is none."""
        mask = self._matcher.mask() if self._matcher else None
        if len(self._ids) >= self._sampling.min_tokens or not self._sampling.stop_ids:
            return mask
        longer = np.ones(self._vocab_size, np.bool_) if mask is None else mask.copy()
        longer[list(self._sampling.stop_ids)] = False
        return longer if longer.any() else mask  # an answer may end early if its constraint allows nothing else

    def _allows(self, token_id: int) -> bool:
        """Return whether a token may come next, which takes less time than the whole mask."""
        if token_id in self._sampling.stop_ids and len(self._ids) < self._sampling.min_tokens:
            mask = self.allowed()
            return mask is None or bool(mask[token_id])
        return self._matcher is None or self._matcher.allows(token_id)

    def forced(self) -> Step | None:
        """Add the tokens that the constraint leaves no choice about. None if there are none.

        The model is not asked for them, so they have no logprobs: a request for logprobs gets them one by one.
        """
        self.is_forbidden = self.is_lost = False
        if self._matcher is None or self._sampling.logprobs is not None or self.finish_reason:
            return None
        ids = self._matcher.forced()[: self._max_tokens - len(self._ids)]
        return self.read(Gain(tuple(ids))) if ids else None

    def read(self, gain: Gain) -> Step | None:
        """Add the tokens of `gain` up to the end of the answer or the first forbidden one; None if that adds none."""
        taken: list[int] = []
        reports: list[TokenLogprob] = []
        self.is_forbidden = self.is_lost = False
        for position, token_id in enumerate(gain.token_ids):
            if not (type(token_id) is int and 0 <= token_id < self._vocab_size):
                raise EngineError(f"the engine's server sent the token id {str(token_id)[:20]}, which no token has")
            if not self._allows(token_id):
                self.is_forbidden = True
                break
            taken.append(token_id)
            reports += gain.logprobs[position : position + 1]
            self._take(token_id)
            if self.finish_reason:
                break
        self.is_lost = gain.is_lost and not (self.is_forbidden or self.finish_reason)
        if not taken and not self.finish_reason:
            return None
        return Step(tuple(taken), self.finish_reason, tuple(reports), self.num_cached(gain.num_cached))

    def _take(self, token_id: int) -> None:
        self._ids.append(token_id)
        if token_id in self._sampling.stop_ids:
            self.finish_reason = "stop"
            return
        if self._matcher:
            self._matcher.accept(token_id)
        if len(self._ids) >= self._max_tokens:
            self.finish_reason = "length"
