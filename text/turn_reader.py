"""Track token by token which region of the turn the output is in, for drafts and constraints."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from core.turn_format import Event, RegionKind, TurnFormat
from text.parser import OutputParser
from text.vocabulary import Vocabulary

_MAX_REGION_TEXT = 80  # characters; function names have at most 64, heads of calls a few more


class TurnReader:
    """Parses sampled tokens one character at a time, to know which character completes each event."""

    def __init__(self, turn_format: TurnFormat, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._parser = OutputParser(turn_format)
        # The first characters of the marks in the long regions. Other text is parsed in whole tokens.
        self._first_characters = {
            name: frozenset(mark.text[0] for mark in turn_format.region(name).marks if not mark.is_control)
            for name in {"text", "reasoning", *turn_format.regions}
            if turn_format.region(name).kind in ("text", "reasoning")
        }
        control = {mark.text for region in turn_format.regions.values() for mark in region.marks if mark.is_control}
        self._control_pattern = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or "(?!)")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._num_read = 0
        self.region_text = ""  # the last characters of the current region, at most _MAX_REGION_TEXT

    @property
    def region(self) -> RegionKind:
        """The kind of the region of the next character. Text that the parser holds back may still change it."""
        return self._parser.region

    @property
    def region_name(self) -> str:
        """The name of the region of the next character."""
        return self._parser.region_name

    @property
    def pending_name(self) -> str:
        """The name of the call whose arguments come next; empty if none."""
        return self._parser.pending_name

    @property
    def is_in_string(self) -> bool:
        """Whether the next character is in a JSON string of arguments."""
        return self._parser.is_in_string

    @property
    def rest_of_token(self) -> bytes:
        """The bytes of the last token after the character that completed the last event."""
        return self._text[self._num_read :].encode() + self._decoder.getstate()[0]

    def read(self, token_id: int) -> Iterator[Event]:
        """Parse one more token. The iterator must be consumed to its end."""
        control = self._vocabulary.control_tokens.get(token_id)
        if control is None:
            yield from self.read_text(self._decoder.decode(self._vocabulary.token_bytes(token_id)))
            return
        # An incomplete character before a control token is a character for OutputParser too.
        yield from self.read_text(self._decoder.decode(b"", final=True))
        self._decoder.reset()
        yield from self._read_control(control)

    def read_prefill(self, prefill: str) -> Iterator[Event]:
        """Parse the prefill, in which control tokens are spelled out. The iterator must be consumed to its end."""
        at = 0
        for control in self._control_pattern.finditer(prefill):
            yield from self.read_text(prefill[at : control.start()])
            yield from self._read_control(control[0])
            at = control.end()
        yield from self.read_text(prefill[at:])

    def _read_control(self, control: str) -> Iterator[Event]:
        self._text, self._num_read = "", 0
        region = self.region_name
        events = self._parser.feed(control, is_control=True)
        if self.region_name != region:  # a control token that is not a mark is dropped and changes nothing
            self.region_text = ""
        yield from events

    def read_text(self, text: str) -> Iterator[Event]:
        """Parse text without control tokens. The iterator must be consumed to its end."""
        self._text = text
        first_characters = self._first_characters.get(self.region_name)
        if first_characters is not None and first_characters.isdisjoint(self.region_text + text):
            self.region_text = (self.region_text + text)[-_MAX_REGION_TEXT:]  # no mark can begin or end in this text
            yield from self._parser.feed(text)
            return
        for self._num_read, char in enumerate(text, start=1):
            region = self.region_name
            events = self._parser.feed(char)
            self.region_text = (self.region_text + char)[-_MAX_REGION_TEXT:] if self.region_name == region else ""
            yield from events
