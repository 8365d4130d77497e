"""Split the output of a model into events: reasoning, text, and calls. One parser for all turn formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from core.turn_format import (
    ArgsDelta,
    CallStart,
    Event,
    Mark,
    ReasoningDelta,
    Region,
    RegionKind,
    TextDelta,
    TurnFormat,
)
from text.json_string import JsonStringDecoder
from text.marks import STRING_REST, MarkFinder
from text.tagged_arguments import PARAMETER, TaggedArguments
from text.trim import Trimmer

_NAME = re.compile(r"\s*[A-Za-z0-9_.-]{1,64}\s*")  # the names that a request may declare
_SPACE = re.compile(r"\s*")
_MAX_NAME_LENGTH = 80  # characters, with the whitespace after the name; a longer "name" is text
_MAX_HEAD_LENGTH = 400  # characters of one region of a head; a longer "head" is text
_MAX_SHARED_MARKS = 16
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
        self._region_by_name: dict[str, _Region] = {}
        self._region = self._prepared(turn_format.start)
        self._held_back = ""  # text that may still become a mark or a name
        self._head = ""  # what was read of the head of a call, which is text if no call follows
        self._name = ""  # the name of the call that is about to open
        self._early_arguments: list[str] | None = None  # the arguments of a call whose name comes later
        self._in_string = False
        self._depth = 0  # open brackets in arguments that end with their JSON value
        self._text = Trimmer()
        self._reasoning = Trimmer()
        self._arguments = Trimmer()
        self._string = JsonStringDecoder()
        self._tagged = TaggedArguments({})
        self._events: list[Event] = []

    @property
    def region(self) -> RegionKind:
        """The kind of the region of the next character. Held-back text may still change it."""
        return self._region.kind

    @property
    def region_name(self) -> str:
        """The name of the region of the next character."""
        return self._region.name

    @property
    def pending_name(self) -> str:
        """The name of the call whose arguments come next; empty if none."""
        return self._name

    @property
    def is_in_string(self) -> bool:
        """Whether the next character is in a string or parameter of arguments, where only control tokens are marks."""
        return self._in_string or self._tagged.is_in_parameter

    @property
    def trailing_whitespace(self) -> str:
        """The whitespace at the end of the text, which is held back until more text follows.

        If the whitespace is very long, only its end is returned.
        """
        return self._text.held_whitespace if self._region.kind == "text" else ""

    def feed(self, text: str, *, is_control: bool = False) -> Iterator[Event]:
        """Parse the next piece of output.

        With `is_control`, `text` is the spelling of one control token; a control token that is not a mark is dropped.
        """
        if not is_control:
            self._read(self._held_back + text, is_final=False)
        elif self._region.kind == "head" or text in self._region.control_tokens:
            self._flush()
            mark = self._region.control_tokens.get(text)
            if mark is not None:
                held_back, self._held_back = self._held_back, ""
                self._enter_region(mark, held_back)
        return self._release()

    def finish(self, *, is_truncated: bool = False) -> Iterator[Event]:
        """Return the last events, at the end of the output.

        An incomplete mark counts as text, and a call without arguments gets "{}". With `is_truncated`, which means that
        the token limit ended the output, an incomplete mark is dropped and missing arguments stay missing.
        """
        if is_truncated and self._region.kind != "name" and not self._in_string:
            self._held_back = ""
        self._flush(is_end=not is_truncated)
        if not is_truncated:
            self._end_region()
        self._region, self._held_back = self._prepared("end"), ""
        return self._release()

    def _release(self) -> Iterator[Event]:
        events, self._events = self._events, []
        return iter(events)

    def _prepared(self, name: str) -> _Region:
        if name not in self._region_by_name:
            self._region_by_name[name] = _region(name, self._format.region(name))
        return self._region_by_name[name]

    def _flush(self, *, is_end: bool = False) -> None:
        """Parse the held-back text, because no ordinary text follows it.

        Only text that may be a name stays held back.
        """
        self._read(self._held_back, is_final=True)
        kind, held_back = self._region.kind, self._held_back
        is_no_name = kind == "name" and held_back and not _NAME.fullmatch(held_back)
        is_no_head = kind == "head" and (held_back.strip() or (is_end and self._head))
        if is_no_name or is_no_head:
            self._become_text()
            self._read(held_back, is_final=True)

    def _read(self, text: str, *, is_final: bool) -> None:
        at, can_continue = 0, True
        while can_continue and at < len(text):
            if self._region.kind == "name":
                at, can_continue = self._read_name(text, at, is_final)
            elif self._region.kind == "head":
                at, can_continue = self._read_head(text, at, is_final)
            elif self._tagged.is_in_parameter:
                shown, at = self._tagged.read(text, at, is_final=is_final)
                self._push_arguments(shown)
                can_continue = not self._tagged.is_in_parameter
            else:
                at, can_continue = self._read_shown(text, at, is_final)
        self._held_back = text[at:]

    def _read_shown(self, text: str, at: int, is_final: bool) -> tuple[int, bool]:
        """Emit the text before the next mark.

        Return the index to continue at, and whether parsing can continue before more text arrives.
        """
        end, after, mark = self._find(text, at, is_final)
        if not self._region.is_tagged:
            self._emit(text[at:end])
        if mark is _PARAMETER:
            self._tagged.open()
        elif mark is not None:
            self._enter_region(mark)
        return after, mark is not None

    def _read_name(self, text: str, at: int, is_final: bool) -> tuple[int, bool]:
        """Do what `_read_shown` does, but emit nothing until the mark that ends the name is complete."""
        at = _end_of(_SPACE, text, at)
        within = text[at : at + 2 * _MAX_NAME_LENGTH]
        end, after, mark = self._find(within, 0, is_final)
        name = within[:end]
        if end > _MAX_NAME_LENGTH or (mark is not None and not _NAME.fullmatch(name)):
            self._become_text()
            return at, True
        if mark is None:
            return at, False
        self._enter_region(mark, name)
        return at + after, True

    def _read_head(self, text: str, at: int, is_final: bool) -> tuple[int, bool]:
        """Read the part of a call's head up to the next mark. If other characters stand there, all of it is text."""
        region = self._region
        end = _end_of(region.allowed, text, at)
        after, may_be_longer = region.finder.longest_mark(text, end)
        mark = region.strings.get(text[end:after])
        if end - at <= _MAX_HEAD_LENGTH and (end == len(text) or may_be_longer) and not is_final:
            return at, False
        if mark is None or end - at > _MAX_HEAD_LENGTH:
            if end == len(text) and end - at <= _MAX_HEAD_LENGTH:
                return at, False
            self._become_text()
            return at, True
        self._enter_region(mark, text[at:end])
        return after, True

    def _become_text(self) -> None:
        """Continue as text, because no call follows the head that was read so far."""
        head, self._head, self._name, self._early_arguments = self._head, "", "", None
        self._region = self._prepared("text")
        self._emit(head)

    def _find(self, text: str, at: int, is_final: bool) -> tuple[int, int, Mark | None]:
        """Return the start and end index of the next mark, and the mark.

        Without a mark, both indices are the end of the text that cannot be part of one.
        """
        region = self._region
        if region.is_string:
            end = _end_of(_STRING_REST, text, at)
            quote = region.strings.get('"') if text.startswith('"', end) else None
            end = len(text) if is_final and not quote else end
            return end, end + bool(quote), quote
        while True:
            if self._in_string:
                at = _end_of(_STRING_REST, text, at)
                if not text.startswith('"', at):
                    at = len(text) if is_final else at  # an incomplete escape is held back
                    return at, at, None
                self._in_string, at = False, at + 1
            if region.brackets is not None:
                at, is_value_end = self._count_brackets(text, at, region.brackets)
                if is_value_end:
                    return at, at, region.value_end
            at = region.finder.next_candidate(text, at)
            if region.has_strings and text.startswith('"', at):
                self._in_string, at = True, at + 1
                continue
            end, may_be_longer = region.finder.longest_mark(text, at)
            if at == len(text) or (may_be_longer and not is_final):
                return at, at, None
            mark = region.strings.get(text[at:end])
            if mark is not None and mark is not _BRACKET:
                return at, end, mark
            at, is_value_end = self._count_run(text, at, at + 1) if mark else (at + 1, False)
            if is_value_end:
                return at, at, region.value_end

    def _count_brackets(self, text: str, at: int, brackets: re.Pattern[str]) -> tuple[int, bool]:
        """Read text up to the end of the JSON value, or up to what may be a mark or an incomplete string.

        Return the index after it, and whether the value has ended.
        """
        while found := brackets.match(text, at):
            at, is_value_end = self._count_run(text, found.start(1), found.end(1))
            if is_value_end:
                return at, True
        return at, False

    def _count_run(self, text: str, start: int, end: int) -> tuple[int, bool]:
        """Count a run of opening or of closing brackets. Return the index after it, and whether the value has ended."""
        if text[start] in "[{":
            self._depth += end - start
            return end, False
        if end - start >= self._depth:  # at depth 0 the bracket belongs to what is around the value
            end, self._depth = start + self._depth, 0
            return end, True
        self._depth -= end - start
        return end, False

    def _emit(self, text: str) -> None:
        match self._region.kind:
            case "text":
                if shown := self._text.push(text):
                    self._events.append(TextDelta(shown))
            case "reasoning":
                if shown := self._reasoning.push(text):
                    self._events.append(ReasoningDelta(shown))
            case "args" | "code":
                self._push_arguments(self._string.push(text) if self._region.is_string else text)

    def _push_arguments(self, text: str) -> None:
        if shown := self._arguments.push(text):
            self._emit_arguments(shown)

    def _emit_arguments(self, text: str) -> None:
        if self._early_arguments is None:
            self._events.append(ArgsDelta(text))
        else:
            self._early_arguments.append(text)

    def _enter_region(self, mark: Mark, before: str = "") -> None:
        """Enter the region after `mark`. `before` is what the region held back: a name, or whitespace of a head."""
        self._end_region()
        left, target = self._region, mark.next
        name = mark.name if mark.name is not None or left.kind != "name" else before.strip()
        if name is not None and name == self._format.text_recipient:
            target = "text"
        elif name is not None:
            self._name = name
            if self._early_arguments is not None and self._format.region("args").after_value:
                target = self._open_early_call()
            self._early_arguments = None  # arguments that only a mark ended belong to no later name
        if target == "args" and self._name in self._format.code_names:
            target = "code"
        self._region = self._prepared(target)
        if self._region.kind in ("head", "name"):
            is_continued = left.kind in ("head", "name")
            is_shown = is_continued or (left.kind == "text" and not mark.is_control)
            self._head = (self._head + before if is_continued else "") + (mark.text if is_shown else "")
            return
        self._head = ""
        if self._region.kind in ("args", "code"):
            self._open_call()
        elif self._region.kind in ("text", "reasoning"):
            self._name, self._early_arguments = "", None

    def _open_call(self) -> None:
        """Begin the arguments of the call whose name is known, or of a call whose name comes later."""
        self._arguments, self._string, self._depth = Trimmer(), JsonStringDecoder(), 0
        if self._name:
            self._events.append(CallStart(self._name))
            self._tagged = TaggedArguments(self._format.string_parameters.get(self._name, {}))
            self._name = ""
        else:
            self._early_arguments = []

    def _open_early_call(self) -> str:
        """Emit the call whose arguments came before its name. Return the region that follows."""
        self._events.append(CallStart(self._name))
        self._events += [ArgsDelta(text) for text in self._early_arguments or ("{}",)]
        self._name = ""
        return self._format.region("args").after_value

    def _end_region(self) -> None:
        if self._region.is_tagged:
            self._push_arguments(self._tagged.close())
        if self._region.kind == "args" and not self._arguments.has_text:
            self._emit_arguments("{}")
        self._in_string = False


