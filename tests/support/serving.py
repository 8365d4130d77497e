"""Serve an application on a real socket, and share one model among several applications."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import uvicorn
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from checkpoints.model import Model
from web.command_line import bind
from web.lifecycle import UVICORN


class Application(Protocol):
    """An ASGI application with the state of FastAPI's."""

    @property
    def state(self) -> State: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


@contextmanager
def serving(app: Application, **options: int) -> Iterator[str]:
    """Serve `app` on a free port of the loopback address, as server.py does, with these options of uvicorn.

    Yield the base URL.
    """
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, **{**UVICORN, **options}))
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
    """Return `model` after changing it: the engine stays open when an application that serves the model ends.

    Without this change, the first application that ends would close the engine of a model that all tests share.
    """

    async def stay_open() -> None:
        pass

    model.engine.close = stay_open  # type: ignore[method-assign]
    return model
