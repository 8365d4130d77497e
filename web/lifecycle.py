"""Start the server from the command-line options, and stop it."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI
from opentelemetry.trace import Tracer

from agent.sources import opened_from
from agent.tools import Tool, ToolSourceError
from checkpoints.engine_options import engine_arguments
from checkpoints.model import Model, check_model, load_model, warm_up
from core.errors import ModelError, StoreError
from stores.memory import MemoryStore
from stores.sqlite import SqliteStore
from stores.store import ResponseStore
from web.admission import Admission
from web.command_line import QUEUE_TIMEOUT_S, bind, introduction
from web.connection import MAX_HEAD, Connection
from web.keys import KeyFileError
from web.logs import set_up_logging
from web.settings import DRAIN_TIMEOUT_S, KEEP_ALIVE_S, Settings
from web.traces import opened_tracer

log = logging.getLogger("functionary")

UVICORN: dict[str, Any] = {
    "http": Connection,
    "ws": "none",
    "h11_max_incomplete_event_size": MAX_HEAD,
    "timeout_keep_alive": KEEP_ALIVE_S,
    "timeout_graceful_shutdown": DRAIN_TIMEOUT_S,
    "server_header": False,
    "access_log": False,
    "log_level": "warning",
    "log_config": None,
}

FAILED_EXIT_S = 5  # time for errors to reach the clients, after the engine has failed


class Server(uvicorn.Server):
    """A server that stops on a signal: running requests may end, and the exit status is 0. A second signal kills it.

    While they end, at most for `drain_timeout_s`, the server accepts connections and answers 503 to new requests, so
    that a load balancer sees no connection errors. Then it cuts the rest. SIGHUP reads the API keys again.

    The server also stops when the engine is down, unless `stay_up` is set. `has_failed` is true after such a stop.
    """

    def __init__(
        self, config: uvicorn.Config, *, drain_timeout_s: float = DRAIN_TIMEOUT_S, stay_up: bool = False
    ) -> None:
        super().__init__(config)
        self.has_failed = False
        self._drain_timeout_s = drain_timeout_s
        self._drained_at: float | None = None  # by time.monotonic(); None until a signal
        self._stay_up = stay_up
        self._has_terminal = sys.stderr.isatty()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start to listen, for connections and for SIGHUP."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)

    @property
    def _admission(self) -> Admission:
        return self.config.app.state.admission  # type: ignore[no-any-return, union-attr]

    async def on_tick(self, counter: int) -> bool:
        """Check whether the server must stop. uvicorn calls this ten times a second and stops the server on True."""
        model: Model | None = self.config.app.state.model  # type: ignore[union-attr]
        if model and model.engine.is_down and not self.has_failed:
            self.has_failed = True
            log.error("the engine cannot go on: %s%s", model.engine.health(), "" if self._stay_up else "; exiting")
            if not self._stay_up:
                self.config.timeout_graceful_shutdown = FAILED_EXIT_S
                self.should_exit = True
        if self._drained_at is not None:
            self._drain(self._drained_at - time.monotonic())
        return await super().on_tick(counter)

    def _drain(self, left_s: float) -> None:
        """Let running requests end and refuse others. Stop the server once none runs or no time is left."""
        admission = self._admission
        if not admission.is_draining:
            admission.is_draining = True
            log.info("shutting down: %d running requests have %.0f s to end", admission.num_running, left_s)
            for connection in list(self.server_state.connections):
                connection.drain()  # type: ignore[union-attr]
        if not admission.num_running or left_s <= 0:
            self.config.timeout_graceful_shutdown = max(0, math.ceil(left_s))  # for answers that are not yet read
            self.should_exit = True

    def _hang_up(self) -> None:
        """Read the API keys again. Stop instead if the signal means that the server's terminal was closed."""
        if self._has_terminal and not sys.stderr.isatty():
            self.handle_exit(signal.SIGHUP, None)
        else:
            self._admission.keys.reload()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal.

        While the model is loading, exit at once: no request is running, and the loading thread cannot be stopped.
        """
        if self.should_exit or self._drained_at is not None:
            os._exit(128 + sig)
        if self.config.app.state.model is None:  # type: ignore[union-attr]
            os._exit(0)
        self._drained_at = time.monotonic() + self._drain_timeout_s


def response_store(file: Path | None, max_mb: int | None) -> ResponseStore:
    """Open the store of responses: the SQLite file, or memory if there is none. Raises ModelError if it is unfit."""
    bound = {"max_bytes": max_mb << 20} if max_mb else {}  # each store has a default of its own
    if file is None:
        return MemoryStore(**bound)
    try:
        return SqliteStore(file, **bound)
    except StoreError as error:
        raise ModelError(f"--response-store {file}: {error}; choose another file") from None


def serve(options: Namespace, create_app: Callable[..., FastAPI]) -> None:
    """Check what the options name, then load the model and serve until a signal stops the process."""
    set_up_logging(options.log_format)
    try:
        check_model(
            options.model,
            device=options.device,
            dtype=options.dtype,
            revision=options.revision,
            has_weights=not options.engine_url,
        )
        with opened_from(options) as tools, opened_tracer(options.otlp_endpoint) as tracer:
            store = response_store(options.response_store, options.response_store_mb)
            listener = bind(options.host, options.port)
            has_failed = _run(options, create_app, store, listener, tools, tracer)
    except (ModelError, ToolSourceError) as error:
        _exit([str(error)], options.log_format)
    except KeyFileError as error:
        _exit(error.faults, options.log_format)
    if has_failed:
        sys.exit(1)


def _exit(faults: Sequence[str], log_format: str) -> NoReturn:
    """End the process with one line for each fault, in the format of the log."""
    if log_format == "text":
        sys.exit("\n".join(f"functionary: {fault}" for fault in faults))
    for fault in faults:
        log.critical("%s", fault)
    sys.exit(1)


def _run(
    options: Namespace,
    create_app: Callable[..., FastAPI],
    store: ResponseStore,
    listener: socket,
    tools: Sequence[Tool],
    tracer: Tracer | None,
) -> bool:
    """Load the model and serve. Returns whether the engine has failed. Raises ModelError if loading fails."""
    failures: list[ModelError] = []

    def load() -> Model:
        model = load_model(
            options.model,
            template=options.template,
            served_names=options.served_model_name,
            device=options.device,
            dtype=options.dtype,
            revision=options.revision,
            max_context=options.max_context,
            max_running=options.max_running,
            max_waiting=options.max_waiting,
            queue_timeout_s=options.queue_timeout or QUEUE_TIMEOUT_S,
            cache_bytes=options.cache_mb and options.cache_mb << 20,
            quantize=options.quantize,
            step_timeout_s=options.step_timeout,
            arguments=options.arguments,
            **engine_arguments(options),
        )
        if not options.engine_url:  # the servers are not ours to use, and have been asked
            warm_up(model)
        gc.collect()
        gc.freeze()  # the collector then skips the loaded objects: a pass over them took as long as a request
        lines = introduction(model, options, listener.getsockname()[1], tools)
        if options.log_format == "json":
            log.info("%s", lines)
        else:
            print(lines, file=sys.stderr, flush=True)
        return model

    def on_failure(error: ModelError) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(
        load,
        _settings(options, store, tools, tracer),
        on_failure=on_failure,
    )
    config = uvicorn.Config(app, **{**UVICORN, "timeout_keep_alive": options.keep_alive})
    server = Server(config, drain_timeout_s=options.drain_timeout, stay_up=options.stay_up)
    server.run(sockets=[listener])
    if failures:
        raise failures[0]
    return server.has_failed


def _settings(options: Namespace, store: ResponseStore, tools: Sequence[Tool], tracer: Tracer | None) -> Settings:
    return Settings(
        api_keys=options.api_key,
        api_key_file=options.api_key_file,
        rate_limit_requests=options.rate_limit_requests,
        rate_limit_tokens=options.rate_limit_tokens,
        own_hosts=[options.host, *options.allow_host],
        allow_origins=options.allow_origin,
        keep_alive_s=options.keep_alive,
        strict_openai=options.strict_openai,
        reasoning_field=options.reasoning_field,
        response_store=store,
        server_tools=tools,
        tool_search=options.tool_search,
        tracer=tracer,
        trace_contents=options.trace_contents,
    )
