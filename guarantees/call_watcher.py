"""Reads along while the model decides, and knows which tokens would open a call that must not be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import EngineError
from core.turn_format import CallStart, Region, TurnFormat
from text.turn_reader import TurnReader
from text.vocabulary import Vocabulary

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Opened:
    """A bound call that has just opened, and what its last token holds of the text behind the opening."""

    name: str
    rest: bytes


class CallWatcher:
    """Follows one turn from its start. Where no call is about to open, it binds nothing.

    A token may complete the head of a bound call and go on into its arguments. It is masked unless the call's grammar
    takes the rest. Heads spelled in unforeseen ways are not masked: whoever continues with `Opened.rest` fails.
    """

    def __init__(
        self,
        turn_format: TurnFormat,
        vocabulary: Vocabulary,
        *,
        recipients: frozenset[str] | None,
        bound: Mapping[str, Callable[[bytes], bool]],
    ) -> None:
        """`bound` tells of each function with bound arguments whether they, or what is before them, may begin so."""
        self._marks = turn_format.marks
        self._vocabulary = vocabulary
        self._bound = bound
        self._reader = TurnReader(turn_format, vocabulary)
        self._banned: dict[tuple[str, str], list[int]] = {}
        self._idle: dict[Region, Mask | None] = {}  # by region, for as long as nothing looks like a head
        to_user = {turn_format.text_recipient} if turn_format.text_recipient is not None else set()
        self._recipients = None if recipients is None else recipients | to_user

    def mask(self) -> Mask | None:
        """Which tokens may come next, (vocab_size,), not to be written to; None for all."""
        region = self._reader.region
        if region == "name" and self._recipients is not None:
            return self._mask_of_names(self._recipients)
        if self._has_begun_head():
            return self._mask_without(self._banned_ids())
        if region not in self._idle:
            self._idle[region] = self._mask_without(self._banned_ids())
        return self._idle[region]

    def _mask_without(self, banned: list[int]) -> Mask | None:
        if not banned:
            return None
        allowed = np.ones(self._vocabulary.size, dtype=np.bool_)
        allowed[banned] = False
        return allowed

    def read(self, token_id: int) -> Opened | None:
        """Follow one more token; the bound call that it opens. Raises EngineError for a call that is not allowed."""
        opened = None
        for event in self._reader.read(token_id):
            if not isinstance(event, CallStart):
                continue
            if self._is_forbidden(event.name):
                raise EngineError(f"the model called {event.name[:64]!r}, which the request does not allow")
            if event.name in self._bound:
                opened = Opened(event.name, self._reader.unread)
        return opened

    def _is_forbidden(self, name: str) -> bool:
        return self._recipients is not None and name not in self._recipients

    def _heads(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """(name, head) of the calls that may open in this region; where a name stands first, of calls of `names`."""
        for mark in self._marks.get(self._reader.region, ()):
            if mark.special:
                continue
            if self._reader.region == "name":
                yield from ((name, name + mark.text) for name in names)
            elif mark.name is not None:
                yield mark.name, mark.text

    def _left(self, head: str) -> Iterator[str]:
        """What is missing of `head`: once where a name stands, else for each place where it may have begun."""
        if self._reader.region == "name":
            begun = self._reader.since.lstrip()
            if head.startswith(begun):
                yield head[len(begun) :]
            return
        yield head
        tail = self._reader.since[1 - len(head) :]
        at = tail.find(head[0])
        while at >= 0:
            if head.startswith(tail[at:]):
                yield head[len(tail) - at :]
            at = tail.find(head[0], at + 1)

    def _has_begun_head(self) -> bool:
        if self._reader.region == "name":
            return bool(self._reader.since)
        return any(mark.text[0] in self._reader.since for mark in self._marks.get(self._reader.region, ()) if mark.name)

    def _banned_ids(self) -> list[int]:
        """Tokens that open a forbidden call, or a bound one with arguments that cannot begin so."""
        banned = [
            token_id
            for name, head in self._heads(self._bound)
            if name in self._bound or self._is_forbidden(name)
            for left in self._left(head)
            for token_id in self._banned_by(name, left)
        ]
        for mark in self._marks.get(self._reader.region, ()):
            if mark.special and mark.name is not None and self._is_forbidden(mark.name):
                banned += self._vocabulary.control_ids(mark.text)
        return banned

    def _banned_by(self, name: str, left: str) -> list[int]:
        if (name, left) not in self._banned:
            self._banned[name, left] = [
                token_id
                for rest, token_id in self._vocabulary.starting_with(left.encode())
                if self._is_forbidden(name) or not self._may_follow(name, rest)
            ]
        return self._banned[name, left]

    def _may_follow(self, name: str, rest: bytes) -> bool:
        return not rest or name not in self._bound or self._bound[name](rest)

    def _mask_of_names(self, recipients: frozenset[str]) -> Mask:
        """Only tokens that lead to one of `recipients`."""
        allowed = np.zeros(self._vocabulary.size, dtype=np.bool_)
        for name, head in self._heads(recipients):
            for left in self._left(head):
                allowed[list(self._vocabulary.spelling(left.encode()))] = True
                if not self._reader.since:  # SentencePiece's space after a control token
                    allowed[list(self._vocabulary.spelling(b" " + left.encode()))] = True
                for rest, token_id in self._vocabulary.starting_with(left.encode()):
                    allowed[token_id] |= self._may_follow(name, rest)
        return allowed
