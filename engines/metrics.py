"""The Prometheus metrics of an engine, the same for every engine.

Names, types and buckets are those of vLLM 0.32 behind this project's prefix wherever the meaning is the same, so that a
dashboard for vLLM needs one rule that renames `functionary:` to `vllm:`. `tests/engines/test_metrics.py` compares them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, takewhile
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from core.generation import Step

PREFIX = "functionary:"
FINISHED_REASONS = ("stop", "length", "error", "abort")
FinishedReason = Literal["stop", "length", "error", "abort"]

# Upper bounds in seconds.
_FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_REQUEST_S = (*(0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680),)


class EngineMetrics:
    """The metrics of one engine, all in `registry`. Thread-safe.

    max_context: the bound of the buckets that count tokens. clock: seconds; only differences matter.
    """

    def __init__(self, max_context: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self.clock = clock
        self.faults = self.add_counter(
            "engine_faults", "Exceptions in the engine, in the work of one request or of a whole step."
        )
        self.prompt_tokens = self.add_counter("prompt_tokens", "Prompt tokens, computed or cached.")
        self.looked_up_tokens = self.add_counter("prefix_cache_queries", "Prompt tokens looked up in the prefix cache.")
        self.cached_tokens = self.add_counter("prefix_cache_hits", "Prompt tokens served from the prefix cache.")
        self.generated_tokens = self.add_counter("generation_tokens", "Sampled tokens.")
        self.draft_tokens = self.add_counter("spec_decode_num_draft_tokens", "Draft tokens that a forward verified.")
        self.accepted_tokens = self.add_counter("spec_decode_num_accepted_tokens", "Draft tokens that were accepted.")
        self.finished = Counter(
            f"{PREFIX}request_success",
            "Ended requests by reason. error: the engine failed; abort: the client left.",
            ("finished_reason",),
            registry=self.registry,
        )
        for reason in FINISHED_REASONS:
            self.finished.labels(reason)
        self._add_histograms_of_times()
        self._add_histograms_of_tokens(list(_one_two_five(max_context)))

    def _add_histograms_of_times(self) -> None:
        self.first_token_s = self._histogram(
            "time_to_first_token", "From a request's arrival at the engine to its first token.", _FIRST_TOKEN_S
        )
        self.inter_token_s = self._histogram(
            "inter_token_latency",
            "Between two steps of a request; a step with accepted drafts has several tokens.",
            _TOKEN_S,
        )
        self.time_per_token_s = self._histogram(
            "request_time_per_output_token", "Mean time per token after the first, by request.", _TOKEN_S
        )
        self.request_s = self._histogram(
            "e2e_request_latency", "From a request's arrival to its last token.", _REQUEST_S
        )
        self.queue_s = self._histogram("request_queue_time", "From a request's arrival to its slot.", _REQUEST_S)
        self.prefill_s = self._histogram("request_prefill_time", "From the slot to the first token.", _REQUEST_S)
        self.decode_s = self._histogram("request_decode_time", "From the first token to the last.", _REQUEST_S)
        self.inference_s = self._histogram("request_inference_time", "From the slot to the last token.", _REQUEST_S)

    def _add_histograms_of_tokens(self, buckets: Sequence[float]) -> None:
        def histogram(name: str, help_text: str) -> Histogram:
            return Histogram(PREFIX + name, help_text, buckets=buckets, registry=self.registry)

        self.request_prompt_tokens = histogram("request_prompt_tokens", "Prompt tokens by request.")
        self.request_computed_tokens = histogram(
            "request_prefill_kv_computed_tokens", "Prompt tokens that were computed, not cached, by request."
        )
        self.request_generated_tokens = histogram("request_generation_tokens", "Sampled tokens by request.")
        self.request_max_tokens = histogram("request_params_max_tokens", "Most tokens that the request allowed.")

    def submitted(self, num_prompt_tokens: int, max_tokens: int) -> RequestTimes:
        """Return the times of a request that arrives now. Nothing is counted before its first step or its end."""
        return RequestTimes(self, num_prompt_tokens, max_tokens)

    def add_gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read at every scrape."""
        Gauge(PREFIX + name, help_text, registry=self.registry).set_function(read)

    def add_counter(self, name: str, help_text: str) -> Counter:
        """Add a counter that only some engines have."""
        return Counter(PREFIX + name, help_text, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"{PREFIX}{name}_seconds", help_text, buckets=buckets, registry=self.registry)


class RequestTimes:
    """The times and counts of one request. An engine calls `scheduled`, then `gained` for each step, then `finished`.

    An engine that does not know when a request starts to run leaves out `scheduled`; the times that need it are then
    not observed.
    """

    def __init__(self, metrics: EngineMetrics, num_prompt_tokens: int, max_tokens: int) -> None:
        self._metrics = metrics
        self._num_prompt_tokens = num_prompt_tokens
        self._max_tokens = max_tokens
        self._num_cached = 0
        self._num_tokens = 0
        self._submitted_at = metrics.clock()
        self._scheduled_at: float | None = None
        self._first_token_at: float | None = None
        self._last_token_at = 0.0

    def scheduled(self) -> None:
        """Note that the request got its slot. Later calls, after a preemption, change nothing."""
        if self._scheduled_at is None:
            self._scheduled_at = self._metrics.clock()

    def gained(self, step: Step) -> None:
        """Count the tokens of a step, and of the first step the prompt's too."""
        now, metrics = self._metrics.clock(), self._metrics
        if self._first_token_at is None:
            self._first_token_at = now
            metrics.prompt_tokens.inc(self._num_prompt_tokens)
            metrics.looked_up_tokens.inc(self._num_prompt_tokens)
            metrics.first_token_s.observe(now - self._submitted_at)
        else:
            metrics.inter_token_s.observe(now - self._last_token_at)
        self._last_token_at = now
        self._num_cached += step.num_cached_tokens  # a server elsewhere may tell it with its last step
        metrics.cached_tokens.inc(step.num_cached_tokens)
        self._num_tokens += len(step.token_ids)
        metrics.generated_tokens.inc(len(step.token_ids))
        if num_drafted := step.num_accepted + step.num_rejected:
            metrics.draft_tokens.inc(num_drafted)
            metrics.accepted_tokens.inc(step.num_accepted)

    def finished(self, reason: FinishedReason) -> None:
        """Count the end of the request. Times and sizes are observed for whole answers only, as vLLM does."""
        metrics, first, last = self._metrics, self._first_token_at, self._last_token_at
        metrics.finished.labels(reason).inc()
        if first is None or reason not in ("stop", "length"):
            return
        metrics.request_s.observe(last - self._submitted_at)
        metrics.decode_s.observe(last - first)
        if self._scheduled_at is not None:
            metrics.queue_s.observe(self._scheduled_at - self._submitted_at)
            metrics.prefill_s.observe(first - self._scheduled_at)
            metrics.inference_s.observe(last - self._scheduled_at)
        if self._num_tokens > 1:
            metrics.time_per_token_s.observe((last - first) / (self._num_tokens - 1))
        metrics.request_prompt_tokens.observe(self._num_prompt_tokens)
        metrics.request_computed_tokens.observe(self._num_prompt_tokens - self._num_cached)
        metrics.request_generated_tokens.observe(self._num_tokens)
        metrics.request_max_tokens.observe(self._max_tokens)


def _one_two_five(most: int) -> Iterator[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on up to `most`."""
    return takewhile(lambda value: value <= most, (digit * 10**power for power in count() for digit in (1, 2, 5)))
