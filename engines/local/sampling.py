"""Samples token ids from logits, for one request at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import EngineError
from core.generation import Sampling, TokenLogprob

_LOWEST = -9999.0  # reported in place of minus infinity as a logprob, as OpenAI does
_GREEDY = 1e-5  # at a temperature below this, the likeliest token is always taken
_LIKELY = 256  # candidates, enough for nearly every top_p; sorting the whole vocabulary is ten times slower


class Sampler:
    """Samples the tokens of one request. Holds its random generator and the counts of its sampled tokens."""

    def __init__(self, sampling: Sampling, prompt_ids: Sequence[int]) -> None:
        self._sampling = sampling
        self._prompt_ids = frozenset(prompt_ids) if sampling.repetition_penalty != 1.0 else frozenset()
        self._counts: Counter[int] = Counter()
        self._is_plain = (
            sampling.temperature < _GREEDY
            and sampling.repetition_penalty == 1.0
            and not (sampling.presence_penalty or sampling.frequency_penalty or sampling.logit_bias)
            and not sampling.min_tokens
            and sampling.logprobs is None
        )  # if true, the sampled token is the argmax of the raw logits
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed % 2**63)

    def sample(self, logits: Tensor, allowed: Tensor | None) -> tuple[int, TokenLogprob | None]:
        """Sample the next token.  logits: (vocab_size,) of any float type; allowed: (vocab_size,) bool, None for all.

        Penalties apply to tokens that were sampled before; the repetition penalty applies to prompt tokens too. Raises
        EngineError if the logits hold NaN or plus infinity: a token sampled from them would be meaningless.
        """
        if self._is_plain and allowed is None:
            best, index = logits.max(dim=-1)
            if not math.isfinite(best):
                raise EngineError("the model's logits are not finite")
            self._counts[token_id := int(index)] += 1
            return token_id, None
        logits = logits.detach().to("cpu", torch.float32)
        if not bool(torch.isfinite(logits.max())):  # the max is NaN if any logit is; -inf for single tokens is legal
            raise EngineError("the model's logits are not finite")
        token_id = self._choose(self._adjusted(logits, allowed))
        self._counts[token_id] += 1
        return token_id, self._report(logits, token_id)

    def _adjusted(self, logits: Tensor, allowed: Tensor | None) -> Tensor:
        sampling = self._sampling
        logits = logits.clone()
        if seen_ids := list(self._prompt_ids | self._counts.keys()) if sampling.repetition_penalty != 1.0 else []:
            seen = logits[seen_ids]
            logits[seen_ids] = torch.where(
                seen > 0, seen / sampling.repetition_penalty, seen * sampling.repetition_penalty
            )
        if self._counts and (sampling.presence_penalty or sampling.frequency_penalty):
            ids, counts = list(self._counts), torch.tensor(list(self._counts.values()), dtype=torch.float32)
            logits[ids] -= sampling.presence_penalty + sampling.frequency_penalty * counts
        for token_id, bias in sampling.logit_bias:
            logits[token_id] += bias
        if allowed is not None:
            logits.masked_fill_(~allowed, -torch.inf)
        if self._counts.total() < sampling.min_tokens and sampling.stop_ids:
            longer = logits.index_fill(0, torch.tensor(sorted(sampling.stop_ids)), -torch.inf)
            logits = (
                longer if bool(torch.isfinite(longer.max())) else logits
            )  # stop tokens are not masked if the constraint allows no other token
        return logits

    def _choose(self, logits: Tensor) -> int:
        """Sample by temperature, top-k, top-p (Holtzman 2019) and min-p.

        Top-p keeps the smallest set of tokens whose probabilities sum to p. Min-p keeps the tokens that are at least p
        times as likely as the likeliest token.
        """
        sampling = self._sampling
        if sampling.temperature < _GREEDY:
            return int(logits.argmax())
        probs = torch.softmax(logits / sampling.temperature, dim=-1)
        if sampling.top_k <= 0 and sampling.top_p >= 1.0 and sampling.min_p <= 0.0:
            return int(torch.multinomial(probs, 1, generator=self._generator))
        width = probs.shape[-1]
        top, ids = torch.topk(probs, min(width, sampling.top_k or _LIKELY))
        if sampling.top_k:
            top = top / top.sum()  # top-p applies to the tokens that top-k keeps, as in transformers and vLLM
        elif float(top.sum()) < sampling.top_p:
            top, ids = torch.topk(probs, width)
        before = top.cumsum(-1) - top
        keep = (before < sampling.top_p) & (top >= sampling.min_p * top[0])
        keep[0] = True
        return int(ids[torch.multinomial(top * keep, 1, generator=self._generator)])

    def _report(self, logits: Tensor, token_id: int) -> TokenLogprob | None:
        if self._sampling.logprobs is None:
            return None
        logprobs = torch.log_softmax(logits, dim=-1).clamp_min(_LOWEST)
        top, ids = torch.topk(logprobs, min(self._sampling.logprobs, logits.shape[-1]))
        alternatives = tuple(zip(ids.tolist(), top.tolist(), strict=True))
        return TokenLogprob(token_id, float(logprobs[token_id]), alternatives)
