"""Follow a text that has a grammar of its own inside an answer: the content of a JSON string, or a tagged parameter.

The grammar reads the text itself, not its spelling in the answer. A grammar for the spelling would have to tell with
one character of lookahead where a terminal ends, and all escapes of JSON begin with the same backslash.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from core.errors import EngineError
from text.vocabulary import Vocabulary

Mask = NDArray[np.bool_]

TOO_COMPLEX = "the schema or grammar is too complex to be followed"
_END_TAG = b"\n</parameter>"
_BACKSLASH = b"\\"


class TextState(ABC):
    """The position of one answer in a text."""

    def __init__(self, matcher: LLMatcher, closing: LLMatcher, vocabulary: Vocabulary) -> None:
        """`matcher` is at the start of the text, and `closing` is the grammar of the answer behind the text."""
        self._matcher = matcher
        self._closing = closing
        self._vocabulary = vocabulary
        self._closing_mask = bits(closing, vocabulary.size)

    @abstractmethod
    def mask(self) -> Mask:
        """Return which tokens may come next, (vocab_size,). Raises EngineError if the grammar exceeds a limit."""

    @abstractmethod
    def accept(self, token_id: int) -> Sequence[int] | None:
        """Advance by a token that `mask` allows.

        Return the tokens after the text once it has ended, else None. Raises EngineError for any other token.
        """

    def _may_end(self) -> bool:
        return bool(self._matcher.is_accepting() or self._matcher.is_stopped())

    def _advance(self, token_ids: Sequence[int]) -> None:
        if not self._matcher.consume_tokens(list(token_ids)):
            raise EngineError("a token was sampled that the constraint does not allow")


class JsonText(TextState):
    """A text in a JSON string. Tokens are read by what they stand for; an escape may take several tokens."""

    def __init__(self, matcher: LLMatcher, closing: LLMatcher, vocabulary: Vocabulary) -> None:
        super().__init__(matcher, closing, vocabulary)
        self._escape = b""  # the beginning of an escape

    def mask(self) -> Mask:
        size, escaped = self._vocabulary.size, self._vocabulary.escaped
        content = bits(self._matcher, escaped.size)
        escapes = [spelling for spelling, token_id in escaped.escapes if content[token_id]]
        if self._escape:
            allowed = np.zeros(size, dtype=np.bool_)
        else:
            allowed = content[:size].copy()
            if self._may_end():
                allowed |= self._closing_mask
        for beginning in {
            spelling[: len(self._escape) + 1] for spelling in escapes if spelling.startswith(self._escape)
        }:
            allowed[self._vocabulary.ids_of(beginning[len(self._escape) :])] = True
        return allowed

    def accept(self, token_id: int) -> Sequence[int] | None:
        token = self._vocabulary.token_bytes(token_id)
        if self._escape or token == _BACKSLASH:
            self._escape += token
            for spelling, char_id in self._vocabulary.escaped.escapes:
                if spelling == self._escape:
                    self._escape = b""
                    self._advance([char_id])
            return None
        if self._may_end() and self._closing_mask[token_id]:  # a quote, which no text begins with
            return [token_id]
        self._advance([token_id])
        return None


_STATES = {"json string": JsonText}


def opened(written_as: str, matcher: LLMatcher, closing: LLMatcher, vocabulary: Vocabulary) -> TextState:
    """Return the state at the start of a text. `written_as` is that of its TextRule."""
    return _STATES[written_as](matcher, closing, vocabulary)


def bits(matcher: LLMatcher, size: int) -> Mask:
    """Return the mask of a matcher, (size,). Raises EngineError if its grammar exceeds a limit."""
    packed = matcher.compute_bitmask()
    if matcher.is_error():
        raise EngineError(TOO_COMPLEX)
    return unpacked(packed, size)


def unpacked(packed: bytes, size: int) -> Mask:
    """Return the first `size` bits as booleans."""
    found: Mask = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=size, bitorder="little").view(np.bool_)
    return found
