"""From options to a running server, and its end."""

from __future__ import annotations

import gc
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from checkpoints.model import Model, check_model, load_model, warm_up
from core.errors import ModelError
from web.command_line import bind, introduction

log = logging.getLogger("functionary")

# h11 bounds the head of a request; requests that are running when the server is told to stop get 30 s to end.
UVICORN: dict[str, Any] = {
    "http": "h11",
    "ws": "none",
    "h11_max_incomplete_event_size": 64 * 1024,
    "timeout_keep_alive": 5,
    "timeout_graceful_shutdown": 30,
    "server_header": False,
    "access_log": False,
    "log_level": "warning",
    "log_config": None,
}

FAILED_EXIT_S = 5  # for errors on their way to clients; the process is to be started anew soon


class Server(uvicorn.Server):
    """Told to stop, it lets the running requests end and exits with status 0. Told twice, it ends at once.

    It also stops when the engine is down, unless `stay_up`; `has_failed` then.
    """

    def __init__(self, config: uvicorn.Config, *, stay_up: bool = False) -> None:
        super().__init__(config)
        self.has_failed = False
        self._stay_up = stay_up

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        model: Model | None = self.config.app.state.model  # type: ignore[union-attr]
        if model and model.engine.is_down and not self.has_failed:
            self.has_failed = True
            log.error("the engine cannot go on: %s%s", model.engine.health(), "" if self._stay_up else "; exiting")
            if not self._stay_up:
                self.config.timeout_graceful_shutdown = FAILED_EXIT_S
                self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Also at once while the model loads: there is nothing to lose, and the thread that loads cannot be stopped."""
        if self.should_exit:
            os._exit(128 + sig)
        if self.config.app.state.model is None:  # type: ignore[union-attr]
            os._exit(0)
        self.should_exit = True


def serve(options: Namespace, create_app: Callable[..., FastAPI]) -> None:
    """Check what can be checked at once, then serve while the model loads, until the process is told to stop."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    failures: list[ModelError] = []
    try:
        check_model(options.model, device=options.device, dtype=options.dtype, revision=options.revision)
        listener = bind(options.host, options.port)
    except ModelError as error:
        sys.exit(f"functionary: {error}")

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
        )
        warm_up(model)
        gc.collect()
        gc.freeze()  # what stays for ever is not looked through again: each pass over it took as long as a request
        print(introduction(model, options.host, listener.getsockname()[1]), file=sys.stderr, flush=True)
        return model

    def on_failure(error: ModelError) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(
        load,
        api_keys=options.api_key,
        own_hosts=[options.host],
        lenient=options.lenient,
        strict_params=options.strict_params,
        on_failure=on_failure,
    )
    server = Server(uvicorn.Config(app, **UVICORN), stay_up=options.stay_up)
    server.run(sockets=[listener])
    if failures:
        sys.exit(f"functionary: {failures[0]}")
    if server.has_failed:
        sys.exit(1)
