"""Routes about the server itself: what it is, whether it is ready, its models and its metrics."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from apis.models import (
    AnthropicModel,
    AnthropicModelList,
    ModelCard,
    ModelList,
    anthropic_card,
    anthropic_page,
    card,
    card_list,
)
from apis.rules.answers import About, Health
from checkpoints.model import Model
from core.errors import EngineDown
from web.dialects import speaks_anthropic
from web.exposition import exposition
from web.openapi import Operation, Route
from web.playground import PAGE, served_file
from web.serving import check_name, loaded_model
from web.wrong_urls import base_url

Json = dict[str, Any]


async def about(request: Request) -> Response:
    """Say what this server is and where its API and documentation are; to a browser, serve the playground."""
    if "text/html" in request.headers.get("accept", ""):
        answer = served_file(PAGE)
    else:
        base = base_url(request.scope)
        answer = JSONResponse(
            {"name": "functionary", "version": request.app.version, "base_url": base, "docs": "/docs"}
        )
    answer.headers["Vary"] = "Accept"
    return answer


async def live() -> Json:
    """Answer 200 while the process runs."""
    return {"status": "ok"}


async def ready(request: Request) -> Json:
    """Answer 200 if the model is loaded and its engine works, else 503."""
    if trouble := loaded_model(request).engine.health():
        raise EngineDown(trouble)
    return {"status": "ok"}


async def metrics(request: Request) -> Response:
    """Return the metrics of the process, the HTTP answers and the loaded model's engine in Prometheus's text format."""
    text = exposition(request.app.state.registry, request.app.state.model)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def models(request: Request) -> Json:
    """List the model names that requests may use."""
    model = loaded_model(request)
    if speaks_anthropic(request.scope):
        return anthropic_page(model.names, model.created, model.engine.max_context, request.query_params)
    return card_list(model.names, model.created, _shown_context(request, model))


async def model_card(request: Request, name: str) -> Json:
    """Describe one model name; 404 if it is not served. Without a name, list all as /v1/models does."""
    if not name:
        return await models(request)
    model = loaded_model(request)
    check_name(model, name)
    if speaks_anthropic(request.scope):
        return anthropic_card(name, model.created, model.engine.max_context)
    return card(name, model.created, _shown_context(request, model))


def _shown_context(request: Request, model: Model) -> int | None:
    """Return the context length, or None with --strict-openai, since OpenAI's answers lack it."""
    return None if request.app.state.strict_openai else model.engine.max_context


_HEALTH = Operation(Health)
ROUTES: tuple[Route, ...] = (
    Route("/v1/models", models, "GET", Operation(ModelList, anthropic=AnthropicModelList)),
    Route("/v1/models/{name:path}", model_card, "GET", Operation(ModelCard, anthropic=AnthropicModel)),
    Route("/", about, "GET", Operation(About)),
    Route("/live", live, "GET", _HEALTH),
    Route("/ready", ready, "GET", _HEALTH),
    Route("/health", ready, "GET", _HEALTH),
    Route("/metrics", metrics, "GET", Operation()),
)
