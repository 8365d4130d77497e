"""The metrics of the process, of the HTTP answers and of the engine, as Prometheus's text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from checkpoints.model import Model

LAG_INTERVAL_S = 0.5
_LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def exposition(process: CollectorRegistry, model: Model | None) -> bytes:
    """Return the metrics of `process`, and with a loaded model those of its engine under vLLM's labels."""
    text = generate_latest(process)
    if model is None:
        return text
    return text + generate_latest(_Labelled(model.engine.registry, {"model_name": model.names[0], "engine": "0"}))


class _Labelled(Collector):
    """The metrics of a registry with further labels on each sample. An engine does not know the names of its model."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self._registry = registry
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            labelled = Metric(family.name, family.documentation, family.type, family.unit)
            labelled.samples = [one._replace(labels={**self._labels, **one.labels}) for one in family.samples]
            yield labelled


class LoopLag:
    """How late the event loop runs what is due: work that blocks the loop delays all streams."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag_s = Histogram(
            "functionary:event_loop_lag_seconds",
            "How late the event loop wakes a timer, measured twice a second.",
            buckets=_LAG_BUCKETS_S,
            registry=registry,
        )

    async def watch(self) -> None:
        """Measure until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            due_at = now() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self._lag_s.observe(max(0.0, now() - due_at))
