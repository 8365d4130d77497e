"""Every route of the application with one good request, and the check of an error in the dialect of its route."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from server import ROUTES
from tests.support.abuse_client import CHAT, RAW, RENDER, Answer, Client, as_json, check_error
from web.dialects import is_ollama

Json = dict[str, Any]

USER = {"role": "user", "content": "Hi"}
# The least body that each route with a body serves. A new one needs its own here.
BODIES: dict[str, Json] = {
    CHAT: {"model": "tiny", "messages": [USER], "max_tokens": 1},
    RENDER: {"model": "tiny", "messages": [USER]},
    RAW: {"model": "tiny", "prompt": "x", "max_tokens": 1},
    "/v1/responses": {"model": "tiny", "input": "hi", "max_output_tokens": 16},
    "/v1/responses/input_tokens": {"model": "tiny", "input": "hi"},
    "/v1/messages": {"model": "tiny", "max_tokens": 5, "messages": [USER]},
    "/v1/messages/count_tokens": {"model": "tiny", "messages": [USER]},
    "/api/show": {"model": "tiny"},
    "/v1/functions": {"text": "def roll(): ..."},
    "/tokenize": {"prompt": "x"},
    "/detokenize": {"tokens": [1]},
}
PUBLIC = ("/", "/live", "/ready", "/health")
NO_ID = "nope"  # the value of a path parameter that names nothing
PAGES = ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect")  # FastAPI's own routes
_ANTHROPIC_KINDS = {
    *("invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large"),
    *("rate_limit_error", "overloaded_error", "api_error"),
}


@dataclass(frozen=True)
class Case:
    """A good request for one route.

    route: the route's path with its parameters, which is the label in the metrics.
    status: that of the answer.
    """

    method: str
    route: str
    path: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    dialect: Literal["openai", "anthropic", "ollama"] = "openai"

    @property
    def name(self) -> str:
        return f"{self.method} {self.route} {' '.join(self.headers)}".strip()

    @property
    def body(self) -> bytes:
        return as_json(BODIES[self.route]) if self.route in BODIES else b""

    def send(
        self,
        client: Client,
        *,
        method: str = "",
        path: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send the request, or one that differs in what is given. Check everything that holds for every answer."""
        headers = {**self.headers, **(headers or {})}
        body = self.body if body is None else body
        answer = client.send(method or self.method, path or self.path, body, headers)
        if (method or self.method) != "HEAD":
            self.check(answer)
        return answer

    def check(self, answer: Answer) -> None:
        """Check that the answer is no 5xx, has an id, and if it is an error, that its body is one in the dialect."""
        assert answer.status < 500, answer
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", answer.headers["x-request-id"])
        if answer.status >= 300:
            assert answer.status >= 400, "no redirect"
            assert answer.headers["content-type"] == "application/json"
            self.check_error(answer.body, answer)

    def check_error(self, body: bytes, answer: Answer) -> None:
        document = answer.json
        match self.dialect:
            case "openai":
                check_error(body)
            case "ollama":
                assert document.keys() == {"error"}
                assert isinstance(document["error"], str) and 0 < len(document["error"].strip()) <= 500
            case "anthropic":
                assert document.keys() == {"type", "error", "request_id"}
                assert (document["type"], document["request_id"]) == ("error", answer.headers["x-request-id"])
                assert document["error"].keys() == {"message", "type", "param", "code"}
                assert document["error"]["type"] in _ANTHROPIC_KINDS

    def message(self, answer: Answer) -> str:
        """Return the message of an error."""
        return str(answer.json["error"] if self.dialect == "ollama" else answer.error["message"])


def _cases() -> list[Case]:
    cases = []
    for route in ROUTES:
        path = re.sub(r"\{\w+(:path)?\}", NO_ID, route.path.replace("{name:path}", "tiny"))
        case = Case(route.method, route.path, path, status=404 if NO_ID in path else 200, dialect=_dialect(route.path))
        cases.append(case)
        if route.path.startswith("/v1/models"):
            headers = {"anthropic-version": "2023-06-01"}
            cases.append(Case(route.method, route.path, path, headers=headers, dialect="anthropic"))
    return cases


def _dialect(path: str) -> Literal["openai", "anthropic", "ollama"]:
    if path.startswith("/v1/messages"):
        return "anthropic"
    return "ollama" if is_ollama(path) else "openai"


def need_bodies() -> None:
    """Fail with the names of the routes with a body that BODIES lacks."""
    missing = [route.path for route in ROUTES if route.operation.request and route.path not in BODIES]
    assert not missing, f"put the least body that each of {missing} serves into BODIES of tests/support/all_routes.py"


CASES = _cases()
POSTS = [case for case in CASES if case.route in BODIES]
GETS = [case for case in CASES if case.method == "GET"]
