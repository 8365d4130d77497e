"""Follows an answer token by token, for code that must know where in the turn the next token stands."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from core.turn_format import Event, Region, TurnFormat
from text.parser import OutputParser
from text.vocabulary import Vocabulary

_REACH = 80  # characters of a region that are kept; names have at most 64, and heads of calls little more


class TurnReader:
    """Reads sampled tokens character by character, so that each event is known with the character that completes it."""

    def __init__(self, turn_format: TurnFormat, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._parser = OutputParser(turn_format)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._at = 0
        self.since = ""  # the last characters of the current region, at most _REACH

    @property
    def region(self) -> Region:
        """The region of the next character, as far as is known."""
        return self._parser.region

    @property
    def unread(self) -> bytes:
        """The bytes of the last token behind the character that gave the last event."""
        return self._text[self._at :].encode() + self._decoder.getstate()[0]

    def read(self, token_id: int) -> Iterator[Event]:
        """The events of one more token. Must be consumed to its end."""
        control = self._vocabulary.control.get(token_id)
        if control is None:
            yield from self.read_text(self._decoder.decode(self._vocabulary.token_bytes(token_id)))
            return
        self._decoder.reset()
        self._text, self._at = "", 0
        region = self.region
        events = self._parser.feed(control, special=True)
        self.since = self.since if self.region == region else ""  # a control token that is no mark is dropped
        yield from events

    def read_text(self, text: str) -> Iterator[Event]:
        """The events of more text, as the prompt holds it after its opening. Must be consumed to its end."""
        self._text = text
        for self._at, char in enumerate(text, start=1):
            region = self.region
            events = self._parser.feed(char)
            self.since = (self.since + char)[-_REACH:] if self.region == region else ""
            yield from events
