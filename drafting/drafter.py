"""Draft the next tokens of an answer. The engine verifies a draft in one forward; a wrong draft changes no output.

Most of a call is predictable: its function's name is declared, its keys are in the schema, and its values are often in
the user's message. Other drafts are copied from earlier tokens (prompt lookup decoding, Saxena 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.generation import Drafts
from core.turn_format import ArgsDelta, CallStart, Event
from drafting.call_scanner import CallScanner
from drafting.user_message import UserMessage
from text.turn_reader import TurnReader
from text.vocabulary import Vocabulary

MAX_DRAFT_TOKENS = 24
_MAX_COPIED = 16  # the maximum number of tokens in a copied draft
_NGRAM_SIZES = (3, 2, 1)
_MIN_COPIED = 4  # tokens; copied drafts get twice as long after one is accepted whole, else half as long
# A source of drafts pauses for 8 steps after 6 rejected drafts in a row.
_MAX_FAILURES, _RETRY_AFTER_STEPS = 6, 8


class Drafter:
    """Makes drafts for one request. Call `read` with all sampled tokens and `record_accepted` after each draft."""

    def __init__(
        self, drafts: Drafts | None, prompt_ids: Sequence[int], vocabulary: Vocabulary, stop_id: int | None = None
    ) -> None:
        """`stop_id` is the stop token to draft at the end of a call."""
        self._ids = list(prompt_ids)
        # One dict for each n-gram size: the n-gram's tokens -> the index of the token after its latest occurrence.
        self._index_by_ngram: list[dict[tuple[int, ...], int]] = [{} for _ in _NGRAM_SIZES]
        self._num_indexed = 0
        self._call_drafter = None if drafts is None or not drafts.calls else _CallDrafter(drafts, vocabulary, stop_id)
        prediction = vocabulary.tokenize(drafts.prediction.encode()) if drafts and drafts.prediction else []
        self._ids = [*prediction, *self._ids]
        self._failures = {"call": 0, "copy": 0}
        self._num_idle_steps = 0
        self._source = "copy"
        self._num_copied = _MIN_COPIED if not prediction else _MAX_COPIED
        self._num_proposed = 0

    def read(self, token_ids: Sequence[int]) -> None:
        """Add sampled tokens."""
        self._ids += token_ids
        if self._call_drafter:
            for token_id in token_ids:
                self._call_drafter.read(token_id)

    def propose(self, limit: int) -> list[int]:
        """Return a draft of at most `limit` tokens; empty if nothing is likely."""
        if limit <= 0:
            return []
        ids: list[int] = []
        call_drafter = self._call_drafter if self._should_try("call") else None
        if call_drafter and (ids := call_drafter.propose()[: min(limit, MAX_DRAFT_TOKENS)]):
            self._source = "call"
        elif self._should_try("copy") and (ids := self._copy()[: min(limit, self._num_copied)]):
            self._source = "copy"
        self._num_idle_steps += not ids
        self._num_proposed = len(ids)
        return ids

    def record_accepted(self, num_accepted: int) -> None:
        """Record how many tokens of the last draft were accepted. A source that keeps failing pauses for some steps."""
        self._failures[self._source] = 0 if num_accepted else self._failures[self._source] + 1
        self._num_idle_steps = 0
        if self._source == "copy":
            is_all_accepted = num_accepted == self._num_proposed
            num_copied = 2 * self._num_copied if is_all_accepted else self._num_copied // 2
            self._num_copied = min(max(_MIN_COPIED, num_copied), _MAX_COPIED)

    def _should_try(self, source: str) -> bool:
        return self._failures[source] < _MAX_FAILURES or self._num_idle_steps >= _RETRY_AFTER_STEPS

    def _copy(self) -> list[int]:
        """Find the latest earlier occurrence of the last tokens, as many as possible, and return what followed it."""
        while self._num_indexed < len(self._ids) - 1:
            self._num_indexed += 1
            for size, indices in zip(_NGRAM_SIZES, self._index_by_ngram, strict=True):
                if self._num_indexed >= size:
                    indices[tuple(self._ids[self._num_indexed - size : self._num_indexed])] = self._num_indexed
        is_in_call = self._call_drafter is not None and self._call_drafter.is_in_call
        min_size = 1 if is_in_call else 3  # in text, single words recur by chance
        for size, indices in zip(_NGRAM_SIZES, self._index_by_ngram, strict=True):
            index = indices.get(tuple(self._ids[-size:])) if size >= min_size else None
            if index is not None and len(self._ids) >= size:
                return self._ids[index : index + _MAX_COPIED]
        return []


class _CallDrafter:
    """Follows the turn and drafts the next part of a call from the declared functions."""

    def __init__(self, drafts: Drafts, vocabulary: Vocabulary, stop_id: int | None) -> None:
        self._drafts = drafts
        self._user_message = UserMessage(drafts.user_message)
        self._stop = [] if stop_id is None else [stop_id]
        self._vocabulary = vocabulary
        self._calls = {call.name: call for call in drafts.calls}
        self._scanner: CallScanner | None = None
        self._reader = TurnReader(drafts.turn_format, vocabulary)
        self._follow(self._reader.read_prefill(drafts.prefill))

    def read(self, token_id: int) -> None:
        self._follow(self._reader.read(token_id))

    def _follow(self, events: Iterator[Event]) -> None:
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
        match self._reader.region:
            case "args" if self._scanner:
                text = self._scanner.next_text()
                is_end = text.endswith("}") or (not text and self._scanner.is_at_end)
                return self._vocabulary.tokenize(text.encode()) + (self._end_of_call("") if is_end else [])
            case "skip" if self._scanner and self._scanner.is_at_end:
                return self._end_of_call(self._reader.region_text)
            case "name":
                return self._name()
        return []

    def _end_of_call(self, written: str) -> list[int]:
        """Return the tokens of the call's tail, of which `written` is the beginning, and the stop token."""
        tail = self._drafts.call_tail
        return self._vocabulary.tokenize_markup(tail[len(written) :]) + self._stop if tail.startswith(written) else []

    def _name(self) -> list[int]:
        """Return the tokens of the rest of the likeliest name, of the call's head, and of its first arguments."""
        beginning = self._reader.region_text.lstrip()
        candidates = [call for call in self._calls.values() if call.name.startswith(beginning)]
        candidates.sort(key=lambda call: call.name != self._drafts.likely_function)
        if not candidates or not (beginning or len(candidates) == 1 or self._drafts.likely_function):
            return []
        call = candidates[0]
        rest_of_head = call.head[call.head.rindex(call.name) + len(beginning) :]
        arguments = CallScanner(call.parameters, self._user_message).next_text()
        return self._vocabulary.tokenize_markup(rest_of_head, arguments)
