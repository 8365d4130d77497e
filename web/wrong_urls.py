"""What an unknown path or a wrong method gets: an error that names the right URL or method."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Scope

from web.dialects import MESSAGES_PATH
from web.errors import error_body, rendered
from web.sites import hostname

VERSION = "/v1"


async def wrong_url(request: Request, error: Exception) -> JSONResponse:
    """Render starlette's own errors: an unknown path or a wrong method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    method, path = request.method[:20], request.scope["path"][:100]
    message = f"Invalid URL ({method} {path})."
    if status == 404:
        message += " " + _hint(request.app, re.sub("/+", "/", path).rstrip("/"), base_url(request.scope))
    if allowed := headers.get("Allow"):
        headers["Allow"] = ", ".join(_with_head(allowed.split(", ")))
        message += f" This path takes {headers['Allow']}."
    return rendered(status, error_body(message, "invalid_request_error"), headers, request.scope)


def base_url(scope: Scope) -> str:
    """Return the URL that clients take as their base URL, by the name under which this request came."""
    host = Headers(scope=scope).get("host", "")
    return f"{scope['scheme']}://{host}{VERSION}" if hostname(host) and len(host) < 100 else VERSION


def _hint(app: FastAPI, path: str, base: str) -> str:
    """Return the right path if `path` ends like a route, as it does if a client has a wrong base URL; else all."""
    served = list(_operations(app))
    for _, route in sorted(served, key=lambda one: -len(one[1])):
        ending = re.escape(route.removeprefix(VERSION)).replace(r"\{name:path\}", ".+")
        if found := re.search(f"{ending}$", path):
            right = base.removesuffix(VERSION) if route.startswith(MESSAGES_PATH) else base
            return f"The path is {VERSION}{found[0]} here: set your client's base URL to {right or '/'}."
    names = ", ".join(f"{method} {route.replace(':path', '')}" for method, route in served)
    return f"This server has {names}; the base URL for clients is {base}, and /docs describes all routes."


def _operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield the method and path of each route that clients find below the base URL."""
    for route in app.routes:
        if isinstance(route, Route) and route.path.startswith(f"{VERSION}/"):
            yield sorted(route.methods or ())[0], route.path


def _with_head(methods: list[str]) -> list[str]:
    """Add HEAD to the methods of a route: it is served as GET (web/edge.py)."""
    return sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
