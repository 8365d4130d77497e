"""The options for logs and traces."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit


def add_telemetry_options(telemetry: argparse._ArgumentGroup) -> None:
    telemetry.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="json: one object a line (default: %(default)s)"
    )
    telemetry.add_argument(
        "--otlp-endpoint",
        type=_url,
        metavar="URL",
        help="send a trace of each request to this OpenTelemetry collector, as http://localhost:4318 (default: none)",
    )
    telemetry.add_argument(
        "--trace-contents", action="store_true", help="traces hold the messages and answers too, which may be private"
    )


def telemetry_fault(options: argparse.Namespace) -> str:
    """Return why the options cannot be used, or ""."""
    if options.trace_contents and not options.otlp_endpoint:
        return "--trace-contents has no use without --otlp-endpoint URL"
    return ""


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number below 65,536, or a bracket is missing
        is_server = False
    if not is_server or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL of a collector; use one such as http://localhost:4318")
    return text
