"""The middleware around all routes: request ids, API keys, cross-site checks, deadlines and body limits."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.errors import ClientStalled, HttpError, is_unforeseen, render

PUBLIC_PATHS = frozenset({"/live", "/ready", "/health"})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_HEAD = 64 * 2**10
MAX_BODY = 2 * 2**20
# A body larger than MAX_BODY is read up to this size and dropped before the error is sent. If the error were sent while
# the client still writes, a TCP reset would discard it.
MAX_DRAINED = 64 * 2**20
RECEIVE_DEADLINE_S = 10.0
WRITE_DEADLINE_S = 30.0
CLOSE = {"Connection": "close"}  # for errors after which the next request on the connection cannot be found
CHALLENGE = {"WWW-Authenticate": "Bearer"}
_CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:@/?#\\]+))(?::[0-9]*)?")

log = logging.getLogger("functionary")


class Edge:
    """ASGI middleware: gives each request an id, checks its API key, and renders exceptions as error bodies."""

    def __init__(
        self,
        app: ASGIApp,
        api_keys: Collection[str],
        own_hosts: Collection[str],
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Add a counter of answers by route and status to `registry`.

        The labels of this counter never hold text from a client.
        """
        self._app = app
        about = "Answers by route and class of status."
        self._num_answers = Counter("functionary:http_requests", about, ("route", "status"), registry=registry)
        self._digests = [_digest(key.encode("utf-8", "surrogateescape")) for key in api_keys]
        self._own_hosts = LOOPBACK | {host.lower() for host in own_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan events; uvicorn runs with ws="none"
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = _Answer(send, _request_id(headers))
        try:
            self._admit(scope, headers)
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            pass
        except ClientStalled:
            log.info("request %s: the client does not read", answer.request_id)
        except Exception as error:
            if is_unforeseen(error):
                log.exception("request %s failed", answer.request_id)
            if not answer.has_started:
                await render(error)(scope, receive, answer.send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._num_answers.labels(route, f"{answer.status // 100}xx" if answer.status else "none").inc()
            log.info(
                "%s %r %s %.3f s %s",
                *(scope["method"][:20], scope["path"][:200], answer.status, answer.age_s(), answer.request_id),
            )

    def _admit(self, scope: Scope, headers: Headers) -> None:
        """Check the request's head, then its API key; on a server without keys, check its Host and Origin instead.

        Only the path in the scope decides whether a request needs no key.
        """
        _check_head(scope, headers)
        if not self._digests:
            self._check_site(headers)
        elif scope["path"] not in PUBLIC_PATHS:
            scope.setdefault("state", {})["owner"] = self._check_key(headers.get("authorization"))

    def _check_key(self, authorization: str | None) -> str:
        """Return the owner: the SHA-256 digest of the key in hex. Raises HttpError 401 for any other key."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise HttpError(
                401,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
                headers=CHALLENGE,
            )
        digest = _digest(key.strip().encode("latin-1"))  # latin-1 restores the bytes that the client sent
        matches = [hmac.compare_digest(digest, known) for known in self._digests]  # compare all: time reveals no key
        if not any(matches):
            message = f"Incorrect API key provided: {_masked(key.strip())}."
            raise HttpError(401, message, code="invalid_api_key", headers=CHALLENGE)
        return digest.hex()

    def _check_site(self, headers: Headers) -> None:
        """Raise HttpError 403 for a foreign Host or Origin.

        Without keys, any web page in a local browser could call the server, also by DNS rebinding to 127.0.0.1.
        """
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and _hostname(host) not in self._own_hosts:
            raise HttpError(
                403, "This server answers only to its own host name; set an API key to open it.", "permission_error"
            )
        if origin is not None and origin.partition("://")[2] != host:
            raise HttpError(
                403, "Requests of other web sites are refused; set an API key to open it.", "permission_error"
            )


class _Answer:
    """One answer: adds headers, records the status, and raises ClientStalled if the client stops reading."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.has_started = False
        self.status = 0
        self._send = send
        self._started_at = time.monotonic()

    def age_s(self) -> float:
        return time.monotonic() - self._started_at

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            headers["openai-processing-ms"] = str(int(self.age_s() * 1000))
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await self._send(message)
        except TimeoutError:
            raise ClientStalled from None


async def read_body(request: Request) -> bytes:
    """Read the body; ignore its Content-Type. Raises HttpError for a body that is too large, compressed or too slow."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise HttpError(415, f"Content-Encoding '{encoding[:40]}' is not supported; send the JSON body uncompressed.")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", request.headers.get("content-type", ""), re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        raise HttpError(415, f"The charset '{charset[1][:40]}' is not supported; send the JSON body as UTF-8.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_DRAINED:
        raise _too_large(CLOSE)
    try:
        async with asyncio.timeout(RECEIVE_DEADLINE_S):
            return await _read(request)
    except TimeoutError:
        message = f"The request body did not arrive within {RECEIVE_DEADLINE_S:g} seconds."
        raise HttpError(408, message, headers=CLOSE) from None


async def _read(request: Request) -> bytes:
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_DRAINED:
            break
        if size <= MAX_BODY:
            body += part
    if size > MAX_BODY:
        raise _too_large(CLOSE if size > MAX_DRAINED else {})
    return bytes(body)


def _too_large(headers: dict[str, str]) -> HttpError:
    message = f"The request body is larger than {MAX_BODY} bytes."
    return HttpError(413, message, code="request_too_large", headers=headers)


def _check_head(scope: Scope, headers: Headers) -> None:
    """Reject what h11 wrongly accepts: a too long head that arrives in one piece, and a body with two lengths."""
    if scope["http_version"] not in ("1.0", "1.1"):
        raise HttpError(400, "Only HTTP/1.1 and HTTP/1.0 are spoken here.", headers=CLOSE)
    size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(k) + len(v) + 4 for k, v in scope["headers"])
    if size > MAX_HEAD:
        raise HttpError(431, f"The head of the request is larger than {MAX_HEAD} bytes.", headers=CLOSE)
    if "transfer-encoding" in headers and "content-length" in headers:  # prevents request smuggling via a proxy
        raise HttpError(400, "Content-Length and Transfer-Encoding exclude each other.", headers=CLOSE)


def _request_id(headers: Headers) -> str:
    own = headers.get("x-request-id", "")
    return own if _CLIENT_REQUEST_ID.fullmatch(own) else "req_" + secrets.token_hex(12)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _masked(key: str) -> str:
    return f"{key[:3]}***{key[-4:]}" if len(key) > 15 and key.isascii() and key.isprintable() else "***"


def _hostname(host: str) -> str:
    """Return the name in a Host header, without port and brackets; "" if the header is malformed."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).rstrip(".").lower() if found else ""
