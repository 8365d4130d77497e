"""The engine's Prometheus metrics. Their names are vLLM's, with this project's prefix."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "functionary:"
_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)


class EngineMetrics:
    """The metrics of one engine, all in `registry`. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.steps = self._counter("engine_steps", "Forwards of the model.")
        self.faults = self._counter(
            "engine_faults", "Exceptions in the engine, in the work of one request or of a whole step."
        )
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens, computed or cached.")
        self.cached_tokens = self._counter("prefix_cache_hits", "Prompt tokens served from the prefix cache.")
        self.generated_tokens = self._counter("generation_tokens", "Sampled tokens.")
        self.draft_tokens = self._counter("spec_decode_num_draft_tokens", "Draft tokens that a forward verified.")
        self.accepted_tokens = self._counter("spec_decode_num_accepted_tokens", "Draft tokens that were accepted.")
        self.finished = Counter(
            f"{PREFIX}request_success",
            "Ended requests by reason. error: the engine failed; abort: the client left.",
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

    def add_gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read at every scrape."""
        Gauge(PREFIX + name, help_text, registry=self.registry).set_function(read)

    def _counter(self, name: str, help_text: str) -> Counter:
        return Counter(PREFIX + name, help_text, registry=self.registry)
