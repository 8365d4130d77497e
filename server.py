"""The HTTP server: OpenAI's routes for one model. `python3 server.py` serves the embedded model on 127.0.0.1:8000."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.exceptions import HTTPException

from agent.tools import Tool
from apis.rules.answers import VERSION
from apis.rules.reasoning import ANSWER_FIELDS, ReasoningField
from checkpoints.model import Model
from core.errors import ModelError
from stores.memory import MemoryStore
from stores.store import ResponseStore
from web.command_line import read_options
from web.edge import KEEP_ALIVE_S, Edge
from web.idempotency import Replays
from web.lifecycle import serve
from web.openapi import Route, document
from web.routes import (
    completions,
    facts,
    messages,
    ollama,
    playground,
    responses,
    stored_responses,
    tokens,
    tools,
)
from web.server_tools import ServedTools
from web.wrong_urls import wrong_url

log = logging.getLogger("functionary")

ROUTES: tuple[Route, ...] = (
    *completions.ROUTES,
    *responses.ROUTES,
    *stored_responses.ROUTES,
    *messages.ROUTES,
    *facts.ROUTES,
    *playground.ROUTES,
    *tokens.ROUTES,
    *tools.ROUTES,
    *ollama.ROUTES,
)


def create_app(
    load: Callable[[], Model],
    *,
    api_keys: Collection[str] = (),
    own_hosts: Collection[str] = (),
    allow_origins: Collection[str] = (),
    keep_alive_s: int = KEEP_ALIVE_S,
    strict_openai: bool = False,
    reasoning_field: ReasoningField = "reasoning_content",
    response_store: ResponseStore | None = None,
    server_tools: Collection[Tool] = (),
    tool_search: int | None = None,
    on_failure: Callable[[ModelError], None] | None = None,
) -> FastAPI:
    """Create the application. `load` runs in a thread at start; until it returns, requests get 503 `starting`.

    api_keys: the accepted keys. Without any, the server needs no key, but the Host header must name loopback or one of
    `own_hosts`.
    allow_origins: the web sites whose pages may use the server, beside its own; `*` stands for all.
    keep_alive_s: how long a connection without requests stays open; the answers announce it.
    reasoning_field: the field of answers that holds the reasoning; with strict_openai no field does.
    response_store: keeps the answers of the Responses API, in memory if none is given; closed with the application.
    server_tools: run for requests that ask for them. Raises ToolSourceError for one that no model can be shown.
    tool_search: of a request with more tools, the model is shown as many as this, those nearest to what was said.
    on_failure: called with the error if loading fails.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(app, load, on_failure))
        yield
        loading.cancel()
        await app.state.replays.close()
        if app.state.model:
            await app.state.model.close()
        app.state.response_store.close()

    app = FastAPI(title="Functionary", version=VERSION, lifespan=lifespan, redirect_slashes=False)
    app.state.model = None
    app.state.response_store = response_store or MemoryStore()
    app.state.strict_openai = strict_openai
    app.state.tool_search = tool_search
    app.state.reasoning_fields = () if strict_openai else ANSWER_FIELDS[reasoning_field]
    app.state.registry = CollectorRegistry()
    ProcessCollector(registry=app.state.registry)
    app.state.tools = ServedTools(server_tools, app.state.registry)
    app.state.replays = Replays()
    app.add_exception_handler(HTTPException, wrong_url)
    app.add_middleware(
        Edge,
        api_keys=api_keys,
        own_hosts=own_hosts,
        allow_origins=allow_origins,
        keep_alive_s=keep_alive_s,
        registry=app.state.registry,
    )
    for path, endpoint, method, operation in ROUTES:
        app.add_api_route(path, endpoint, methods=[method], response_model=None, **operation.described())
    app.openapi = cache(lambda: document(app, [route.operation for route in ROUTES]))  # type: ignore[method-assign]
    return app


async def _load(app: FastAPI, load: Callable[[], Model], on_failure: Callable[[ModelError], None] | None) -> None:
    try:
        app.state.model = await asyncio.to_thread(load)
    except Exception as error:
        if on_failure is None:
            raise
        if not isinstance(error, ModelError):
            log.exception("loading failed")
        on_failure(error if isinstance(error, ModelError) else ModelError("the model cannot be loaded; see above"))


def main() -> None:
    """Run the command line."""
    serve(read_options(), create_app)


if __name__ == "__main__":
    main()