_BRACKET = Mark("", "")  # stands for every bracket that is counted
_PARAMETER = Mark(PARAMETER, "")


class _Region:
    """A region, its marks separated into control tokens and ordinary text."""

    def __init__(self, name: str, region: Region) -> None:
        self.name = name
        self.kind = region.kind
        self.is_string = region.is_string
        self.is_tagged = region.is_tagged
        self.has_strings = region.kind == "args" and not region.is_tagged
        self.allowed = re.compile(f"(?:{region.allowed})*+")
        self.value_end = Mark("", region.after_value) if region.after_value else None
        self.control_tokens = {mark.text: mark for mark in region.marks if mark.is_control}
        self.strings = {mark.text: mark for mark in region.marks if not mark.is_control}
        if region.is_tagged:
            self.strings[PARAMETER] = _PARAMETER
        self.brackets: re.Pattern[str] | None = None
        if self.value_end:
            # Brackets that begin a mark are counted one by one, when it is clear that no mark follows.
            first = "".join({text[0] for text in self.strings} - {'"'})
            flat = rf'"{STRING_REST}"|[^"\[\]{{}}{re.escape(first)}]'
            runs = ["[" + re.escape("".join(sorted(set(kind) - set(first)))) + "]+" for kind in ("[{", "]}")]
            self.brackets = re.compile(rf"(?:{flat})*+({'|'.join(runs)})", re.DOTALL)
            self.strings |= {bracket: _BRACKET for bracket in "[]{}" if bracket not in self.strings}
        self.finder = MarkFinder(self.strings, skips_strings=self.has_strings)


_shared_region = lru_cache(64)(_Region)


def _region(name: str, region: Region) -> _Region:
    """Return a region with its marks separated. All answers share those with few marks; many can take megabytes."""
    return _shared_region(name, region) if len(region.marks) <= _MAX_SHARED_MARKS else _Region(name, region)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the end index of the match at `at`.

    `pattern` matches at every index, since it also matches the empty string.
    """
    found = pattern.match(text, at)
    return found.end() if found else at
