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


class Answer:
    """The state of one answer.

    is_forbidden: the last gain had a token that is not allowed. It was dropped with all after it, and the next token
    must be asked for under the mask `allowed`.
    is_lost: the server does not tell the next token in a stream, so that it must be asked for alone.
    """

    def __init__(
        self, prompt_ids: Sequence[int], sampling: Sampling, matcher: Matcher | None, max_context: int, vocab_size: int
    ) -> None:
        self._prompt_ids = list(prompt_ids)
        self._sampling = sampling
        self._matcher = matcher
        self._max_tokens = min(sampling.max_tokens, max_context - len(prompt_ids))
        self._vocab_size = vocab_size
        self._ids: list[int] = []
        self._num_requests = 0
        self.is_forbidden = False
        self.is_lost = False
        self.finish_reason: FinishReason | None = None

    @property
    def ids(self) -> list[int]:
        """The prompt and the tokens of the answer so far: what a server has to continue."""
        return self._prompt_ids + self._ids

    @property
    def num_generated(self) -> int:
        return len(self._ids)

    def next_sampling(self) -> Sampling:
        """Return the sampling of the next request for the rest of the answer.

        A server takes the tokens so far for a part of the prompt. So their penalties, which count generated tokens
        only, become biases. Each request has another seed: with the same one, the token in the place of a forbidden
        one would depend on it.
        """
        sampling, num = self._sampling, len(self._ids)
        self._num_requests += 1
        seed = sampling.seed
        if seed is not None and self._num_requests > 1:
            seed = hash((seed, self._num_requests))
        biases: defaultdict[int, float] = defaultdict(float, sampling.logit_bias)
        if sampling.presence_penalty or sampling.frequency_penalty:
            for token_id, count in Counter(self._ids).items():
                biases[token_id] -= sampling.presence_penalty + sampling.frequency_penalty * count
        return replace(
            sampling,
            max_tokens=self._max_tokens - num,
            min_tokens=max(0, sampling.min_tokens - num),
            logit_bias=tuple(biases.items()),
            seed=seed,
        )

    def num_cached(self, gain: Gain) -> int:
        """Return the cached prompt tokens of a gain. Later requests find the answer so far in the cache."""
        return gain.num_cached if self._num_requests == 1 else 0

    def allowed(self) -> NDArray[np.bool_] | None:
        """Return which tokens may come next, (vocab_size,); None for all. Raises EngineError if there is none."""
        mask = self._matcher.mask() if self._matcher else None
        if len(self._ids) >= self._sampling.min_tokens or not self._sampling.stop_ids:
            return mask
        longer = np.ones(self._vocab_size, np.bool_) if mask is None else mask.copy()
        longer[list(self._sampling.stop_ids)] = False
        return longer if longer.any() else mask  # an answer may end early if its constraint allows nothing else

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
            if not 0 <= token_id < self._vocab_size:
                raise EngineError(f"the engine's server sent the token id {token_id}, which no token has")
            mask = self.allowed()
            if mask is not None and not mask[token_id]:
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
        return Step(tuple(taken), self.finish_reason, tuple(reports), self.num_cached(gain))

    def _take(self, token_id: int) -> None:
        self._ids.append(token_id)
        if token_id in self._sampling.stop_ids:
            self.finish_reason = "stop"
            return
        if self._matcher:
            self._matcher.accept(token_id)
        if len(self._ids) >= self._max_tokens:
            self.finish_reason = "length"
