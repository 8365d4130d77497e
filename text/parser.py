"""Split the output of a model into events: text, and calls with their arguments. One parser for all turn formats."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.turn_format import ArgsDelta, CallStart, Event, Mark, Region, TextDelta, TurnFormat
from text.marks import STRING_REST, MarkFinder
from text.trim import Trimmer

_NAME = re.compile(r"\s*[A-Za-z0-9_.-]{1,64}\s*")  # the names that a request may declare
_SPACE = re.compile(r"\s*")
_MAX_NAME_LENGTH = 80  # characters, with the whitespace after the name; a longer "name" is text
_STRING_REST = re.compile(STRING_REST, re.DOTALL)


class OutputParser:
    """A parser that gets the output of a model piece by piece and emits events. Every output is accepted.

    The joined events are the same, no matter where the output is cut into pieces.

    Whitespace is stripped at both ends of the turn's text and of the arguments of each call; whitespace between two
    parts of the text is kept. If the output ends within a name, before the mark that ends the name, the name is
    dropped.
    """

    def __init__(self, turn_format: TurnFormat) -> None:
        self._format = turn_format
        self._region: Region = turn_format.start
        self._marks_by_region: dict[Region, _Marks] = {}
        self._held_back = ""  # text that may still become a mark or a name; never longer than the longest of them
        self._in_string = False
        self._text = Trimmer()
        self._arguments = Trimmer()
        self._events: list[Event] = []

    @property
    def region(self) -> Region:
        """The region of the next character. Held-back text may still change it."""
        return self._region

    @property
    def is_in_string(self) -> bool:
        """Whether the next character is in a JSON string of arguments, where only control tokens are marks."""
        return self._in_string

    @property
    def trailing_whitespace(self) -> str:
        """The whitespace at the end of the text, which is held back until more text follows.

        If the whitespace is very long, only its end is returned.
        """
        return self._text.held_whitespace if self._region == "text" else ""

    def feed(self, text: str, *, is_control: bool = False) -> Iterator[Event]:
        """Parse the next piece of output.

        With `is_control`, `text` is the spelling of one control token; a control token that is not a mark is dropped.
        """
        if not is_control:
            self._read(self._held_back + text, is_final=False)
        elif text in self._marks().control_tokens:
            self._flush()
            mark = self._marks().control_tokens.get(text)
            if mark is not None:
                name, self._held_back = self._held_back.strip(), ""
                self._enter_region(mark, name)
        return self._release()

    def finish(self, *, is_truncated: bool = False) -> Iterator[Event]:
        """Return the last events, at the end of the output.

        An incomplete mark counts as text, and a call without arguments gets "{}". With `is_truncated`, which means that
        the token limit ended the output, an incomplete mark is dropped and missing arguments stay missing.
        """
        if is_truncated and self._region != "name" and not self._in_string:
            self._held_back = ""
        self._flush()
        if not is_truncated:
            self._end_region()
        self._region, self._held_back = "end", ""
        return self._release()

    def _release(self) -> Iterator[Event]:
        events, self._events = self._events, []
        return iter(events)

    def _marks(self) -> _Marks:
        if self._region not in self._marks_by_region:
            marks = self._format.marks.get(self._region, ())
            self._marks_by_region[self._region] = _Marks(marks, has_strings=self._region == "args")
        return self._marks_by_region[self._region]

    def _flush(self) -> None:
        """Parse the held-back text, because no ordinary text follows it.

        Only text that may be a name stays held back.
        """
        self._read(self._held_back, is_final=True)
        if self._region == "name" and self._held_back and not _NAME.fullmatch(self._held_back):
            self._region = "text"
            self._read(self._held_back, is_final=True)

    def _read(self, text: str, *, is_final: bool) -> None:
        at, can_continue = 0, True
        while can_continue and at < len(text):
            read = self._read_name_region if self._region == "name" else self._read_shown_region
            at, can_continue = read(text, at, is_final)
        self._held_back = text[at:]

    def _read_shown_region(self, text: str, at: int, is_final: bool) -> tuple[int, bool]:
        """Emit the text before the next mark.

        Return the index to continue at, and whether parsing can continue before more text arrives.
        """
        end, after, mark = self._find(text, at, is_final)
        self._emit(text[at:end])
        if mark is not None:
            self._enter_region(mark)
        return after, mark is not None

    def _read_name_region(self, text: str, at: int, is_final: bool) -> tuple[int, bool]:
        """Do what `_read_shown_region` does, but emit nothing until the mark that ends the name is complete."""
        at = _end_of(_SPACE, text, at)
        within = text[at : at + 2 * _MAX_NAME_LENGTH]
        end, after, mark = self._find(within, 0, is_final)
        name = within[:end]
        if end > _MAX_NAME_LENGTH or (mark is not None and not _NAME.fullmatch(name)):
            self._region = "text"
            return at, True
        if mark is None:
            return at, False
        self._enter_region(mark, name.strip())
        return at + after, True

    def _find(self, text: str, at: int, is_final: bool) -> tuple[int, int, Mark | None]:
        """Return the start and end index of the next mark, and the mark.

        Without a mark, both indices are the end of the text that cannot be part of one.
        """
        marks = self._marks()
        while True:
            if self._in_string:
                at = _end_of(_STRING_REST, text, at)
                if not text.startswith('"', at):
                    at = len(text) if is_final else at  # an incomplete escape is held back
                    return at, at, None
                self._in_string, at = False, at + 1
            at = marks.finder.next_candidate(text, at)
            if marks.has_strings and text.startswith('"', at):
                self._in_string, at = True, at + 1
                continue
            end, may_be_longer = marks.finder.longest_mark(text, at)
            if at == len(text) or (may_be_longer and not is_final):
                return at, at, None
            mark = marks.strings.get(text[at:end])
            if mark is not None:
                return at, end, mark
            at += 1

    def _emit(self, text: str) -> None:
        if self._region == "text" and (shown := self._text.push(text)):
            self._events.append(TextDelta(shown))
        if self._region in ("args", "code") and (shown := self._arguments.push(text)):
            self._events.append(ArgsDelta(shown))

    def _enter_region(self, mark: Mark, name: str = "") -> None:
        """Enter the region after `mark`. `name` is the text of the name region that `mark` ends."""
        self._end_region()
        if mark.name is None and self._region != "name":
            self._region = mark.next
            return
        name = name if mark.name is None else mark.name
        if name == self._format.text_recipient:
            self._region = "text"
            return
        self._region = "code" if name in self._format.code_names else "args"
        self._arguments = Trimmer()
        self._events.append(CallStart(name))

    def _end_region(self) -> None:
        if self._region == "args" and not self._arguments.has_text:
            self._events.append(ArgsDelta("{}"))
        self._in_string = False


class _Marks:
    """The marks that end one region, separated into control tokens and ordinary text."""

    def __init__(self, marks: Sequence[Mark], *, has_strings: bool) -> None:
        self.has_strings = has_strings
        self.control_tokens = {mark.text: mark for mark in marks if mark.is_control}
        self.strings = {mark.text: mark for mark in marks if not mark.is_control}
        self.finder = MarkFinder(self.strings, skips_strings=has_strings)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the end index of the match at `at`.

    `pattern` matches at every index, since it also matches the empty string.
    """
    found = pattern.match(text, at)
    return found.end() if found else at
