"""What the operator decides about the HTTP server, beside the model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.trace import Tracer

from agent.tools import Tool
from apis.rules.reasoning import ReasoningField
from stores.store import ResponseStore

KEEP_ALIVE_S = 75  # connection pools and proxies keep a connection for 60 to 90 s
DRAIN_TIMEOUT_S = 30  # Kubernetes kills a process 30 s after SIGTERM


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of `server.create_app`.

    api_keys: the accepted keys. Without any, the server needs no key, but the Host header must name loopback or one of
    `own_hosts`.
    api_key_file: a file of further keys, which have names (web/keys.py).
    rate_limit_requests, rate_limit_tokens: how many each key may use in a minute; without keys, all clients together.
    allow_origins: the web sites whose pages may use the server, beside its own; `*` stands for all.
    keep_alive_s: how long a connection without requests stays open; the answers announce it.
    reasoning_field: the field of answers that holds the reasoning; with strict_openai no field does.
    response_store: keeps the answers of the Responses API, in memory if none is given; closed with the application.
    server_tools: run for requests that ask for them.
    tool_search: of a request with more tools, the model is shown as many as this, those nearest to what was said.
    tracer: makes a span of each request to the model. trace_contents: spans have the messages too.
    """

    api_keys: Collection[str] = ()
    api_key_file: Path | None = None
    rate_limit_requests: int | None = None
    rate_limit_tokens: int | None = None
    own_hosts: Collection[str] = ()
    allow_origins: Collection[str] = ()
    keep_alive_s: int = KEEP_ALIVE_S
    strict_openai: bool = False
    reasoning_field: ReasoningField = "reasoning_content"
    response_store: ResponseStore | None = None
    server_tools: Collection[Tool] = ()
    tool_search: int | None = None
    tracer: Tracer | None = None
    trace_contents: bool = False
