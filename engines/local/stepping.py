"""A step: one forward for the requests in turn, and what it means for each of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.generation import Step, TokenLogprob
from engines.local.faults import Faults
from engines.local.forward import Span, forward
from engines.local.metrics import EngineMetrics
from engines.local.scheduler import Request

_MEMORY_BOUND_ROWS = 24  # up to which a step takes little longer: weights are read once for all
_MIN_DRAFT_LIMIT = 8

log = logging.getLogger(__name__)


class Stepper:
    """`deliver` hands a request's steps to its reader; `faults` takes the errors of single requests."""

    def __init__(
        self,
        model: PreTrainedModel,
        max_context: int,
        deliver: Callable[[Request, Step | Exception], None],
        metrics: EngineMetrics,
        faults: Faults,
    ) -> None:
        self._model = model
        self._max_context = max_context
        self._deliver = deliver
        self._metrics = metrics
        self._faults = faults

    def advance(self, turn: Sequence[tuple[Request, int]]) -> None:
        """Read tokens of some requests together. What fails is tried again one by one, and fails for itself alone."""
        room = max(_MIN_DRAFT_LIMIT, _MEMORY_BOUND_ROWS // len(turn))
        planned = [(plan, one) for one in turn if (plan := self._prepare(*one, room)) is not None]
        if not planned:
            return
        try:
            all_logits = forward(self._model, [span for (_, span), _ in planned])
        except BaseException as error:
            if len(planned) == 1:
                self._faults.fail(planned[0][1][0], error)
                return
            self._faults.record_unless_fatal(error)
            log.warning("a step of %d requests failed; each is tried alone", len(planned))
        else:
            for ((guess, _), (request, num_read)), logits in zip(planned, all_logits, strict=True):
                try:
                    self._advance_request(request, num_read, guess, logits)
                except BaseException as error:
                    self._faults.fail(request, error)
            return
        for _, one in planned:  # not in the handler: its error holds what the forward has computed
            self.advance([one])

    def _prepare(self, request: Request, num_read: int, room: int) -> tuple[list[int], Span] | None:
        """The guess behind what is read, and both as a span; None if the request fails over it."""
        try:
            guess = self._draft(request, num_read, room)
            return guess, _span(request, num_read, guess)
        except BaseException as error:
            self._faults.fail(request, error)
            return None

    def _draft(self, request: Request, num_read: int, room: int) -> list[int]:
        """Tokens that may follow the last one; none while the prompt is read, and no more than may still be drawn."""
        if request.drafter is None or num_read < request.num_uncomputed:
            return []
        num_drawable = min(request.sampling.max_tokens - request.num_sampled, self._max_context - len(request.ids))
        limit = min(room, num_drawable - 1)
        forced = request.matcher.forced() if request.matcher else []
        return forced[: max(limit, 0)] or request.drafter.propose(limit)

    def _advance_request(self, request: Request, num_read: int, guess: Sequence[int], logits: Tensor) -> None:
        """Draw behind what was read, and behind each guess for as long as the model draws what was guessed."""
        request.running_kv_cache.length += num_read
        if len(logits) == 0:
            return
        drawn: list[int] = []
        reports: list[TokenLogprob] = []
        is_first = request.num_sampled == 0
        for row, guessed in zip(logits, [*guess, None], strict=True):
            token_id, report = self._sample(request, row)
            drawn.append(token_id)
            reports += [report] if report else []
            if request.finish_reason or token_id != guessed:
                break
        num_accepted = sum(one == other for one, other in zip(drawn, guess, strict=False))
        request.running_kv_cache.length += min(num_accepted, len(drawn) - 1)
        if request.drafter:
            request.drafter.read(drawn)
            if guess:
                request.drafter.record_accepted(num_accepted)
        num_cached = request.num_cached if is_first else 0
        step = Step(
            tuple(drawn), request.finish_reason, tuple(reports), num_cached, num_accepted, len(guess) - num_accepted
        )
        self._count(request, step, is_first)
        self._deliver(request, step)

    def _count(self, request: Request, step: Step, is_first: bool) -> None:
        if is_first:
            self._metrics.prompt_tokens.inc(request.num_prompt_tokens)
            self._metrics.cached_tokens.inc(step.num_cached_tokens)
            self._metrics.seconds_to_first_token.observe(time.monotonic() - request.submitted_at)
        self._metrics.generated_tokens.inc(len(step.token_ids))
        self._metrics.draft_tokens.inc(step.num_accepted + step.num_rejected)
        self._metrics.accepted_tokens.inc(step.num_accepted)

    def _sample(self, request: Request, logits: Tensor) -> tuple[int, TokenLogprob | None]:
        """One token; it ends the request when it is the last."""
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


def _span(request: Request, num_read: int, guess: Sequence[int]) -> Span:
    start = request.num_computed
    ids = [*request.ids[start : start + num_read], *guess]
    is_read = start + num_read == len(request.ids)
    return Span(ids, request.running_kv_cache, num_logits=1 + len(guess) if is_read else 0)
