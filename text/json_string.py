"""Decode the escapes of a JSON string that arrives in pieces."""

from __future__ import annotations

import json
import re

# Complete escapes; a surrogate pair is one escape of two parts.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^u])|\\u", re.DOTALL
)
# What may be the beginning of an escape, at the end of a piece.
_INCOMPLETE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?\Z")


class JsonStringDecoder:
    """Decodes the content of one JSON string. Wrong escapes stay as they are."""

    def __init__(self) -> None:
        self._held_back = ""

    def push(self, text: str) -> str:
        """Add a piece of the string; return the text that it completes."""
        text = self._held_back + text
        incomplete = self._incomplete(text)
        self._held_back = text[incomplete:]
        return _ESCAPE.sub(_decoded, text[:incomplete])

    def _incomplete(self, text: str) -> int:
        """Return the index of the incomplete escape at the end of `text`, or its length."""
        start = max(0, len(text) - 12)  # the longest escape has 12 characters
        found = _INCOMPLETE.search(text, start)
        while found:
            num_backslashes = len(text[: found.start()]) - len(text[: found.start()].rstrip("\\"))
            if num_backslashes % 2 == 0:
                return found.start()
            found = _INCOMPLETE.search(text, found.start() + 1)
        return len(text)


_SIMPLE = {'\\"': '"', "\\\\": "\\", "\\/": "/", "\\b": "\b", "\\f": "\f", "\\n": "\n", "\\r": "\r", "\\t": "\t"}


def _decoded(escape: re.Match[str]) -> str:
    if len(escape[0]) == 2:
        return _SIMPLE.get(escape[0], escape[0])
    try:
        decoded: str = json.loads(f'"{escape[0]}"')
    except ValueError:
        return escape[0]
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
