"""Stop strings in text that arrives in pieces: found across pieces, never shown, nothing held back for long."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Feed it text; it gives back what surely stands before every stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.is_hit = False
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""

    def feed(self, text: str) -> str:
        """The text that can be shown now. After a hit nothing more comes."""
        if self.is_hit or not self._stops:
            return "" if self.is_hit else text
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.is_hit, self._held = True, ""
            return text[: min(places)]
        length = next(
            (length for length in range(min(self._longest - 1, len(text)), 0, -1) if self._begins(text[-length:])), 0
        )
        self._held = text[len(text) - length :]
        return text[: len(text) - length]

    def would_hit(self, text: str) -> bool:
        """Whether `text`, if it came next, would complete a stop string."""
        return any(stop in self._held + text for stop in self._stops) and not self.is_hit

    def finish(self) -> str:
        """What was held back: it was no stop string after all."""
        held, self._held = self._held, ""
        return held

    def _begins(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._stops)
