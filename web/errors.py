"""Render every error for all routes, methods and statuses: as OpenAI's error object, Anthropic's or Ollama's."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Scope

from core.errors import (
    EngineBusy,
    EngineDown,
    EngineError,
    QueueTimeout,
    RequestError,
    StoreError,
    TooComplex,
    UnknownModel,
)
from web.dialects import anthropic_error, is_ollama, ollama_error, speaks_anthropic

Json = dict[str, Any]

CLOSE = {"Connection": "close"}  # for errors after which the next request on the connection cannot be found


class HttpError(Exception):
    """An error of the HTTP layer, such as a wrong API key, a body that is too large, or a server that is not ready."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.headers = headers or {}


SHUTTING_DOWN = EngineDown("it is shutting down", "shutting_down")


class ClientStalled(Exception):
    """The client has not read any of its answer for WRITE_DEADLINE_S seconds."""


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> Json:
    """Build OpenAI's error object, always with all four keys."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def describe(error: Exception) -> tuple[int, Json, dict[str, str]]:
    """Return the status, body and headers for an error. Hides an unforeseen exception's text, which may hold paths."""
    match error:
        case UnknownModel():
            return 404, error_body(error.message, "invalid_request_error", error.param, error.code), {}
        case RequestError():
            return 400, error_body(error.message, "invalid_request_error", error.param, error.code), {}
        case HttpError():
            return error.status, error_body(error.message, error.kind, None, error.code), error.headers
        case QueueTimeout():
            message = f"The server is too busy for this request: {error}. Try again in a moment."
            body = error_body(message, "service_unavailable_error", None, "server_is_overloaded")
            return 503, body, {"Retry-After": "5"}
        case EngineBusy():
            message = "The queue of this server is full; try again in a moment."
            return 429, error_body(message, "rate_limit_error", None, "slow_down"), {"Retry-After": "2"}
        case EngineDown():
            message = f"The server serves no requests now: {error}."
            body = error_body(message, "service_unavailable_error", None, error.code)
            return 503, body, {"Retry-After": "5"}
        case StoreError():
            message = f"The store of responses cannot be used now: {error}."
            body = error_body(message, "service_unavailable_error", None, "store_unavailable")
            return 503, body, {"Retry-After": "5"}
        case TooComplex():  # the same request would fail again, so that it is not an error of the server
            return 400, error_body(f"Invalid request: {error}.", "invalid_request_error", None, "invalid_value"), {}
        case EngineError():
            message = f"The server could not finish this request: {error}."
            return 500, error_body(message, "server_error", None, "internal_error"), {}
        case _:
            message = "The server failed on this request; its log tells more under the request id of this answer."
            return 500, error_body(message, "server_error", None, "internal_error"), {}


def is_unforeseen(error: Exception) -> bool:
    """Whether the error is not one of this project's classes, so that its traceback must be logged."""
    return not isinstance(error, RequestError | HttpError | EngineBusy | EngineError | StoreError)


def render(error: Exception, scope: Scope) -> JSONResponse:
    """Build the answer to a request that failed with `error`.

    A client shall not repeat a request for which tools have run: their side effects would happen twice.
    """
    status, body, headers = describe(error)
    if scope["state"].get("has_run_tools"):
        headers = {**headers, "x-should-retry": "false"}
    return rendered(status, body, headers, scope)


def rendered(status: int, body: Json, headers: dict[str, str], scope: Scope) -> JSONResponse:
    """Build the answer of an error, OpenAI's `body`, in the dialect of the request."""
    if speaks_anthropic(scope):
        body = anthropic_error(status, body, scope["state"]["request_id"])
    elif is_ollama(scope["path"]):
        body = ollama_error(body)
    return JSONResponse(body, status, headers)


def new_request_id() -> str:
    return "req_" + secrets.token_hex(12)
