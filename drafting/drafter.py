"""Guesses of the next tokens. The engine verifies them in one forward: wrong ones cost little and change nothing.

After a mark come names that were declared, then keys in the order of their schema, then values that stand in the
prompt: a call is mostly known before it is written. Saxena 2023 copies from the prompt in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.generation import Drafts
from core.turn_format import ArgsDelta, CallStart, Event
from drafting.call_scanner import CallScanner
from drafting.user_message import UserMessage
from text.turn_reader import TurnReader
from text.vocabulary import Vocabulary

LONGEST = 24  # tokens of a guess
_COPIED = 16  # of them, when they are copied
_NGRAMS = (3, 2, 1)
_FEWEST = 4  # copied at a time; twice as many after a copy that was right to its end, half as many after others
_RARE_AFTER, _TRY_AGAIN = 6, 8  # guesses in a row that failed; steps until the next one


class Drafter:
    """Guesses for one request. Tell it all that was drawn (`read`) and how its guesses fared (`judged`)."""

    def __init__(
        self, drafts: Drafts | None, prompt_ids: Sequence[int], vocabulary: Vocabulary, stop_id: int | None = None
    ) -> None:
        """`stop_id` probably ends the turn."""
        self._ids = list(prompt_ids)
        self._places: list[dict[tuple[int, ...], int]] = [{} for _ in _NGRAMS]  # where what follows stands
        self._num_indexed = 0
        self._structure = None if drafts is None or not drafts.calls else _Structure(drafts, vocabulary, stop_id)
        predicted = vocabulary.tokenize(drafts.prediction.encode()) if drafts and drafts.prediction else []
        self._ids = [*predicted, *self._ids]
        self._failures = {"structure": 0, "copy": 0}
        self._waited = 0
        self._source = "copy"
        self._num_copied = _FEWEST if not predicted else _COPIED
        self._num_proposed = 0

    def read(self, token_ids: Sequence[int]) -> None:
        self._ids += token_ids
        if self._structure:
            for token_id in token_ids:
                self._structure.read(token_id)

    def propose(self, limit: int) -> list[int]:
        """At most `limit` tokens that may come next."""
        if limit <= 0:
            return []
        ids: list[int] = []
        if self._structure and self._may("structure") and (ids := self._structure.propose()[: min(limit, LONGEST)]):
            self._source = "structure"
        elif self._may("copy") and (ids := self._copied()[: min(limit, self._num_copied)]):
            self._source = "copy"
        self._waited += not ids
        self._num_proposed = len(ids)
        return ids

    def judged(self, num_accepted: int) -> None:
        """A source that fails again and again is asked seldom."""
        self._failures[self._source] = 0 if num_accepted else self._failures[self._source] + 1
        self._waited = 0
        if self._source == "copy":
            is_right = num_accepted == self._num_proposed
            self._num_copied = min(_COPIED, 2 * self._num_copied) if is_right else max(_FEWEST, self._num_copied // 2)

    def _may(self, source: str) -> bool:
        return self._failures[source] < _RARE_AFTER or self._waited >= _TRY_AGAIN

    def _copied(self) -> list[int]:
        """What followed the last tokens where they stood before; the longest match, and of those the latest."""
        while self._num_indexed < len(self._ids) - 1:
            self._num_indexed += 1
            for size, places in zip(_NGRAMS, self._places, strict=True):
                if self._num_indexed >= size:
                    places[tuple(self._ids[self._num_indexed - size : self._num_indexed])] = self._num_indexed
        shortest = 1 if self._structure and self._structure.is_in_call else 3  # text repeats single words by chance
        for size, places in zip(_NGRAMS, self._places, strict=True):
            at = places.get(tuple(self._ids[-size:])) if size >= shortest else None
            if at is not None and len(self._ids) >= size:
                return self._ids[at : at + _COPIED]
        return []


class _Structure:
    """Follows the turn, and says what the declared functions let expect."""

    def __init__(self, drafts: Drafts, vocabulary: Vocabulary, stop_id: int | None) -> None:
        self._drafts = drafts
        self._user_message = UserMessage(drafts.user_message)
        self._stop = [] if stop_id is None else [stop_id]
        self._vocabulary = vocabulary
        self._calls = {call.name: call for call in drafts.calls}
        self._scanner: CallScanner | None = None
        self._reader = TurnReader(drafts.turn_format, vocabulary)
        self._take(self._reader.read_text(drafts.prefill))

    def read(self, token_id: int) -> None:
        self._take(self._reader.read(token_id))

    def _take(self, events: Iterator[Event]) -> None:
        for event in events:
            if isinstance(event, CallStart):
                call = self._calls.get(event.name)
                self._scanner = None if call is None else CallScanner(call.parameters, self._user_message)
            elif isinstance(event, ArgsDelta) and self._scanner:
                self._scanner.read(event.text)

    @property
    def is_in_call(self) -> bool:
        return self._reader.region == "args"

    def propose(self) -> list[int]:
        text = self._next_text()
        if not text:
            return self._stop if self._reader.region == "args" and self._scanner and self._scanner.is_at_end else []
        return self._vocabulary.tokenize(text.encode()) + (self._stop if text.endswith("}") else [])

    def _next_text(self) -> str:
        if self._reader.region == "args":
            return self._scanner.next_text() if self._scanner else ""
        if self._reader.region != "name":
            return ""
        begun = self._reader.since.lstrip()
        fitting = [call for call in self._calls.values() if call.name.startswith(begun)]
        fitting.sort(key=lambda call: call.name != self._drafts.likely)
        if not fitting or not (begun or len(fitting) == 1 or self._drafts.likely):
            return ""
        mark = next((mark.text for mark in self._drafts.turn_format.marks["name"] if not mark.special), "")
        opened = CallScanner(fitting[0].parameters, self._user_message).next_text()
        return fitting[0].name[len(begun) :] + mark + opened
