"""Find stop strings in streamed text, even across pieces, and never show any part of one."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Pass text through up to the first stop string.

    Text is held back only while it could be the beginning of a stop string. `hit` is the stop string that was found; of
    several at the same position, the first in the order of `stops`.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.hit: str | None = None
        self._stops = tuple(stop for stop in stops if stop)
        self._max_length = max(map(len, self._stops), default=0)
        self._held_back = ""

    @property
    def is_hit(self) -> bool:
        return self.hit is not None

    def feed(self, text: str) -> str:
        """Add a piece of text; return the text that can be shown now. Nothing is shown after a stop string."""
        if self.is_hit or not self._stops:
            return "" if self.is_hit else text
        text = self._held_back + text
        starts = {stop: start for stop in self._stops if (start := text.find(stop)) >= 0}
        if starts:
            self.hit, self._held_back = min(starts, key=lambda stop: starts[stop]), ""
            return text[: starts[self.hit]]
        lengths = range(min(self._max_length - 1, len(text)), 0, -1)
        length = next((length for length in lengths if self._begins_stop(text[-length:])), 0)
        self._held_back = text[len(text) - length :]
        return text[: len(text) - length]

    def would_hit(self, text: str) -> bool:
        """Return whether `text` as the next piece would complete a stop string."""
        return any(stop in self._held_back + text for stop in self._stops) and not self.is_hit

    def finish(self) -> str:
        """Return the text that is still held back, at the end of the output."""
        held, self._held_back = self._held_back, ""
        return held

    def _begins_stop(self, ending: str) -> bool:
        return any(stop.startswith(ending) for stop in self._stops)
