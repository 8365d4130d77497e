"""Reads the server-sent events of a streamed answer, whose servers write the data of an event in one line."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2

MAX_EVENT = 16 * 2**20  # bytes; vLLM's first event may repeat the ids of the prompt
DONE = b"[DONE]"  # the data of the last event, which some servers leave out


class EventTooLong(httpx2.DecodingError):
    """An event has more than MAX_EVENT bytes."""


async def event_data(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """Yield the data of each event, without spaces around it. Raises EventTooLong, and httpx2's errors.

    `aiter_lines` would split events at characters like U+2028, which JSON allows in texts.
    """
    rest = bytearray()
    async for part in response.aiter_bytes():
        *lines, last = part.split(b"\n")
        for line in lines:
            rest += line
            if data := _data(rest):
                yield data
            rest = bytearray()
        rest += last
        if len(rest) > MAX_EVENT:
            raise EventTooLong(f"an event has more than {MAX_EVENT} bytes")
    if data := _data(rest):  # some servers end their answer without a line break
        yield data


def _data(line: bytearray) -> bytes:
    """Return the data of a line, or b"" if it has none. llama.cpp has written errors as `error: {...}`."""
    name, _, data = bytes(line).partition(b":")
    return data.strip() if name in (b"data", b"error") else b""
