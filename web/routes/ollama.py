"""Ollama's routes that tell which models there are. web/wrong_urls.py answers its other routes."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from apis.ollama import (
    EXAMPLES,
    LATEST,
    OllamaError,
    OllamaShown,
    OllamaTags,
    OllamaVersion,
    ShowRequest,
    show_request,
    shown,
    tags,
)
from web.openapi import Operation, Route
from web.serving import check_name, ignored_header, loaded_model, read_request

Json = dict[str, Any]


async def version(request: Request) -> Json:
    """Say which version of this server runs."""
    return {"version": request.app.version}


async def list_models(request: Request) -> Json:
    """List the model names that requests may use."""
    model = loaded_model(request)
    return tags(model.names, model.facts, model.created)


async def show(request: Request) -> Response:
    """Describe the model; 404 if it is not served under this name."""
    model = loaded_model(request)
    asked = await read_request(show_request, request)
    check_name(model, asked.model if model.serves(asked.model) else asked.model.removesuffix(LATEST))
    answer = shown(
        model.facts,
        model.created,
        template=model.template.name,
        max_context=model.engine.max_context,
        temperature=model.temperature,
        top_p=model.top_p,
        has_reasoning=model.template.reasoning is not None,
    )
    return JSONResponse(answer, headers=ignored_header(asked.ignored))


ROUTES: tuple[Route, ...] = (
    Route("/api/version", version, "GET", Operation(OllamaVersion, error=OllamaError)),
    Route("/api/tags", list_models, "GET", Operation(OllamaTags, error=OllamaError)),
    Route("/api/show", show, "POST", Operation(OllamaShown, ShowRequest, examples=EXAMPLES, error=OllamaError)),
)
