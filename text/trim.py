"""Strips text that arrives in pieces."""

from __future__ import annotations

_MAX_WAITING = 1_000  # characters of whitespace that anybody may want to see; a stop string has no more


class Trim:
    """Whitespace waits until something follows it; at the start it is dropped."""

    def __init__(self) -> None:
        self.has_begun = False
        self._waiting: list[str] = []  # a list, since endless whitespace must not be copied again and again

    @property
    def waiting(self) -> str:
        """The whitespace; of an endless one its last part, as long as any stop string."""
        return "".join(self._waiting[-_MAX_WAITING:])

    def push(self, text: str) -> str:
        """What may be shown now."""
        body = text.rstrip()
        if not body:
            if self.has_begun:
                self._waiting.append(text)
            return ""
        shown = "".join(self._waiting) + body if self.has_begun else body.lstrip()
        self.has_begun = True
        self._waiting = [text[len(body) :]]
        return shown
