"""An application behind a real socket, and models that several applications may serve."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from checkpoints.model import Model
from web.command_line import bind
from web.lifecycle import UVICORN


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve `app` on a free port of loopback, as server.py does; yields the base URL."""
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, **UVICORN))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not (server.started and app.state.model):
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(35)


def shared(model: Model) -> Model:
    """Keep the engine of `model` open when an application that serves it ends.

    A test that served the session's model closed its engine for all tests that came later in the order of files.
    """

    async def stay_open() -> None:
        pass

    model.engine.close = stay_open  # type: ignore[method-assign]
    return model
