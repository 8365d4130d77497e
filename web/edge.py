"""The middleware around all routes: request ids, API keys, cross-site checks, and the log line of each answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Iterator
from urllib.parse import unquote

from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.connection import MAX_HEAD
from web.dialects import speaks_anthropic
from web.errors import CLOSE, SHUTTING_DOWN, ClientStalled, HttpError, is_unforeseen, new_request_id, render
from web.observation import CLIENT_LEFT, Observation
from web.playground import PATHS as PLAYGROUND_PATHS
from web.settings import Settings
from web.sites import Sites, is_preflight

PUBLIC_PATHS = frozenset({"/", "/live", "/ready", "/health", *PLAYGROUND_PATHS})
WRITE_DEADLINE_S = 30.0
CHALLENGE = {"WWW-Authenticate": "Bearer"}
_CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WHOLE_URL = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)

log = logging.getLogger("functionary")


class Edge:
    """ASGI middleware: gives each request an id, checks its API key, and renders exceptions as error bodies."""

    def __init__(self, app: ASGIApp, settings: Settings, registry: CollectorRegistry | None = None) -> None:
        """Add a counter of answers by route and status to `registry`.

        The labels of this counter never hold text from a client.
        """
        self._app = app
        about = "Answers by route and class of status."
        self._num_answers = Counter("functionary:http_requests", about, ("route", "status"), registry=registry)
        self._digests = [_digest(key.encode("utf-8", "surrogateescape")) for key in settings.api_keys]
        self._sites = Sites(settings.own_hosts, settings.allow_origins)
        self._tracer, self._traces_contents = settings.tracer, settings.trace_contents
        self._kept = {"Connection": "keep-alive", "Keep-Alive": f"timeout={settings.keep_alive_s}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan events; uvicorn runs with ws="none"
            await self._app(scope, receive, send)
            return
        request, first_host = _as_routed(scope), Headers(scope=scope).get("host")
        headers = Headers(scope=request)
        always = self._sites.cors_headers(headers) | (self._kept if _is_kept(scope, headers) else {})
        request_id = _request_id(headers)
        if speaks_anthropic(request):
            always["request-id"] = request_id  # the name that Anthropic's clients read
        answer = _Answer(send, request_id, always)
        request["state"] = {**scope.get("state", {}), "request_id": answer.request_id}
        observation = Observation(request_id, self._tracer, has_contents=self._traces_contents)
        observation.begin(request, headers)
        try:
            _check_head(scope, headers)
            if is_preflight(request["method"], headers):
                self._sites.check_origin(headers)
                await Response(status_code=204)(request, receive, answer.send)
            else:
                self._admit(request, headers, first_host)
                await self._app(request, receive, answer.send)
        except ClientDisconnect:
            answer.status = CLIENT_LEFT
        except ClientStalled:
            log.info("request %s: the client does not read", answer.request_id)
        except asyncio.CancelledError:  # the server stops, and the time for running requests is over
            log.info("request %s: the server stops", answer.request_id)
            observation.failed(SHUTTING_DOWN)
            if not answer.has_started:
                await render(SHUTTING_DOWN, request)(request, receive, answer.send)
        except Exception as error:
            observation.failed(error)
            if is_unforeseen(error):
                log.exception("request %s failed", answer.request_id)
            elif isinstance(error, HttpError) and error.status == 403:  # a browser does not show it to its user
                log.info("request %s: %s", answer.request_id, error.message)
            if not answer.has_started:
                await render(error, request)(request, receive, answer.send)
        finally:
            route = getattr(request.get("route"), "path", "other")
            self._num_answers.labels(route, f"{answer.status // 100}xx" if answer.status else "none").inc()
            observation.end(answer.status)
            method, path, seconds = scope["method"][:20], request["path"][:200], round(answer.age_s(), 3)
            fields = {"method": method, "path": path, "status": answer.status, "seconds": seconds}
            fields |= {"key_name": request["state"].get("key_name")} | observation.log_fields()
            log.info("%s %r %s %.3f s %s", method, path, answer.status, seconds, request_id, extra=fields)

    def _admit(self, request: Scope, headers: Headers, first_host: str | None) -> None:
        """Check the API key; on a server without keys, check the hosts and the Origin instead.

        Only the path in the scope decides whether a request needs no key. `first_host` is the header Host as it came.
        """
        if not self._digests:
            for host in (first_host, headers.get("host")):
                self._sites.check_host(host)
            self._sites.check_origin(headers)
        elif request["path"] not in PUBLIC_PATHS:
            request["state"]["owner"] = self._check_key(headers)

    def _check_key(self, headers: Headers) -> str:
        """Return the owner: the SHA-256 digest of the key in hex. Raises HttpError 401 if no header has a right key."""
        keys = list(_keys(headers))
        if not keys:
            raise HttpError(
                401,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or in the header x-api-key or api-key.",
                headers=CHALLENGE,
            )
        digests = [_digest(key.encode("latin-1")) for key in keys]  # latin-1 restores the bytes that the client sent
        # sum() compares all, so that the time reveals no key
        matches = [sum(hmac.compare_digest(digest, known) for known in self._digests) > 0 for digest in digests]
        if not any(matches):
            message = f"Incorrect API key provided: {_masked(keys[0])}."
            raise HttpError(401, message, code="invalid_api_key", headers=CHALLENGE)
        return digests[matches.index(True)].hex()


class _Answer:
    """One answer: adds headers, records the status, and raises ClientStalled if the client stops reading."""

    def __init__(self, send: Send, request_id: str, always: dict[str, str]) -> None:
        """`always` are headers that every answer to the request has, errors included."""
        self.request_id = request_id
        self.has_started = False
        self.status = 0
        self._send = send
        self._always = always
        self._started_at = time.monotonic()

    def age_s(self) -> float:
        return time.monotonic() - self._started_at

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            is_closed = "connection" in headers
            for name, value in self._always.items():
                if name == "Vary":
                    headers.add_vary_header(value)
                elif not (is_closed and name in ("Connection", "Keep-Alive")):
                    headers[name] = value
            headers["x-request-id"] = self.request_id
            headers["openai-processing-ms"] = str(int(self.age_s() * 1000))
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await self._send(message)
        except TimeoutError:
            raise ClientStalled from None


def _as_routed(scope: Scope) -> Scope:
    """Return a copy of the scope as the routes expect it: with GET for HEAD, and a path instead of a whole URL.

    uvicorn drops the body of an answer to HEAD. Proxies may send `GET http://host/path`; the URL's host replaces the
    header Host (RFC 9112, 3.2.2).
    """
    request = dict(scope)
    if scope["method"] == "HEAD":
        request["method"] = "GET"
    if found := _WHOLE_URL.fullmatch(scope["raw_path"]):
        raw_path = found[2] or b"/"
        request |= {"raw_path": raw_path, "path": unquote(raw_path.decode("ascii"))}
        request["headers"] = [(b"host", found[1]), *(header for header in scope["headers"] if header[0] != b"host")]
    return request


def _is_kept(scope: Scope, headers: Headers) -> bool:
    """Whether the connection stays open after the answer, unless the answer itself closes it."""
    return bool(scope["http_version"] == "1.1") and "close" not in headers.get("connection", "").lower()


def _keys(headers: Headers) -> Iterator[str]:
    """Yield the API keys of a request: OpenAI's clients send Authorization, Anthropic's x-api-key, Azure's api-key."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    for given in (key if scheme.lower() == "bearer" else "", *map(headers.get, ("x-api-key", "api-key"))):
        if given and given.strip():
            yield given.strip()


def _check_head(scope: Scope, headers: Headers) -> None:
    """Reject what h11 wrongly accepts: a too long head that arrives in one piece, and a body with two lengths."""
    if scope["http_version"] not in ("1.0", "1.1"):
        raise HttpError(400, "Only HTTP/1.1 and HTTP/1.0 are supported.", headers=CLOSE)
    size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(k) + len(v) + 4 for k, v in scope["headers"])
    if size > MAX_HEAD:
        raise HttpError(431, f"The head of the request is larger than {MAX_HEAD} bytes.", headers=CLOSE)
    if "transfer-encoding" in headers and "content-length" in headers:  # prevents request smuggling via a proxy
        raise HttpError(400, "Content-Length and Transfer-Encoding exclude each other.", headers=CLOSE)


def _request_id(headers: Headers) -> str:
    own = headers.get("x-request-id", "")
    return own if _CLIENT_REQUEST_ID.fullmatch(own) else new_request_id()


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _masked(key: str) -> str:
    return f"{key[:3]}***{key[-4:]}" if len(key) > 15 and key.isascii() and key.isprintable() else "***"
