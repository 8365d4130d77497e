"""Masks for the tokens near the heads of calls: no token may open a call that is not allowed."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.turn_format import Mark, Region, TurnFormat
from text.vocabulary import Vocabulary

Mask = NDArray[np.bool_]
MayBegin = Callable[[bytes], bool]

_MAX_KEPT = 4096  # ids of masks that are kept: one for each beginning of a head that was written
_BEGINS_NAME = re.compile(r"\s*(?:[A-Za-z0-9_.-]|$)")
_AFTER_ALL = "\U0010ffff"  # sorts after every character of a head


@dataclass(frozen=True)
class _Opening:
    """A head that opens a call or a name. `may_begin`: whether what follows the head may begin with the given bytes."""

    head: str
    may_begin: MayBegin


class _Openings:
    """The openings of one region, sorted by their heads."""

    def __init__(self, openings: Iterable[_Opening]) -> None:
        self._sorted = sorted(openings, key=lambda opening: opening.head)
        self._heads = [opening.head for opening in self._sorted]
        self.first_characters = frozenset(head[0] for head in self._heads)

    def after(self, beginning: str) -> Sequence[_Opening]:
        """Return the openings whose head begins with `beginning` and is longer."""
        start, end = bisect_right(self._heads, beginning), bisect_left(self._heads, beginning + _AFTER_ALL)
        return self._sorted[start:end]

    def may_begin_name(self, rest: bytes) -> bool:
        """Return whether `rest` begins one of these names, or cannot begin any name and so is text."""
        text = rest.decode("utf-8", "replace")
        if not rest or not _BEGINS_NAME.match(text):
            return True
        name = text.lstrip()
        if any(self.after(name)):
            return True
        return any(
            name.startswith(opening.head) and opening.may_begin(name[len(opening.head) :].encode())
            for opening in self._sorted
        )


class HeadMasks:
    """The masks for one list of functions. All requests with this list share them."""

    def __init__(
        self,
        turn_format: TurnFormat,
        vocabulary: Vocabulary,
        *,
        recipients: frozenset[str],
        constrained: Mapping[str, MayBegin],
    ) -> None:
        """`recipients` are the functions that may be called.

        `constrained` maps each function with constrained arguments to a test: whether the rest of a call, after its
        head, may begin with the given bytes.
        """
        text_recipient = turn_format.text_recipient
        self._callable = recipients if text_recipient is None else recipients | {text_recipient}
        self._constrained = constrained
        self._vocabulary = vocabulary
        self._marks = turn_format.marks
        # No opening refers to these masks: the grammars that they keep are freed at once when the masks are dropped.
        names = _Openings(self._names(self._marks.get("name", ())))
        self._openings = {
            region: names if region == "name" else _Openings(self._other_openings(marks, names))
            for region, marks in self._marks.items()
        }
        self._ids: dict[tuple[Region, str], NDArray[np.int64]] = {}
        for region in self._marks:
            self.mask(region, "")  # the most expensive masks, computed here because this is not the engine's thread

    def is_callable(self, name: str) -> bool:
        """Return whether `name` is a function that may be called, or the text recipient."""
        return name in self._callable

    def mask(self, region: Region, text: str) -> Mask | None:
        """Return which tokens may come next, as booleans of shape (vocab_size,); None for all.

        `text` is the end of what the region holds so far; for a name all of it.
        """
        if region not in self._openings:
            return None
        is_name = region == "name"
        if is_name and not _BEGINS_NAME.match(text):
            return None  # such a text cannot become a name, so it will be shown
        beginning = text if is_name else self._beginning_of_head(region, text)
        if (region, beginning) not in self._ids:
            if len(self._ids) >= _MAX_KEPT:
                self._ids.clear()
            found = self._allowed_ids(beginning) if is_name else self._banned_ids(region, beginning)
            self._ids[region, beginning] = np.array(sorted(found), dtype=np.int64)
        ids = self._ids[region, beginning]
        if not is_name and not len(ids):
            return None
        mask = np.full(self._vocabulary.size, not is_name)
        mask[ids] = is_name
        return mask

    def _names(self, marks: Sequence[Mark]) -> Iterator[_Opening]:
        ends = [mark.text for mark in marks if not mark.is_control]
        for name in self._callable:
            yield from (_Opening(name + end, self._may_begin_arguments(name)) for end in ends)

    def _other_openings(self, marks: Sequence[Mark], names: _Openings) -> Iterator[_Opening]:
        """Yield the openings of a region in which a mark opens a call, if what follows them is limited."""
        for mark in marks:
            if mark.is_control:
                continue
            if mark.name is not None and (mark.name in self._constrained or not self.is_callable(mark.name)):
                yield _Opening(mark.text, self._may_begin_arguments(mark.name))
            elif mark.name is None and mark.next == "name":
                yield _Opening(mark.text, names.may_begin_name if self._callable else _never)

    def _may_begin_arguments(self, name: str) -> MayBegin:
        if not self.is_callable(name):
            return _never
        return partial(_fits, self._constrained[name]) if name in self._constrained else _always

    def _beginning_of_head(self, region: Region, text: str) -> str:
        """Return the longest end of `text` that begins a head; empty if there is none."""
        openings = self._openings[region]
        first_characters = openings.first_characters
        if first_characters.isdisjoint(text):
            return ""
        starts = (at for at, char in enumerate(text) if char in first_characters)
        return next((text[at:] for at in starts if openings.after(text[at:])), "")

    def _allowed_ids(self, written: str) -> set[int]:
        """Return the tokens that continue a callable name of which `written` is the beginning."""
        beginning = written.lstrip()
        parts: set[bytes] = set()
        allowed: set[int] = set()
        for opening in self._openings["name"].after(beginning):
            missing = opening.head[len(beginning) :].encode()
            parts.update(missing[:end] for end in range(1, len(missing) + 1))
            tokens = self._vocabulary.tokens_starting_with(missing)
            allowed.update(token_id for rest, token_id in tokens if opening.may_begin(rest))
        if not written:  # SentencePiece adds a space after a control token
            parts |= {b" " + part for part in parts} | {b" "}
        return allowed.union(*map(self._vocabulary.ids_of, parts))

    def _banned_ids(self, region: Region, beginning: str) -> set[int]:
        """Return the tokens that open a call that is not allowed, or begin forbidden arguments or a forbidden name.

        A head may have begun at each place in `beginning`, or begins with the next token.
        """
        banned: set[int] = set()
        for at in range(len(beginning) + 1):
            for opening in self._openings[region].after(beginning[at:]):
                missing = opening.head[len(beginning) - at :].encode()
                tokens = self._vocabulary.tokens_starting_with(missing)
                banned.update(token_id for rest, token_id in tokens if not opening.may_begin(rest))
        for mark in self._marks[region]:
            opens_forbidden = not self._callable if mark.name is None else not self.is_callable(mark.name)
            if mark.is_control and opens_forbidden and (mark.name is not None or mark.next == "name"):
                banned.update(self._vocabulary.control_ids(mark.text))
        return banned


def _never(_: bytes) -> bool:
    return False


def _always(_: bytes) -> bool:
    return True


def _fits(may_begin: MayBegin, rest: bytes) -> bool:
    return not rest or may_begin(rest)
