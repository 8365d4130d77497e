"""Reads the body of a request within limits of size and time. A body may be packed with gzip."""

from __future__ import annotations

import asyncio
import re
import zlib

from starlette.datastructures import Headers
from starlette.requests import Request

from web.errors import CLOSE, HttpError

MAX_BODY = 2 * 2**20  # unpacked
# A body larger than MAX_BODY is read up to this size and dropped before the error is sent. If the error were sent while
# the client still writes, a TCP reset would discard it.
MAX_DRAINED = 64 * 2**20
RECEIVE_DEADLINE_S = 10.0
_GZIP_WINDOW = 31  # zlib's number for a gzip header and the largest window


async def read_body(request: Request) -> bytes:
    """Read the body; ignore its Content-Type. Raises HttpError for a body that is too large, unreadable or too slow."""
    gzip = _Gzip() if _is_packed(request.headers) else None
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", request.headers.get("content-type", ""), re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8"):
        raise HttpError(415, f"The charset '{charset[1][:40]}' is not supported; send the JSON body as UTF-8.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_DRAINED:
        raise _too_large(CLOSE)
    try:
        async with asyncio.timeout(RECEIVE_DEADLINE_S):
            return await _read(request, gzip)
    except TimeoutError:
        message = f"The request body did not arrive within {RECEIVE_DEADLINE_S:g} seconds."
        raise HttpError(408, message, headers=CLOSE) from None


def _is_packed(headers: Headers) -> bool:
    """Whether the body is packed with gzip. Raises HttpError 415 for any other packing."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return False
    if encoding in ("gzip", "x-gzip"):
        return True
    message = f"Content-Encoding '{encoding[:40]}' is not supported; send the JSON body uncompressed or with gzip."
    raise HttpError(415, message, headers={"Accept-Encoding": "gzip"})


async def _read(request: Request, gzip: _Gzip | None) -> bytes:
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_DRAINED:
            break
        if max(size, len(body)) <= MAX_BODY:
            body += gzip.unpack(part, MAX_BODY + 1 - len(body)) if gzip else part
    if max(size, len(body)) > MAX_BODY:
        raise _too_large(CLOSE if size > MAX_DRAINED else {})
    if gzip and not gzip.is_whole():
        raise HttpError(400, "The body is not one whole gzip stream, as its Content-Encoding says.")
    return bytes(body)


class _Gzip:
    """A gzip stream that arrives in parts. After a fault the remaining parts are ignored."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)
        self._is_faulty = False

    def unpack(self, part: bytes, max_length: int) -> bytes:
        """Unpack the next part, at most `max_length` bytes of it, so that a zip bomb takes no memory."""
        if self._is_faulty or self._stream.eof:
            self._is_faulty |= bool(part)
            return b""
        try:
            return self._stream.decompress(part, max_length)
        except zlib.error:
            self._is_faulty = True
            return b""

    def is_whole(self) -> bool:
        """Whether the stream has ended, with the right checksum and nothing after it."""
        return self._stream.eof and not self._stream.unused_data and not self._is_faulty


def _too_large(headers: dict[str, str]) -> HttpError:
    message = f"The request body is larger than {MAX_BODY} bytes."
    return HttpError(413, message, code="request_too_large", headers=headers)
