"""A model's tokens as bytes, for those who must know which tokens spell what."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from itertools import takewhile

from llguidance import LLTokenizer
from tokenizers import Tokenizer


class Vocabulary:
    """Built once per model; takes half a second. `size` is the width of the logits, which may exceed the tokenizer's.

    All added tokens count as control tokens: they stand in an output only where a grammar names their ids.
    """

    def __init__(self, tokenizer: Tokenizer, size: int, *, eos_id: int | None = None) -> None:
        described = {**json.loads(tokenizer.to_str()), "truncation": None, "padding": None}
        for token in described["added_tokens"]:
            token["special"] = True  # else llguidance lets it stand for its characters
        num_tokens = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
        self.size = size
        self.control = {token_id: token.content for token_id, token in tokenizer.get_added_tokens_decoder().items()}
        self.compiler = LLTokenizer(json.dumps(described), n_vocab=max(size, num_tokens), eos_token=eos_id or 0)
        ordinary = (token_id for token_id in range(size) if not self.compiler.is_special_token(token_id))
        self._sorted = sorted((token, token_id) for token_id in ordinary if (token := self.token_bytes(token_id)))

    def token_bytes(self, token_id: int) -> bytes:
        return bytes(self.compiler.decode_bytes([token_id]))

    def tokenize(self, text: bytes) -> list[int]:
        """Ordinary tokens that spell `text`, whatever it holds."""
        return list(self.compiler.tokenize_bytes(text))

    def control_ids(self, text: str) -> list[int]:
        return [token_id for token_id, content in self.control.items() if content == text and token_id < self.size]

    def starting_with(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        """Ordinary tokens whose bytes begin with `prefix`, shortest first: what they hold after it, and their ids."""
        at = bisect_left(self._sorted, (prefix, -1))
        while at < len(self._sorted) and self._sorted[at][0].startswith(prefix):
            token, token_id = self._sorted[at]
            yield token[len(prefix) :], token_id
            at += 1

    def spelling(self, text: bytes) -> Iterator[int]:
        """Ordinary tokens whose bytes are `text` or a beginning of it."""
        for end in range(1, len(text) + 1):
            yield from (
                token_id for _, token_id in takewhile(lambda found: not found[0], self.starting_with(text[:end]))
            )
