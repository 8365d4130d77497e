"""Sends spans to a collector by OTLP over HTTP. The packages for it are an extra: requirements-telemetry.txt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Tracer

from apis.rules.answers import VERSION
from core.errors import ModelError

TRACES_PATH = "/v1/traces"


@contextmanager
def opened_tracer(endpoint: str | None) -> Iterator[Tracer | None]:
    """Yield a tracer that sends its spans to `endpoint`, or None without one. At the end, the last spans are sent.

    endpoint: the URL of the collector, as in OTEL_EXPORTER_OTLP_ENDPOINT, or its whole URL for traces. The standard
    variables for headers, timeouts, sampling and resources count. Raises ModelError if the packages are missing.
    """
    if endpoint is None:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ModelError(
            "--otlp-endpoint needs packages that are not installed: pip install -r requirements-telemetry.txt"
        ) from None
    about = Resource.create({"service.name": "functionary", "service.version": VERSION})
    provider = TracerProvider(resource=about.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=traces_url(endpoint))))
    try:
        yield provider.get_tracer("functionary", VERSION)
    finally:
        provider.shutdown()


def traces_url(endpoint: str) -> str:
    """Return the URL that spans are sent to."""
    endpoint = endpoint.rstrip("/")
    return endpoint if endpoint.endswith(TRACES_PATH) else endpoint + TRACES_PATH
