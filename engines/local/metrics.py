"""What an engine has done, for Prometheus. vLLM made these names known; the prefix is ours."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "functionary:"
_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)


class EngineMetrics:
    """Counters that any thread may raise. `registry` holds those of one engine."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.steps = self._counter("engine_steps", "Forwards of the model.")
        self.faults = self._counter("engine_faults", "Errors in the engine, of one request or of all that ran.")
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts that were read.")
        self.cached_tokens = self._counter("prefix_cache_hits", "Those of them that an earlier request had left.")
        self.generated_tokens = self._counter("generation_tokens", "Tokens of answers.")
        self.draft_tokens = self._counter("spec_decode_num_draft_tokens", "Guessed tokens that were verified.")
        self.accepted_tokens = self._counter("spec_decode_num_accepted_tokens", "Those of them that were drawn.")
        self.finished = Counter(
            f"{PREFIX}request_success",
            "Requests that ended, by reason; error and abort (the reader left) are no success.",
            ("finished_reason",),
            registry=self.registry,
        )
        for reason in ("stop", "length", "error", "abort"):
            self.finished.labels(reason)
        self.seconds_to_first_token = Histogram(
            f"{PREFIX}time_to_first_token_seconds",
            "From a request's arrival at the engine to its first token.",
            buckets=_BUCKETS_S,
            registry=self.registry,
        )

    def add_gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A number that is read whenever it is asked for."""
        Gauge(PREFIX + name, about, registry=self.registry).set_function(read)

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(PREFIX + name, about, registry=self.registry)
