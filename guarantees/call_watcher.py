"""Follow a turn that may be text or calls, so that only allowed calls open, and say when a constrained call opens."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import EngineError
from core.turn_format import CallStart, TurnFormat
from guarantees.head_masks import HeadMasks, Mask
from text.turn_reader import TurnReader
from text.vocabulary import Vocabulary


@dataclass(frozen=True)
class OpenedCall:
    """A call that the last token opened. `rest` holds the bytes of that token after the head."""

    name: str
    rest: bytes


class CallWatcher:
    """Follows one turn from its start. All tokens are allowed except near the opening of a call.

    A token may complete the head of a constrained call and also contain the beginning of the arguments. Such a token is
    masked unless the call's grammar accepts that beginning. Tokens that complete an unusual spelling of a head are not
    masked. If such a token contains a wrong beginning, the grammar raises an error for `OpenedCall.rest`.
    """

    def __init__(self, turn_format: TurnFormat, vocabulary: Vocabulary, masks: HeadMasks, prefill: str = "") -> None:
        """`prefill` is the beginning of the turn, which the prompt already holds."""
        self._masks = masks
        self._reader = TurnReader(turn_format, vocabulary)
        list(self._reader.read_prefill(prefill))

    def mask(self) -> Mask | None:
        """Return which tokens may come next, as booleans of shape (vocab_size,); None for all."""
        if self._reader.is_in_string:
            return None
        return self._masks.mask(self._reader.region_name, self._reader.region_text, self._reader.pending_name)

    def allows(self, token_id: int) -> bool:
        """Return whether `mask` has this token."""
        if self._reader.is_in_string:
            return True
        reader = self._reader
        return self._masks.allows(token_id, reader.region_name, reader.region_text, reader.pending_name)

    def read(self, token_id: int) -> OpenedCall | None:
        """Follow one more token, and return the call that it opens, if any.

        Raises EngineError for a call that is not allowed.
        """
        opened = None
        for event in self._reader.read(token_id):
            if isinstance(event, CallStart):
                if not self._masks.is_callable(event.name):
                    raise EngineError(f"the model called {event.name[:64]!r}, which the request does not allow")
                opened = OpenedCall(event.name, self._reader.rest_of_token)
        return opened
