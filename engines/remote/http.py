"""A small streaming HTTP client: JSON in, server-sent events out, with bounded memory and time.

Each request has a connection of its own, which ends with it. So an answer that is cut aborts the work on the other
side, no connection that a server has closed while it idled is used again, and no event loop keeps one open.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from client.server_events import DONE, MAX_EVENT, EventReader, EventTooLong
from engines.remote.connection import Connection, ConnectionFault, opened

Json = dict[str, Any]

CHECK_S = 10.0  # for the short questions at start and about the health
MAX_ANSWER = 32 * 2**20  # bytes of an answer that is no stream
MAX_REFUSAL = 65_536  # bytes that are read of the body of an error
_REFUSAL_S = 5.0
_SHOWN = 200  # characters of the other side's message in an error of ours


class ServerError(Exception):
    """The server on the other side did not do what was asked.

    The message continues "the server ...", as in "cannot be reached". It has no URL in it, since clients read it.
    status: the HTTP status, or 0 if there was no answer, a broken one, or none in time.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class HttpServer:
    """One server. `url` has no slash at its end; `silence_s` is the longest time without a byte of an answer."""

    def __init__(self, url: str, key: str | None = None, silence_s: float = 120.0) -> None:
        self.url = url
        self._silence_s = silence_s
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._is_closed = False

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Json]:
        """POST `body` and yield the events of the answer. Closing the generator closes the connection.

        Ends after the event [DONE] or at the end of the answer. An answer in JSON is one event. Raises ServerError; an
        event with an error raises it too.
        """
        asked = self._answer("POST", path, body, self._silence_s)
        del body  # an open stream keeps nothing of its request
        async with asked as (connection, headers):
            kind = headers.get("content-type", "")
            if "event-stream" not in kind:
                if "json" not in kind:
                    raise ServerError(f"answers {path} with no event stream")
                yield _event(await _limited(connection, MAX_EVENT, path))
                return
            reader, heard_at, num_lines = EventReader(), time.monotonic(), 0
            while (part := await connection.part()) is not None:
                for data in _fed(reader, part):
                    if data == DONE:
                        return
                    yield _event(data)
                if reader.num_lines > num_lines:
                    heard_at, num_lines = time.monotonic(), reader.num_lines
                elif time.monotonic() > heard_at + self._silence_s:
                    raise ServerError(f"has sent no line with content for {self._silence_s:g} s")
            if data := reader.end():  # some servers end their answer without a line break
                yield _event(data)

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer that is no stream. Raises ServerError."""
        try:
            async with asyncio.timeout(CHECK_S), self._answer(method, path, body, CHECK_S) as (connection, _):
                content = await _limited(connection, MAX_ANSWER, path)
        except TimeoutError:
            raise ServerError(f"has not answered {path} within {CHECK_S:g} s") from None
        try:
            return json.loads(content or b"null")
        except (ValueError, RecursionError):
            kind = "HTML" if content.lstrip()[:1] == b"<" else "text that is no JSON"
            raise ServerError(f"answers {path} with {kind}, so it is not an engine's API") from None

    def close(self) -> None:
        """End all connections, from any thread, and those that come."""
        with self._lock:
            self._is_closed = True
            connections = list(self._open)
        for connection in connections:
            connection.abort_soon()

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None, silence_s: float
    ) -> AsyncGenerator[tuple[Connection, dict[str, str]]]:
        """Send a request. Yields the connection and the headers of an answer with status 200. Raises ServerError."""
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        del body
        try:
            connection = await opened(self.url, silence_s)
            try:
                with self._lock:
                    self._open.add(connection)
                    if self._is_closed:
                        raise ServerError("is asked for nothing any more")
                async with asyncio.timeout(silence_s):  # for the whole head, interim answers included
                    status, headers = await connection.request(method, self.url + path, self._headers, content)
                if status != 200:
                    raise await _refusal(connection, status, headers, path)
                del content
                if (packing := headers.get("content-encoding", "identity")) != "identity":
                    raise ServerError(f"packs its answers ({packing[:20]}) although it is told not to")
                yield connection, headers
            finally:
                with self._lock:
                    self._open.discard(connection)
                connection.abort()
        except ConnectionFault as error:
            raise ServerError(str(error)) from None
        except TimeoutError:
            raise ServerError(f"has not begun its answer within {silence_s:g} s") from None


async def _refusal(connection: Connection, status: int, headers: Mapping[str, str], path: str) -> ServerError:
    """Return the error for a status other than 200, with what the other side says about it."""
    if 300 <= status < 400 and "location" in headers:
        return ServerError(f"redirects {path} to another URL; name the server that answers itself", status)
    content = bytearray()
    try:
        async with asyncio.timeout(_REFUSAL_S):
            while len(content) < MAX_REFUSAL and (part := await connection.part()) is not None:
                content += part
    except (ConnectionFault, TimeoutError):
        pass  # the status says enough
    # What is said about a wrong key may hold the key, and clients read it.
    said = "" if status in (401, 403) else _message(bytes(content[:MAX_REFUSAL]))
    return ServerError(f"answers {path} with status {status}{f': {said}' if said else ''}", status)


async def _limited(connection: Connection, limit: int, path: str) -> bytes:
    """Return the body. Raises ServerError if it has more than `limit` bytes."""
    content = bytearray()
    while (part := await connection.part()) is not None:
        content += part
        if len(content) > limit:
            raise ServerError(f"answers {path} with more than {limit} bytes")
    return bytes(content)


def _fed(reader: EventReader, part: bytes) -> Iterator[bytes]:
    try:
        yield from reader.feed(part)
    except EventTooLong as error:
        raise ServerError(str(error)) from None


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
    return "".join(filter(str.isprintable, " ".join(text.split())))[:_SHOWN]
