"""The vocabulary of a model as bytes, in which the tokens that spell a given text can be found."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from itertools import takewhile

import numpy as np
from llguidance import LLTokenizer
from numpy.typing import NDArray
from tokenizers import Tokenizer

from text.escaped_vocabulary import EscapedVocabulary

MAX_TEXTS = 1024  # in one grammar; a request may have as many tools


class Vocabulary:
    """The tokens of one model, sorted by their bytes. Building it takes half a second.

    `size` is the width of the logits, which may be larger than the tokenizer's vocabulary. All added tokens count as
    control tokens: a grammar allows one only where it names the token's id.
    """

    def __init__(self, tokenizer: Tokenizer, size: int, *, eos_id: int | None = None) -> None:
        described = {**json.loads(tokenizer.to_str()), "truncation": None, "padding": None}
        for token in described["added_tokens"]:
            token["special"] = True  # otherwise llguidance accepts the token where its characters are allowed
        used = set(tokenizer.get_vocab(with_added_tokens=True).values())
        num_tokens = 1 + max(used)
        # llguidance takes the number of tokens for the largest id, so ids without a token get one.
        num_ids = max(size, num_tokens) + MAX_TEXTS
        described["added_tokens"] += [_unused(token_id) for token_id in range(num_ids) if token_id not in used]
        self.size = size
        self.first_text_id = num_ids - MAX_TEXTS  # no model writes these: each stands for one text in a grammar
        self.control_tokens = {
            token_id: token.content for token_id, token in tokenizer.get_added_tokens_decoder().items()
        }
        self.ll_tokenizer = LLTokenizer(json.dumps(described), n_vocab=num_ids, eos_token=eos_id or 0)
        self._containing: dict[bytes, list[int]] = {}
        ordinary = (token_id for token_id in range(size) if not self.ll_tokenizer.is_special_token(token_id))
        self._tokens_by_bytes = sorted(
            (token, token_id) for token_id in ordinary if (token := self.token_bytes(token_id))
        )

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token stands for."""
        return bytes(self.ll_tokenizer.decode_bytes([token_id]))

    def tokenize(self, text: bytes) -> list[int]:
        """Tokenize `text` without control tokens, even where it contains their spelling."""
        return list(self.ll_tokenizer.tokenize_bytes(text))

    def tokenize_markup(self, markup: str, text: str = "") -> list[int]:
        """Tokenize `markup`, in which the spelling of a control token is that token, and ordinary text after it."""
        ids: list[int] = []
        at = 0
        for control in self._control_pattern.finditer(markup):
            ids += [*self.tokenize(markup[at : control.start()].encode()), *self.control_ids(control[0])[:1]]
            at = control.end()
        return ids + self.tokenize((markup[at:] + text).encode())

    @cached_property
    def _control_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.control_tokens.values(), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    @cached_property
    def escaped(self) -> EscapedVocabulary:
        """The tokens as parts of a JSON string. The first use takes seconds for 130,000 tokens."""
        control = {token_id for token_id in range(self.size) if self.ll_tokenizer.is_special_token(token_id)}
        tokens = [b"" if number in control else self.token_bytes(number) for number in range(self.size)]
        return EscapedVocabulary(tokens)

    @cached_property
    def starts_with_digit(self) -> NDArray[np.bool_]:
        """Which tokens begin with a digit from 0 to 9, (size,)."""
        found = np.zeros(self.size, dtype=np.bool_)
        for digit in b"0123456789":
            found[[token_id for _, token_id in self.tokens_starting_with(bytes([digit]))]] = True
        return found

    def control_ids(self, text: str) -> list[int]:
        """Return the ids of the control tokens spelled `text`."""
        return [
            token_id for token_id, content in self.control_tokens.items() if content == text and token_id < self.size
        ]

    def tokens_starting_with(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield (bytes after `prefix`, id) of each ordinary token that begins with `prefix`, sorted by bytes."""
        at = bisect_left(self._tokens_by_bytes, (prefix, -1))
        while at < len(self._tokens_by_bytes) and self._tokens_by_bytes[at][0].startswith(prefix):
            token, token_id = self._tokens_by_bytes[at]
            yield token[len(prefix) :], token_id
            at += 1

    def ids_containing(self, part: bytes) -> list[int]:
        """Return the ids of the ordinary tokens that contain `part`. The first call takes some milliseconds."""
        if part not in self._containing:
            self._containing[part] = [token_id for token, token_id in self._tokens_by_bytes if part in token]
        return self._containing[part]

    def ids_of(self, text: bytes) -> list[int]:
        """Return the ids of the ordinary tokens whose bytes are `text`."""
        return [token_id for _, token_id in takewhile(lambda found: not found[0], self.tokens_starting_with(text))]


def _unused(token_id: int) -> dict[str, object]:
    """Return a control token for an id that no token has."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": f"<|unused {token_id}|>", "special": True, **flags}
