"""Text as it arrives -> message events; one machine for all formats, and a format is data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.turn_format import ArgsDelta, CallStart, Event, Mark, Region, TextDelta, TurnFormat
from text.marks import STRING_REST, MarkFinder
from text.trim import Trim

_NAME = re.compile(r"\s*[A-Za-z0-9_.-]{1,64}\s*")  # no function of a request can have another
_SPACE = re.compile(r"\s*")
_NAME_REACH = 80  # characters of a name and the whitespace behind it: an endless "name" must be shown at last
_STRING_REST = re.compile(STRING_REST, re.DOTALL)


class OutputParser:
    """Feed it the output in any pieces; the events, joined, are always the same. Never raises on any output.

    The text of a turn is stripped at its ends, and so are the arguments of each call; between two parts of the text
    whitespace stays. A name cut off before its mark is neither call nor text.
    """

    def __init__(self, turn_format: TurnFormat) -> None:
        self._format = turn_format
        self._region: Region = turn_format.start
        self._known: dict[Region, _Marks] = {}
        self._held = ""  # read but not yet understood; never longer than a mark or a name
        self._in_string = False
        self._text = Trim()
        self._arguments = Trim()
        self._events: list[Event] = []

    @property
    def region(self) -> Region:
        """Where the next character stands, as far as is known."""
        return self._region

    @property
    def blanks(self) -> str:
        """Whitespace behind the text so far, which is not shown before something follows it; its last part if long."""
        return self._text.waiting if self._region == "text" else ""

    def feed(self, text: str, *, special: bool = False) -> Iterator[Event]:
        """Read on. `special`: `text` is the spelling of one control token; one that is no mark is dropped."""
        if not special:
            self._read(self._held + text, final=False)
        elif text in self._marks().special:
            self._settle()
            mark = self._marks().special.get(text)
            if mark is not None:
                name, self._held = self._held.strip(), ""
                self._enter(mark, name)
        return self._release()

    def finish(self, *, cut: bool = False) -> Iterator[Event]:
        """Release what was held back: a half-written mark was text after all. A call that ended without arguments
        gets "{}". `cut`: the token limit ended the output, so that a half-written mark was one, and is dropped."""
        if cut and self._region != "name" and not self._in_string:
            self._held = ""
        self._settle()
        if not cut:
            self._close()
        self._region, self._held = "end", ""
        return self._release()

    def _release(self) -> Iterator[Event]:
        events, self._events = self._events, []
        return iter(events)

    def _marks(self) -> _Marks:
        if self._region not in self._known:
            self._known[self._region] = _Marks(self._format.marks.get(self._region, ()), self._region == "args")
        return self._known[self._region]

    def _settle(self) -> None:
        """No more of this stretch will come: afterwards only what may be a name is still held."""
        self._read(self._held, final=True)
        if self._region == "name" and self._held and not _NAME.fullmatch(self._held):
            self._region = "text"
            self._read(self._held, final=True)

    def _read(self, text: str, *, final: bool) -> None:
        at, goes_on = 0, True
        while goes_on and at < len(text):
            read = self._read_name if self._region == "name" else self._read_shown
            at, goes_on = read(text, at, final)
        self._held = text[at:]

    def _read_shown(self, text: str, at: int, final: bool) -> tuple[int, bool]:
        """Show all up to the next mark. Returns where to read on, and whether that can be done now."""
        end, after, mark = self._find(text, at, final)
        self._show(text[at:end])
        if mark is not None:
            self._enter(mark)
        return after, mark is not None

    def _read_name(self, text: str, at: int, final: bool) -> tuple[int, bool]:
        """Like `_read_shown`, but a name is held back until its mark has come."""
        at = _end_of(_SPACE, text, at)
        within = text[at : at + 2 * _NAME_REACH]
        end, after, mark = self._find(within, 0, final)
        name = within[:end]
        if end > _NAME_REACH or (mark is not None and not _NAME.fullmatch(name)):
            self._region = "text"
            return at, True
        if mark is None:
            return at, False
        self._enter(mark, name.strip())
        return at + after, True

    def _find(self, text: str, at: int, final: bool) -> tuple[int, int, Mark | None]:
        """The next mark: where it begins, where it ends. Without one, both are where all that is sure ends."""
        marks = self._marks()
        while True:
            if self._in_string:
                at = _end_of(_STRING_REST, text, at)
                if not text.startswith('"', at):
                    at = len(text) if final else at  # else half an escape is held back
                    return at, at, None
                self._in_string, at = False, at + 1
            at = marks.finder.candidate(text, at)
            if marks.has_strings and text.startswith('"', at):
                self._in_string, at = True, at + 1
                continue
            end, is_open = marks.finder.longest(text, at)
            if at == len(text) or (is_open and not final):
                return at, at, None
            mark = marks.ordinary.get(text[at:end])
            if mark is not None:
                return at, end, mark
            at += 1

    def _show(self, text: str) -> None:
        if self._region == "text" and (shown := self._text.push(text)):
            self._events.append(TextDelta(shown))
        if self._region in ("args", "code") and (shown := self._arguments.push(text)):
            self._events.append(ArgsDelta(shown))

    def _enter(self, mark: Mark, name: str = "") -> None:
        """Go where `mark` leads; `name` is what stood before it in a name region."""
        self._close()
        if mark.name is None and self._region != "name":
            self._region = mark.next
            return
        name = name if mark.name is None else mark.name
        if name == self._format.text_recipient:
            self._region = "text"
            return
        self._region = "code" if name in self._format.code_names else "args"
        self._arguments = Trim()
        self._events.append(CallStart(name))

    def _close(self) -> None:
        if self._region == "args" and not self._arguments.has_begun:
            self._events.append(ArgsDelta("{}"))
        self._in_string = False


class _Marks:
    """The marks of one region, sorted for reading."""

    def __init__(self, marks: Sequence[Mark], has_strings: bool) -> None:
        self.has_strings = has_strings
        self.special = {mark.text: mark for mark in marks if mark.special}
        self.ordinary = {mark.text: mark for mark in marks if not mark.special}
        self.finder = MarkFinder(self.ordinary, skips_strings=has_strings)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a pattern that matches everywhere, if only nothing, ends."""
    found = pattern.match(text, at)
    return found.end() if found else at
