"""Runs a step: drafts for the scheduled requests, one forward for all, then sampling and delivery for each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.generation import Step, TokenLogprob
from engines.local.faults import Faults
from engines.local.forward import Span, forward
from engines.local.scheduler import Request

# Tokens. A step with up to so many takes little longer than a step with one, because reading the weights dominates.
_MEMORY_BOUND_ROWS = 24
_MIN_DRAFT_LIMIT = 8  # draft tokens that each request may verify in a step, no matter how many requests the step has

log = logging.getLogger(__name__)


class Stepper:
    """Runs steps. `deliver` gives a step to the request's reader; `faults` ends a request that failed."""

    def __init__(
        self,
        model: PreTrainedModel,
        max_context: int,
        deliver: Callable[[Request, Step | Exception], None],
        faults: Faults,
    ) -> None:
        self._model = model
        self._max_context = max_context
        self._deliver = deliver
        self._faults = faults

    def advance(self, scheduled: Sequence[tuple[Request, int]]) -> None:
        """Compute the scheduled requests' next tokens in one forward, and sample.

        `scheduled` says how many tokens of each request are computed. If the forward fails, each request is retried in
        a forward of its own, and only the request that fails again ends.
        """
        max_draft_tokens = max(_MIN_DRAFT_LIMIT, _MEMORY_BOUND_ROWS // len(scheduled))
        prepared = [(inputs, one) for one in scheduled if (inputs := self._prepare(*one, max_draft_tokens)) is not None]
        if not prepared:
            return
        try:
            all_logits = forward(self._model, [span for (_, span), _ in prepared])
        except BaseException as error:
            if len(prepared) == 1:
                self._faults.fail(prepared[0][1][0], error)
                return
            self._faults.record_unless_fatal(error)
            log.warning("a step of %d requests failed; each request is retried in its own forward", len(prepared))
        else:
            for ((draft, _), (request, num_new)), logits in zip(prepared, all_logits, strict=True):
                try:
                    self._advance_request(request, num_new, draft, logits)
                except BaseException as error:
                    self._faults.fail(request, error)
            return
        for _, one in prepared:  # not in `except`, where the exception keeps the failed tensors alive
            self.advance([one])

    def _prepare(self, request: Request, num_new: int, max_draft_tokens: int) -> tuple[list[int], Span] | None:
        """Return the draft, and a span that holds the new tokens and the draft.

        If this fails, it ends the request and returns None.
        """
        try:
            draft = self._draft(request, num_new, max_draft_tokens)
            return draft, _span(request, num_new, draft)
        except BaseException as error:
            self._faults.fail(request, error)
            return None

    def _draft(self, request: Request, num_new: int, max_draft_tokens: int) -> list[int]:
        """Return draft tokens that may follow the last token; none during prefill.

        The draft is no longer than what the request may still sample.
        """
        if request.drafter is None or num_new < request.num_uncomputed:
            return []
        num_samplable = min(request.sampling.max_tokens - request.num_sampled, self._max_context - len(request.ids))
        limit = min(max_draft_tokens, num_samplable - 1)
        forced = request.matcher.forced() if request.matcher else []
        return forced[: max(limit, 0)] or request.drafter.propose(limit)

    def _advance_request(self, request: Request, num_new: int, draft: Sequence[int], logits: Tensor) -> None:
        """Sample the token after the new tokens, then one after each draft token until a draft token is not accepted.

        logits: (0, vocab_size) if prompt tokens remain to be computed, else (1 + draft tokens, vocab_size).
        """
        request.running_kv_cache.length += num_new
        if len(logits) == 0:
            return
        sampled: list[int] = []
        reports: list[TokenLogprob] = []
        is_first = request.num_sampled == 0
        for row, draft_id in zip(logits, [*draft, None], strict=True):
            token_id, report = self._sample(request, row)
            sampled.append(token_id)
            reports += [report] if report else []
            if request.finish_reason or token_id != draft_id:
                break
        num_accepted = sum(one == other for one, other in zip(sampled, draft, strict=False))
        request.running_kv_cache.length += min(num_accepted, len(sampled) - 1)
        if request.drafter:
            request.drafter.read(sampled)
            if draft:
                request.drafter.record_accepted(num_accepted)
        num_cached = request.num_cached if is_first else 0
        step = Step(
            tuple(sampled), request.finish_reason, tuple(reports), num_cached, num_accepted, len(draft) - num_accepted
        )
        request.times.gained(step)
        self._deliver(request, step)

    def _sample(self, request: Request, logits: Tensor) -> tuple[int, TokenLogprob | None]:
        """Sample one token, and finish the request if the token is its last."""
        sampling, matcher = request.sampling, request.matcher
        mask = matcher.mask() if matcher else None
        allowed = None if mask is None else torch.from_numpy(mask)
        token_id, report = request.sampler.sample(logits, allowed)
        request.ids.append(token_id)
        if token_id in sampling.stop_ids:
            request.finish("stop")
            return token_id, report
        if matcher:
            matcher.accept(token_id)
        if request.num_sampled >= sampling.max_tokens or len(request.ids) >= self._max_context:
            request.finish("length")
        return token_id, report


def _span(request: Request, num_new: int, draft: Sequence[int]) -> Span:
    start = request.num_computed
    ids = [*request.ids[start : start + num_new], *draft]
    is_last_part = start + num_new == len(request.ids)
    return Span(ids, request.running_kv_cache, num_logits=1 + len(draft) if is_last_part else 0)
