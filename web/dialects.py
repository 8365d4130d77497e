"""How each API writes its errors and its events: OpenAI's chat completions, Responses, Anthropic's, and Ollama's."""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

Json = dict[str, Any]

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # an encoder made once is faster

MESSAGES_PATH = "/v1/messages"
_SHARED = frozenset(("messages", "models"))  # parts of paths that Anthropic's clients use, and others too
# Ollama's routes. Below /api/ a client of OpenAI's API with a wrong base URL has others.
_OLLAMA_ROUTES = "version tags show ps chat generate embed embeddings pull push create copy delete"
_OLLAMA_PATHS = frozenset(f"/api/{name}" for name in _OLLAMA_ROUTES.split())
# Anthropic's error types by status; any other 4xx is an invalid request, any other 5xx an error of the API.
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def speaks_anthropic(scope: Scope) -> bool:
    """Whether a request expects Anthropic's answers: by its path, or by its header.

    The header counts if the path belongs to both APIs, or is a path of Anthropic's after a wrong base URL.
    """
    path = str(scope["path"])
    if path == MESSAGES_PATH or path.startswith(f"{MESSAGES_PATH}/"):
        return True
    return not _SHARED.isdisjoint(path.split("/")) and "anthropic-version" in Headers(scope=scope)


def is_ollama(path: str) -> bool:
    """Whether a path is one of Ollama's, whose clients read a text in the field `error`."""
    return path.rstrip("/") in _OLLAMA_PATHS or path.startswith("/api/blobs/")


def ollama_error(body: Json) -> Json:
    """Return OpenAI's error object as Ollama's, which is its message."""
    return {"error": body["error"]["message"]}


def anthropic_error(status: int, body: Json, request_id: str) -> Json:
    """Return OpenAI's error object as Anthropic's, which has its fields `param` and `code` besides."""
    usual = "api_error" if status >= 500 else "invalid_request_error"
    error = {**body["error"], "type": _ANTHROPIC_TYPES.get(status, usual)}
    return {"type": "error", "error": error, "request_id": request_id}


class Framing:
    """Writes one answer as server-sent events, as OpenAI's chat completions do: data only, ended by [DONE]."""

    def event(self, item: Json) -> str:
        return f"data: {_compact(item)}\n\n"

    def ping(self) -> str:
        """Return what keeps a connection open and is skipped by clients."""
        return ": ping\n\n"

    def error(self, status: int, body: Json) -> str:
        """Return the event of an error, after which the stream ends.

        `status` and `body` are those of an answer of OpenAI's.
        """
        return self.event(body)

    def end(self) -> str:
        """Return the end of a stream without an error."""
        return "data: [DONE]\n\n"


class ResponsesFraming(Framing):
    """As Responses has it: each event has its type as a name, and a number."""

    def __init__(self) -> None:
        self._num_events = 0

    def event(self, item: Json) -> str:
        numbered = {**item, "sequence_number": self._num_events}
        self._num_events += 1
        return f"event: {item['type']}\ndata: {_compact(numbered)}\n\n"

    def error(self, status: int, body: Json) -> str:
        error = body["error"]
        return self.event({"type": "error", **{key: error[key] for key in ("code", "message", "param")}})

    def end(self) -> str:
        return ""


class MessagesFraming(Framing):
    """As Anthropic's Messages has it: each event has its type as a name."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def event(self, item: Json) -> str:
        return f"event: {item['type']}\ndata: {_compact(item)}\n\n"

    def ping(self) -> str:
        return self.event({"type": "ping"})

    def error(self, status: int, body: Json) -> str:
        return self.event(anthropic_error(status, body, self._request_id))

    def end(self) -> str:
        return ""
