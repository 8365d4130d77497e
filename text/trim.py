"""Strip whitespace from both ends of streamed text."""

from __future__ import annotations

_MAX_HELD = 1_000  # characters, the maximum length of a stop string; the end of longer whitespace is enough


class Trimmer:
    """Drop whitespace at the start; hold back other whitespace until more text follows."""

    def __init__(self) -> None:
        self.has_text = False
        self._held_whitespace: list[str] = []  # a list, so that long whitespace is not copied for each piece

    @property
    def held_whitespace(self) -> str:
        """The whitespace that is held back. If the whitespace is very long, only its last pieces are returned."""
        return "".join(self._held_whitespace[-_MAX_HELD:])

    def push(self, text: str) -> str:
        """Add a piece of text; return the text that can be shown now."""
        body = text.rstrip()
        if not body:
            if self.has_text:
                self._held_whitespace.append(text)
            return ""
        shown = "".join(self._held_whitespace) + body if self.has_text else body.lstrip()
        self.has_text = True
        self._held_whitespace = [text[len(body) :]]
        return shown
