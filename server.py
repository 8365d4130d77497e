"""The HTTP server: OpenAI's routes for one model. `python3 server.py` serves the embedded model on 127.0.0.1:8000."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.exceptions import HTTPException

from apis.rules.answers import VERSION
from apis.rules.reasoning import ANSWER_FIELDS
from checkpoints.model import Model
from core.errors import ModelError
from stores.memory import MemoryStore
from web.admission import Admission
from web.command_line import read_options
from web.edge import Edge
from web.exposition import LoopLag
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
from web.settings import Settings
from web.wrong_urls import wrong_url

log = logging.getLogger("functionary")
DEFAULTS = Settings()
# FastAPI's own spans and logs would have query strings and the text of exceptions, by variables of the environment.
NO_TELEMETRY: TelemetryConfig = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}

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
# The routes that generate are those with streamed answers. Rate limits are for them.
GENERATING = frozenset((route.method, route.path) for route in ROUTES if route.operation.chunk)


def create_app(
    load: Callable[[], Model],
    settings: Settings = DEFAULTS,
    *,
    on_failure: Callable[[ModelError], None] | None = None,
) -> FastAPI:
    """Create the application. `load` runs in a thread at start; until it returns, requests get 503 `starting`.

    on_failure: called with the error if loading fails. Raises ToolSourceError for a tool that no model can be shown,
    and KeyFileError.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_load(app, load, on_failure)), asyncio.create_task(loop_lag.watch())]
        yield
        for task in tasks:
            task.cancel()
        await app.state.replays.close()
        if app.state.model:
            await app.state.model.close()
        app.state.response_store.close()

    app = FastAPI(
        title="Functionary", version=VERSION, lifespan=lifespan, redirect_slashes=False, telemetry=NO_TELEMETRY
    )
    app.state.model = None
    app.state.response_store = settings.response_store or MemoryStore()
    app.state.strict_openai = settings.strict_openai
    app.state.tool_search = settings.tool_search
    app.state.reasoning_fields = () if settings.strict_openai else ANSWER_FIELDS[settings.reasoning_field]
    app.state.registry = CollectorRegistry()
    ProcessCollector(registry=app.state.registry)
    loop_lag = LoopLag(app.state.registry)
    app.state.tools = ServedTools(settings.server_tools, app.state.registry)
    app.state.replays = Replays()
    app.state.admission = Admission(settings, GENERATING, app.state.registry)
    app.add_exception_handler(HTTPException, wrong_url)
    app.add_middleware(Edge, settings=settings, admission=app.state.admission, registry=app.state.registry)
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
