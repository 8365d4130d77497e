"""The middleware around all routes: request ids, admission, cross-site checks, and the log line of each answer."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import suppress
from urllib.parse import unquote

from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.admission import Admission
from web.body import read_body
from web.connection import MAX_HEAD
from web.dialects import speaks_anthropic
from web.errors import CLOSE, SHUTTING_DOWN, ClientStalled, HttpError, is_unforeseen, new_request_id, render
from web.observation import CLIENT_LEFT, Observation
from web.settings import Settings
from web.sites import Sites, is_preflight

WRITE_DEADLINE_S = 30.0
_CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WHOLE_URL = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)

log = logging.getLogger("functionary")


class Edge:
    """ASGI middleware: gives each request an id, admits it, and renders exceptions as error bodies."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        admission: Admission | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Add a counter of answers by route and status to `registry`.

        The labels of this counter never hold text from a client. `admission` is made from the settings by default.
        """
        self._app = app
        about = "Answers by route and class of status."
        self._num_answers = Counter("functionary:http_requests", about, ("route", "status"), registry=registry)
        self._admission = admission or Admission(settings)
        self._sites = Sites(settings.own_hosts, settings.allow_origins)
        self._tracer, self._traces_contents = settings.tracer, settings.trace_contents
        self._kept = {"Connection": "keep-alive", "Keep-Alive": f"timeout={settings.keep_alive_s}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan events; uvicorn runs with ws="none"
            await self._app(scope, receive, send)
            return
        request, first_host = _as_routed(scope), Headers(scope=scope).get("host")
        headers = Headers(scope=request)
        always = self._sites.cors_headers(headers) | self._connection_headers(scope, headers)
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
            elif self._admission.refuses(request["path"]):
                with suppress(HttpError):  # the connection is closed: a body that is still sent would reset it
                    await read_body(Request(request, receive))
                await render(SHUTTING_DOWN, request)(request, receive, answer.send)
            else:
                self._check_caller(request, headers, first_host)
                answer.headers.update(self._admission.check_limits(request))
                with self._admission.running():
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
            status_class = f"{answer.status // 100}xx" if answer.status else "none"
            self._num_answers.labels(route, status_class).inc()
            self._admission.count_answer(request, status_class)
            observation.end(answer.status)
            method, path, seconds = scope["method"][:20], request["path"][:200], round(answer.age_s(), 3)
            key_name = request["state"].get("key_name", "")
            fields = {"method": method, "path": path, "status": answer.status, "seconds": seconds}
            fields |= {"key_name": key_name or None} | observation.log_fields()
            shown_name = key_name and f" {key_name}"
            log.info("%s %r %s %.3f s %s%s", method, path, answer.status, seconds, request_id, shown_name, extra=fields)

    def _check_caller(self, request: Scope, headers: Headers, first_host: str | None) -> None:
        """Check the API key; on a server without keys, check the hosts and the Origin instead.

        `first_host` is the header Host as it came.
        """
        if self._admission.keys:
            self._admission.check_key(request, headers)
            return
        for host in (first_host, headers.get("host")):
            self._sites.check_host(host)
        self._sites.check_origin(headers)

    def _connection_headers(self, scope: Scope, headers: Headers) -> dict[str, str]:
        if self._admission.is_draining:
            return CLOSE
        return self._kept if _is_kept(scope, headers) else {}


class _Answer:
    """One answer: adds headers, records the status, and raises ClientStalled if the client stops reading."""

    def __init__(self, send: Send, request_id: str, headers: dict[str, str]) -> None:
        """`headers` are those that every answer to the request has, errors included."""
        self.headers = headers
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
            is_closed = "connection" in headers
            for name, value in self.headers.items():
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
