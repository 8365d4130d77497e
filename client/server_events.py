"""Reads the server-sent events of a streamed answer, whose servers write the data of an event in one line."""

from __future__ import annotations

from collections.abc import Iterator

MAX_EVENT = 16 * 2**20  # bytes; vLLM's first event may repeat the ids of the prompt
DONE = b"[DONE]"  # the data of the last event, which some servers leave out


class EventTooLong(Exception):
    """An event has more than MAX_EVENT bytes. The message continues "the server ..."."""


class EventReader:
    """Splits one answer into the data of its events. It arrives in parts of any size.

    num_lines: lines with content so far, comments among them.
    """

    def __init__(self) -> None:
        self.num_lines = 0
        self._rest = bytearray()  # the beginning of a line

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Yield the data of each event that `part` ends. Raises EventTooLong."""
        *lines, last = part.split(b"\n")  # str.splitlines would also split at U+2028, which JSON allows in texts
        for line in lines:
            self._rest += line
            if data := self.end():
                yield data
        self._rest += last
        if len(self._rest) > MAX_EVENT:
            raise EventTooLong(f"sends an event of more than {MAX_EVENT} bytes")

    def end(self) -> bytes:
        """Return the data of the line that has begun, without spaces around it, and end the line; b"" for no data."""
        line = bytes(self._rest).strip()
        self._rest.clear()
        self.num_lines += bool(line)
        name, _, data = line.partition(b":")
        return data.strip() if name in (b"data", b"error") else b""  # llama.cpp has written `error: {...}`
