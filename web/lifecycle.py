"""Start the server from the command-line options, and stop it."""

from __future__ import annotations

import gc
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Any

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
from web.command_line import bind, introduction
from web.connection import MAX_HEAD, Connection
from web.logs import set_up_logging
from web.settings import KEEP_ALIVE_S, Settings
from web.traces import opened_tracer

log = logging.getLogger("functionary")

# On SIGTERM, running requests get 30 s to end.
UVICORN: dict[str, Any] = {
    "http": Connection,
    "ws": "none",
    "h11_max_incomplete_event_size": MAX_HEAD,
    "timeout_keep_alive": KEEP_ALIVE_S,
    "timeout_graceful_shutdown": 30,
    "server_header": False,
    "access_log": False,
    "log_level": "warning",
    "log_config": None,
}

FAILED_EXIT_S = 5  # time for errors to reach the clients, after the engine has failed


class Server(uvicorn.Server):
    """A server that stops on a signal: running requests may end, and the exit status is 0. A second signal kills it.

    The server also stops when the engine is down, unless `stay_up` is set. `has_failed` is true after such a stop.
    """

    def __init__(self, config: uvicorn.Config, *, stay_up: bool = False) -> None:
        super().__init__(config)
        self.has_failed = False
        self._stay_up = stay_up

    async def on_tick(self, counter: int) -> bool:
        """Check whether the server must stop. uvicorn calls this ten times a second and stops the server on True."""
        model: Model | None = self.config.app.state.model  # type: ignore[union-attr]
        if model and model.engine.is_down and not self.has_failed:
            self.has_failed = True
            log.error("the engine cannot go on: %s%s", model.engine.health(), "" if self._stay_up else "; exiting")
            if not self._stay_up:
                self.config.timeout_graceful_shutdown = FAILED_EXIT_S
                self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal.

        While the model is loading, exit at once: no request is running, and the loading thread cannot be stopped.
        """
        if self.should_exit:
            os._exit(128 + sig)
        if self.config.app.state.model is None:  # type: ignore[union-attr]
            os._exit(0)
        self.should_exit = True


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
        if options.log_format == "text":
            sys.exit(f"functionary: {error}")
        log.critical("%s", error)
        sys.exit(1)
    if has_failed:
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
    server = Server(config, stay_up=options.stay_up)
    server.run(sockets=[listener])
    if failures:
        raise failures[0]
    return server.has_failed


def _settings(options: Namespace, store: ResponseStore, tools: Sequence[Tool], tracer: Tracer | None) -> Settings:
    return Settings(
        api_keys=options.api_key,
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
