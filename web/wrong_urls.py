"""What an unknown path or a wrong method gets: an error that names the right URL or method."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Match, Route
from starlette.types import Scope

from web.dialects import MESSAGES_PATH, is_ollama, speaks_anthropic
from web.errors import error_body, rendered
from web.sites import hostname

VERSION = "/v1"
_PARAMETER = re.compile(r"\\\{\w+(:path)?\\\}")  # {name} or {name:path} in a path, after re.escape
_NO_EMBEDDINGS = "This server has no embeddings: use another server for them."
_NO_MODELS = "This server serves one model, chosen at its start: pass --model to load another."
_OLLAMA = "Of Ollama's API this server has only GET /api/version, GET /api/tags and POST /api/show."
# Why the other routes of Ollama are missing; for the rest, chat and generate, OpenAI's API is the way.
_OLLAMA_REASONS = {
    "embed": _NO_EMBEDDINGS,
    "embeddings": _NO_EMBEDDINGS,
    **dict.fromkeys(("pull", "push", "create", "copy", "delete", "blobs"), _NO_MODELS),
}


async def wrong_url(request: Request, error: Exception) -> JSONResponse:
    """Render starlette's own errors: an unknown path or a wrong method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    method, path = request.method[:20], request.scope["path"][:100]
    message = f"Invalid URL ({method} {path})."
    if status == 404:
        message += " " + _hint(request.app, re.sub("/+", "/", path).rstrip("/"), base_url(request.scope))
    if status == 405:
        headers["Allow"] = ", ".join(_methods(request.app, request.scope))
        message += f" This path takes {headers['Allow']}."
    return rendered(status, error_body(message, "invalid_request_error"), headers, request.scope)


def base_url(scope: Scope) -> str:
    """Return the base URL for clients of the request's API, by the host name under which the request came."""
    host = Headers(scope=scope).get("host", "")
    version = "" if speaks_anthropic(scope) else VERSION  # Anthropic's clients add /v1 themselves
    return f"{scope['scheme']}://{host}{version}" if hostname(host) and len(host) < 100 else version or "/"


def _hint(app: FastAPI, path: str, base: str) -> str:
    """Return why the server does not have `path`, or what to do instead.

    A path that ends like a route, as with a wrong base URL, gets the right one; an unknown one gets the list of all.
    """
    if is_ollama(path):
        way = f"For chats use a client of OpenAI's API with the base URL {base}: POST {VERSION}/chat/completions."
        return f"{_OLLAMA} {_OLLAMA_REASONS.get(path.split('/')[2], way)}"
    if path.endswith("/embeddings"):
        return _NO_EMBEDDINGS
    served = list(_operations(app))
    for _, route in sorted(served, key=lambda one: -len(one[1])):
        version = VERSION if route.startswith(f"{VERSION}/") else ""
        ending = _PARAMETER.sub(lambda one: ".+" if one[1] else "[^/]+", re.escape(route.removeprefix(version)))
        if not (found := re.search(f"{ending}$", path)):
            continue
        if not version:
            return f"The path is {found[0]} here."
        right = base.removesuffix(VERSION) if route.startswith(MESSAGES_PATH) else base
        return f"The path is {version}{found[0]} here: set your client's base URL to {right or '/'}."
    listed = ((method, route) for method, route in served if route.startswith(f"{VERSION}/") and "{" not in route)
    names = ", ".join(f"{method} {route}" for method, route in listed)  # all would be too long
    return f"This server has {names}; the base URL for clients is {base}, and /docs describes all routes."


def _operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield a method and the path of each route."""
    for route in app.routes:
        if isinstance(route, Route):
            yield sorted(route.methods or ())[0], route.path


def _methods(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods of all routes of a path. HEAD is served as GET (web/edge.py)."""
    routes = [route for route in app.routes if isinstance(route, Route) and route.matches(scope)[0] != Match.NONE]
    methods = {method for route in routes for method in route.methods or ()}
    return sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
