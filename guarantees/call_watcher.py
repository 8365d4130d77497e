"""Follow a turn that may be text or calls, and mask the tokens that would open a call that is not allowed."""

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
class OpenedCall:
    """A constrained call that the last token opened. `rest` holds the bytes of that token after the head."""

    name: str
    rest: bytes


class CallWatcher:
    """Follows one turn from its start. All tokens are allowed except near the opening of a call.

    A token may complete the head of a constrained call and also contain the beginning of the arguments. Such a token is
    masked unless the call's grammar accepts that beginning. Tokens that complete an unusual spelling of a head are not
    masked. If such a token contains a wrong beginning, the grammar raises an error for `OpenedCall.rest`.
    """

    def __init__(
        self,
        turn_format: TurnFormat,
        vocabulary: Vocabulary,
        *,
        recipients: frozenset[str] | None,
        constrained: Mapping[str, Callable[[bytes], bool]],
    ) -> None:
        """`recipients` are the functions that may be called; None for all.

        `constrained` maps each function with constrained arguments to a test: whether the rest of a call, after its
        head, may begin with the given bytes.
        """
        self._marks = turn_format.marks
        self._vocabulary = vocabulary
        self._constrained = constrained
        self._reader = TurnReader(turn_format, vocabulary)
        self._banned_by_head: dict[tuple[str, str], list[int]] = {}
        self._mask_by_region: dict[Region, Mask | None] = {}  # the masks for positions where no head has begun
        text_recipient = {turn_format.text_recipient} if turn_format.text_recipient is not None else set()
        self._recipients = None if recipients is None else recipients | text_recipient

    def mask(self) -> Mask | None:
        """Return which tokens may come next, as booleans of shape (vocab_size,); None for all. Do not write to it."""
        region = self._reader.region
        if region == "name" and self._recipients is not None:
            return self._name_mask(self._recipients)
        if self._may_be_in_head():
            return self._mask_excluding(self._banned_ids())
        if region not in self._mask_by_region:
            self._mask_by_region[region] = self._mask_excluding(self._banned_ids())
        return self._mask_by_region[region]

    def _mask_excluding(self, banned: list[int]) -> Mask | None:
        if not banned:
            return None
        allowed = np.ones(self._vocabulary.size, dtype=np.bool_)
        allowed[banned] = False
        return allowed

    def read(self, token_id: int) -> OpenedCall | None:
        """Follow one more token, and return the constrained call that it opens, if any.

        Raises EngineError for a call that is not allowed.
        """
        opened = None
        for event in self._reader.read(token_id):
            if not isinstance(event, CallStart):
                continue
            if self._is_forbidden(event.name):
                raise EngineError(f"the model called {event.name[:64]!r}, which the request does not allow")
            if event.name in self._constrained:
                opened = OpenedCall(event.name, self._reader.rest_of_token)
        return opened

    def _is_forbidden(self, name: str) -> bool:
        return self._recipients is not None and name not in self._recipients

    def _heads(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, head) for each call that may open in this region; in a name region, only for `names`."""
        for mark in self._marks.get(self._reader.region, ()):
            if mark.is_control:
                continue
            if self._reader.region == "name":
                yield from ((name, name + mark.text) for name in names)
            elif mark.name is not None:
                yield mark.name, mark.text

    def _missing_parts(self, head: str) -> Iterator[str]:
        """Yield the rest of `head` that is still missing, for each position in the text where the head may have begun.

        A name can only have begun at the start of its region.
        """
        if self._reader.region == "name":
            beginning = self._reader.region_text.lstrip()
            if head.startswith(beginning):
                yield head[len(beginning) :]
            return
        yield head
        tail = self._reader.region_text[1 - len(head) :]
        at = tail.find(head[0])
        while at >= 0:
            if head.startswith(tail[at:]):
                yield head[len(tail) - at :]
            at = tail.find(head[0], at + 1)

    def _may_be_in_head(self) -> bool:
        if self._reader.region == "name":
            return bool(self._reader.region_text)
        marks = self._marks.get(self._reader.region, ())
        return any(mark.text[0] in self._reader.region_text for mark in marks if mark.name)

    def _banned_ids(self) -> list[int]:
        """Return the tokens that open a forbidden call, or open a constrained call with forbidden arguments."""
        banned = [
            token_id
            for name, head in self._heads(self._constrained)
            if name in self._constrained or self._is_forbidden(name)
            for missing in self._missing_parts(head)
            for token_id in self._banned_for(name, missing)
        ]
        for mark in self._marks.get(self._reader.region, ()):
            if mark.is_control and mark.name is not None and self._is_forbidden(mark.name):
                banned += self._vocabulary.control_ids(mark.text)
        return banned

    def _banned_for(self, name: str, missing: str) -> list[int]:
        if (name, missing) not in self._banned_by_head:
            self._banned_by_head[name, missing] = [
                token_id
                for rest, token_id in self._vocabulary.tokens_starting_with(missing.encode())
                if self._is_forbidden(name) or not self._may_follow(name, rest)
            ]
        return self._banned_by_head[name, missing]

    def _may_follow(self, name: str, rest: bytes) -> bool:
        return not rest or name not in self._constrained or self._constrained[name](rest)

    def _name_mask(self, recipients: frozenset[str]) -> Mask:
        """Return a mask that allows only tokens that spell the name of one of `recipients`."""
        allowed = np.zeros(self._vocabulary.size, dtype=np.bool_)
        for name, head in self._heads(recipients):
            for missing in self._missing_parts(head):
                allowed[list(self._vocabulary.prefixes_of(missing.encode()))] = True
                if not self._reader.region_text:  # SentencePiece adds a space after a control token
                    allowed[list(self._vocabulary.prefixes_of(b" " + missing.encode()))] = True
                for rest, token_id in self._vocabulary.tokens_starting_with(missing.encode()):
                    allowed[token_id] |= self._may_follow(name, rest)
        return allowed
