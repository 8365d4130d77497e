"""A step: one forward for the requests in turn, and what it means for each of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from torch import Tensor
from transformers import PreTrainedModel

from engines import Step
from engines.ragged import Span, forward
from engines.scheduler import Request
from errors import EngineError

log = logging.getLogger(__name__)


class Stepper:
    """`deliver` hands a request's steps, or the exception that ends it, to its reader."""

    def __init__(
        self, model: PreTrainedModel, max_context: int, deliver: Callable[[Request, Step | Exception], None]
    ) -> None:
        self._model = model
        self._max_context = max_context
        self._deliver = deliver

    def advance(self, turn: Sequence[tuple[Request, int]]) -> None:
        """Read tokens of some requests together. What fails is tried again one by one, and fails for itself alone."""
        spans = [_span(request, num_read) for request, num_read in turn]
        try:
            all_logits = forward(self._model, spans)
        except BaseException as error:
            if len(turn) == 1:
                self.fail(turn[0][0], error)
                return
            log.warning("a step of %d requests failed with %s; each is tried alone", len(turn), type(error).__name__)
            for one in turn:
                self.advance([one])
            return
        for (request, num_read), logits in zip(turn, all_logits, strict=True):
            try:
                self._go_on(request, num_read, logits)
            except BaseException as error:  # also a panic of Rust code, which is no Exception: this thread must not end
                self.fail(request, error)

    def _go_on(self, request: Request, num_read: int, logits: Tensor) -> None:
        request.kept.length += num_read
        if len(logits) == 0:
            return
        step = self._draw(request, logits[-1])
        if step.finish_reason:  # never back to open: its reader may have left during the forward
            request.is_closed = True
        self._deliver(request, step)

    def fail(self, request: Request, error: BaseException) -> None:
        request.is_closed = True
        request.keys_values = None  # the error's traceback holds `request`, for as long as somebody holds the error
        if isinstance(error, EngineError):
            self._deliver(request, error.with_traceback(None))
            return
        log.error("a step failed", exc_info=error)
        self._deliver(request, EngineError("a step of the model failed"))

    def _draw(self, request: Request, logits: Tensor) -> Step:
        sampling, matcher = request.sampling, request.matcher
        num_cached = request.num_cached if request.num_drawn == 0 else 0
        token_id, report = request.sampler.sample(logits, matcher.mask() if matcher else None)
        request.ids.append(token_id)
        logprobs = (report,) if report else ()
        if token_id in sampling.stop_ids:
            return Step((token_id,), "stop", logprobs, num_cached)
        if matcher:
            matcher.accept(token_id)
        if request.num_drawn >= sampling.max_tokens or len(request.ids) >= self._max_context:
            return Step((token_id,), "length", logprobs, num_cached)
        return Step((token_id,), None, logprobs, num_cached)


def _span(request: Request, num_read: int) -> Span:
    start = request.num_computed
    ids = request.ids[start : start + num_read]
    return Span(ids, request.kept, num_logits=int(start + num_read == len(request.ids)))
