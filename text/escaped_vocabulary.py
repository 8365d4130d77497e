"""A model's tokens as parts of the content of a JSON string: what each one stands for once its escapes are decoded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llguidance import LLTokenizer, TokenizerWrapper

_MAX_CERTAIN = 256  # bytes of a text that is certain, of which the tokens are found
_SHORT = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", '"': r"\"", "\\": r"\\"}
_SPELLINGS = {
    char.encode(): _SHORT.get(char, f"\\u{ord(char):04x}").encode() for char in (*map(chr, range(32)), '"', "\\")
}
_CHARACTERS = {spelling: char for char, spelling in _SPELLINGS.items()}
_ESCAPE = re.compile(rb'\\(?:["\\bfnrt]|u00[01][0-9a-f])')
_CONTENT = re.compile(rb'(?:[^\x00-\x1f"\\]|%s)+' % _ESCAPE.pattern)


class EscapedVocabulary:
    """The tokens that may stand in a JSON string, by the bytes that they stand for.

    A token with an incomplete escape stands for nothing. So each character that must be escaped has one more id, behind
    those of the model's tokens, unless a token stands for just this character. A character has one spelling: `\\n`, but
    neither `\\u000a` nor, for an "a", `\\u0061`.

    escapes: the spelling of each character that must be escaped, and the id that stands for the character.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        """`tokens` are the bytes of the model's tokens by id; those of control tokens are empty."""
        decoded = [_decoded(token) for token in tokens]
        ids = {content: token_id for token_id, content in enumerate(decoded) if content in _SPELLINGS}
        for char in _SPELLINGS:
            if char not in ids:
                ids[char] = len(decoded)
                decoded.append(char)
        self.escapes = [(spelling, ids[char]) for char, spelling in _SPELLINGS.items()]
        self.size = len(decoded) + 1
        self.ll_tokenizer = LLTokenizer(TokenizerWrapper(_Tokens([*decoded, b"<end>"])))


def _decoded(token: bytes) -> bytes:
    """Return what a token stands for in a JSON string; empty for a token that cannot stand in one by itself."""
    if not _CONTENT.fullmatch(token):
        return b""
    return _ESCAPE.sub(lambda escape: _CHARACTERS.get(escape[0], b""), token)


class _Tokens:
    """The tokens as llguidance reads them. The last one ends the text."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = tokens
        self.eos_token_id = len(tokens) - 1
        self.bos_token_id = None
        self.special_token_ids = [self.eos_token_id]
        self._ids = {token: token_id for token_id, token in enumerate(tokens[:-1]) if token}
        self._max_length = max(map(len, self._ids))

    def __call__(self, text: bytes) -> list[int]:
        """Return the longest tokens that spell the beginning of `text`, which is certain to follow.

        llguidance asks at each token, and only needs the first one: 50,000 characters would take a second each time.
        """
        ids: list[int] = []
        text = text[:_MAX_CERTAIN]
        while text:
            lengths = range(min(len(text), self._max_length), 0, -1)
            length = next((length for length in lengths if text[:length] in self._ids), 1)
            ids += [self._ids[text[:length]]] if text[:length] in self._ids else []
            text = text[length:]
        return ids
