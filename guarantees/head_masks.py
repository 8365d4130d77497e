"""Masks for the tokens near the heads of calls: no token may open a call that is not allowed."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.turn_format import Mark, TurnFormat
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
        self._format = turn_format
        self._names = self._region_names()
        # No opening refers to these masks: the grammars that they keep are freed at once when the masks are dropped.
        self._openings: dict[tuple[str, str], _Openings] = {}
        self._ids: dict[tuple[str, str, str], NDArray[np.int64]] = {}
        for name in self._format.regions:
            self.mask(name, "")  # the most expensive masks, computed here because this is not the engine's thread

    def is_callable(self, name: str) -> bool:
        """Return whether `name` is a function that may be called, or the text recipient."""
        return name in self._callable

    def mask(self, region: str, text: str, pending: str = "") -> Mask | None:
        """Return which tokens may come next, as booleans of shape (vocab_size,); None for all.

        `text` is the end of what the region named `region` holds so far; for a name all of it. `pending` is the name of
        the call whose arguments come next, if it is known.
        """
        if (rule := self._rule(region, text, pending)) is None:
            return None
        ids, are_allowed = rule
        mask = np.full(self._vocabulary.size, not are_allowed)
        mask[ids] = are_allowed
        return mask

    def allows(self, token_id: int, region: str, text: str, pending: str = "") -> bool:
        """Return whether `mask` has this token, without computing the others."""
        if (rule := self._rule(region, text, pending)) is None:
            return True
        ids, are_allowed = rule
        at = int(ids.searchsorted(token_id))
        return (at < len(ids) and int(ids[at]) == token_id) == are_allowed

    def _rule(self, region: str, text: str, pending: str) -> tuple[NDArray[np.int64], bool] | None:
        """Return sorted ids, and whether they are the only tokens that may come next or those that may not.

        None if all tokens may come next.
        """
        if region not in self._format.regions:
            return None
        is_name = self._format.region(region).kind == "name"
        if is_name and not _BEGINS_NAME.match(text):
            return None  # such a text cannot become a name, so it will be shown
        beginning = text if is_name else self._beginning_of_head(region, text, pending)
        key = (region, beginning, pending)
        if key not in self._ids:
            if len(self._ids) >= _MAX_KEPT:
                self._ids.clear()
            found = self._allowed_ids(region, beginning) if is_name else self._banned_ids(*key)
            self._ids[key] = np.array(sorted(found), dtype=np.int64)
        ids = self._ids[key]
        return (ids, is_name) if is_name or len(ids) else None

    def _region_names(self) -> frozenset[str]:
        """Return the names of the regions that hold a name."""
        return frozenset(name for name, region in self._format.regions.items() if region.kind == "name")

    def _openings_of(self, region: str, pending: str = "") -> _Openings:
        """Return the openings of a region. `pending` is the name of the call whose arguments come next, if known."""
        key = (region, pending)
        if key not in self._openings:
            marks = self._format.region(region).marks
            found = self._name_openings(marks) if region in self._names else self._other_openings(marks, pending)
            self._openings[key] = _Openings(found)
        return self._openings[key]

    def _name_openings(self, marks: Sequence[Mark]) -> Iterator[_Opening]:
        """Yield the callable names with what ends them: a mark, or whitespace before a control token."""
        ends: list[tuple[str, bool]] = []
        for mark in (mark for mark in marks if mark.name is None):  # the others open a call of their own
            begins_arguments = self._format.region(mark.next).kind == "args"
            ends += [(" ", False), ("\n", False)] if mark.is_control else [(mark.text, begins_arguments)]
        for name in self._callable:
            for end, begins_arguments in dict.fromkeys(ends):
                may_begin = self._may_begin_arguments(name) if begins_arguments else _always
                yield _Opening(name + end, _is_empty if end.isspace() and not begins_arguments else may_begin)

    def _other_openings(self, marks: Sequence[Mark], pending: str) -> Iterator[_Opening]:
        """Yield the openings of a region in which a mark opens a call, if what follows them is limited."""
        for mark in marks:
            if mark.is_control:
                continue
            kind = self._format.region(mark.next).kind
            name = pending if mark.name is None and kind == "args" else mark.name
            if name:
                if name in self._constrained or not self.is_callable(name):
                    yield _Opening(mark.text, self._may_begin_arguments(name))
            elif (kind == "args" and self._constrained) or (not self._callable and self._format.opens_call(mark)):
                yield _Opening(mark.text, _never)  # arguments before their name cannot be bound by its schema
            elif kind == "name":
                yield _Opening(mark.text, self._openings_of(mark.next).may_begin_name)

    def _may_begin_arguments(self, name: str) -> MayBegin:
        if not self.is_callable(name):
            return _never
        return partial(_fits, self._constrained[name]) if name in self._constrained else _always

    def _beginning_of_head(self, region: str, text: str, pending: str) -> str:
        """Return the longest end of `text` that begins a head; empty if there is none."""
        openings = self._openings_of(region, pending)
        first_characters = openings.first_characters
        if first_characters.isdisjoint(text):
            return ""
        starts = (at for at, char in enumerate(text) if char in first_characters)
        return next((text[at:] for at in starts if openings.after(text[at:])), "")

    def _allowed_ids(self, region: str, written: str) -> set[int]:
        """Return the tokens that continue a callable name of which `written` is the beginning."""
        beginning = written.lstrip()
        parts: set[bytes] = set()
        allowed: set[int] = set()
        for opening in self._openings_of(region).after(beginning):
            missing = opening.head[len(beginning) :].encode()
            parts.update(missing[:end] for end in range(1, len(missing) + 1))
            tokens = self._vocabulary.tokens_starting_with(missing)
            allowed.update(token_id for rest, token_id in tokens if opening.may_begin(rest))
        if not written:  # SentencePiece adds a space after a control token
            parts |= {b" " + part for part in parts} | {b" "}
        if written.strip() in self._callable:
            for mark in self._format.region(region).marks:
                ends_name = mark.is_control and mark.name is None
                allowed.update(self._vocabulary.control_ids(mark.text) if ends_name else ())
        return allowed.union(*map(self._vocabulary.ids_of, parts))

    def _banned_ids(self, region: str, beginning: str, pending: str) -> set[int]:
        """Return the tokens that open a call that is not allowed, or begin forbidden arguments or a forbidden name.

        A head may have begun at each place in `beginning`, or begins with the next token.
        """
        banned: set[int] = set()
        for at in range(len(beginning) + 1):
            for opening in self._openings_of(region, pending).after(beginning[at:]):
                missing = opening.head[len(beginning) - at :].encode()
                tokens = self._vocabulary.tokens_starting_with(missing)
                banned.update(token_id for rest, token_id in tokens if not opening.may_begin(rest))
        for mark in self._format.region(region).marks:
            is_forbidden = not self._callable if mark.name is None else not self.is_callable(mark.name)
            if mark.is_control and is_forbidden and self._format.opens_call(mark):
                banned.update(self._vocabulary.control_ids(mark.text))
        return banned


def _never(_: bytes) -> bool:
    return False


def _is_empty(rest: bytes) -> bool:
    return not rest.strip()


def _always(_: bytes) -> bool:
    return True


def _fits(may_begin: MayBegin, rest: bytes) -> bool:
    return not rest or may_begin(rest)
