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

from core.errors import EngineError, TooComplex
from text.vocabulary import Vocabulary

Mask = NDArray[np.bool_]

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
        """Return which tokens may come next, (vocab_size,). Raises TooComplex if the grammar cannot be followed."""

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


class TaggedText(TextState):
    """A text up to the line `</parameter>`, which it cannot contain.

    A line break may belong to the text or be the first character of its end. Both readings are followed until one of
    them is no longer possible.
    """

    def __init__(self, matcher: LLMatcher, closing: LLMatcher, vocabulary: Vocabulary) -> None:
        super().__init__(matcher, closing, vocabulary)
        self._line = b"\n"  # the last line break and what follows it
        self._content = self._closing_mask  # which tokens continue the text, after `mask`
        self._end: tuple[LLMatcher, list[int]] | None = None  # the grammar behind the text, and tokens of the end

    def mask(self) -> Mask:
        content = bits(self._matcher, self._vocabulary.size).copy()
        content[[eos_id for eos_id in self._vocabulary.ll_tokenizer.eos_tokens if eos_id < len(content)]] = False
        content[self._vocabulary.ids_containing(_END_TAG)] = False
        if _END_TAG.startswith(self._line):
            missing = _END_TAG[len(self._line) :]
            content[[token_id for _, token_id in self._vocabulary.tokens_starting_with(missing)]] = False
        self._content = content
        allowed = content | self._closing_mask if self._may_end() else content
        return allowed | bits(self._end[0], len(content)) if self._end else allowed

    def accept(self, token_id: int) -> Sequence[int] | None:
        end = self._continued([token_id], self._end) or self._begun(token_id)
        if not self._content[token_id]:
            if end is None:
                raise EngineError("a token was sampled that the constraint does not allow")
            return end[1]
        self._advance([token_id])
        line = self._line + self._vocabulary.token_bytes(token_id)
        self._line, self._end = line[line.rindex(b"\n") :], end
        return None

    def _begun(self, token_id: int) -> tuple[LLMatcher, list[int]] | None:
        """Return the end of the text that begins in this token; None if it cannot begin there."""
        start: tuple[LLMatcher, list[int]] = (self._closing.deep_copy(), [])
        if self._may_end() and (end := self._continued([token_id], start)):
            return end
        text, line_break, rest = self._vocabulary.token_bytes(token_id).rpartition(b"\n")
        if not text or not _END_TAG.startswith(line_break + rest):
            return None
        matcher, content = self._matcher.deep_copy(), self._vocabulary.tokenize(text)
        if matcher.try_consume_tokens(content) < len(content) or not matcher.is_accepting():
            return None
        return self._continued(self._vocabulary.tokenize(line_break + rest), start)

    def _continued(
        self, token_ids: list[int], end: tuple[LLMatcher, list[int]] | None
    ) -> tuple[LLMatcher, list[int]] | None:
        """Advance an end of the text; None if it does not allow these tokens."""
        if end is None or end[0].try_consume_tokens(token_ids) < len(token_ids):
            return None
        return end[0], end[1] + token_ids


def opened(written_as: str, matcher: LLMatcher, closing: LLMatcher, vocabulary: Vocabulary) -> TextState:
    """Return the state at the start of a text. `written_as` is that of its TextRule."""
    state = TaggedText if written_as == "tagged" else JsonText
    return state(matcher, closing, vocabulary)


def bits(matcher: LLMatcher, size: int) -> Mask:
    """Return the mask of a matcher, (size,). Raises TooComplex if its grammar cannot be followed."""
    packed = matcher.compute_bitmask()
    if matcher.is_error():
        raise TooComplex
    return unpacked(packed, size)


def unpacked(packed: bytes, size: int) -> Mask:
    """Return the first `size` bits as booleans."""
    found: Mask = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=size, bitorder="little").view(np.bool_)
    return found
