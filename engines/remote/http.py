"""A small streaming HTTP client: JSON in, server-sent events out, with bounded memory and time.

Each request has a connection of its own, which ends with it. So an answer that is cut aborts the work on the other
side, no connection that a server has closed while it idled is used again, and no event loop keeps one open.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2

from client.server_events import DONE, MAX_EVENT, EventTooLong, event_data

Json = dict[str, Any]

CONNECT_S = 5.0
CHECK_S = 10.0  # for the short questions at start and about the health
MAX_ANSWER = 32 * 2**20  # bytes of an answer that is no stream
MAX_REFUSAL = 65_536  # bytes that are read of the body of an error
_SHOWN = 200  # characters of the other side's message in an error of ours


class ServerError(Exception):
    """The server on the other side did not do what was asked.

    The message continues "the server ...", as in "cannot be reached". It has no URL in it, since clients read it.
    status: the HTTP status, or 0 if there was no answer, a broken one, or none in time.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class HttpServer:
    """One server. `url` has no slash at its end; `silence_s` is the longest time without a byte of an answer."""

    url: str
    key: str | None = None
    silence_s: float = 120.0

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Json]:
        """POST `body` and yield the events of the answer. Closing the generator closes the connection.

        Ends after the event [DONE] or at the end of the answer. An answer in JSON is one event. Raises ServerError; an
        event with an error raises it too.
        """
        timeout = httpx2.Timeout(self.silence_s, connect=CONNECT_S)
        try:
            async with (
                self._client(timeout) as client,
                client.stream("POST", self.url + path, json=body) as response,
            ):
                await _check(response)
                kind = response.headers.get("content-type", "")
                if "event-stream" not in kind and "json" not in kind:
                    raise ServerError(f"answers {path} with no event stream")
                async with aclosing(event_data(response) if "event-stream" in kind else _whole(response)) as texts:
                    async for text in texts:
                        if text == DONE:
                            return
                        yield _event(text)
        except httpx2.HTTPError as error:
            raise ServerError(_reason(error, self.silence_s)) from None

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer that is no stream. Raises ServerError."""
        try:
            async with (
                asyncio.timeout(CHECK_S),
                self._client(httpx2.Timeout(CHECK_S, connect=CONNECT_S)) as client,
                client.stream(method, self.url + path, json=body) as response,
            ):
                await _check(response)
                content = await _limited(response, MAX_ANSWER)
        except httpx2.HTTPError as error:
            raise ServerError(_reason(error, CHECK_S)) from None
        except TimeoutError:
            raise ServerError(f"has not answered {path} within {CHECK_S:g} s") from None
        if content is None:
            raise ServerError(f"answers {path} with more than {MAX_ANSWER} bytes")
        try:
            return json.loads(content or b"null")
        except (ValueError, RecursionError):
            kind = "HTML" if content.lstrip()[:1] == b"<" else "text that is no JSON"
            raise ServerError(f"answers {path} with {kind}, so it is not an engine's API") from None

    def _client(self, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
        headers = {"Accept-Encoding": "identity"}  # events are small, and are wanted at once
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return httpx2.AsyncClient(headers=headers, timeout=timeout, verify=_TLS, trust_env=False)


_TLS = ssl.create_default_context()  # costs 10 ms, so that all connections share it


async def _check(response: httpx2.Response) -> None:
    """Raise ServerError unless the status is 200, with what the other side says about it."""
    status = response.status_code
    if status == 200:
        return
    path = response.request.url.path
    if response.is_redirect:
        raise ServerError(f"redirects {path} to another URL; name the server that answers itself", status)
    said = _message(await _limited(response, MAX_REFUSAL) or b"")
    raise ServerError(f"answers {path} with status {status}{f': {said}' if said else ''}", status)


async def _limited(response: httpx2.Response, limit: int) -> bytes | None:
    """Return the body, or None if it has more than `limit` bytes."""
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > limit:
            return None
    return bytes(content)


async def _whole(response: httpx2.Response) -> AsyncGenerator[bytes]:
    content = await _limited(response, MAX_EVENT)
    if content is None:
        raise ServerError(f"answers with more than {MAX_EVENT} bytes")
    yield content


def _event(data: bytes) -> Json:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        raise ServerError("sends an event that is no JSON") from None
    if not isinstance(event, dict):
        raise ServerError("sends an event that is no object")
    if error := event.get("error"):
        status = error.get("code") if isinstance(error, dict) else None
        said = _message(data)
        raise ServerError(f"ends the answer with an error{f': {said}' if said else ''}", _status(status))
    return event


def _status(code: object) -> int:
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _message(body: bytes) -> str:
    """Return what the other side says, in one line: the message of an error object, or the beginning of a text."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    while isinstance(found, dict):
        found = found.get("error") or found.get("message") or found.get("detail")
    text = (
        found
        if isinstance(found, str)
        else ""
        if body.lstrip()[:1] in (b"<", b"{")
        else body.decode("utf-8", "replace")
    )
    return " ".join(text.split())[:_SHOWN]


def _reason(error: httpx2.HTTPError, silence_s: float) -> str:
    match error:
        case httpx2.ConnectTimeout():
            return f"does not accept a connection within {CONNECT_S:g} s"
        case httpx2.ConnectError():
            return "cannot be reached"
        case httpx2.TimeoutException():
            return f"has sent nothing for {silence_s:g} s"
        case EventTooLong():
            return f"sends an event of more than {MAX_EVENT} bytes"
        case httpx2.RemoteProtocolError():
            return "broke off its answer, or does not speak HTTP"
    return f"broke the connection ({type(error).__name__})"
