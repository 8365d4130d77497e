"""Finds the tokens of a text that a server has sent without their ids."""

from __future__ import annotations

from text.vocabulary import Vocabulary

_MAX_BYTES = 256  # of such a text; a character has 4 at most


def lost_ids(vocabulary: Vocabulary, content: bytes, last_id: int, num_lost: int) -> tuple[int, ...] | None:
    """Return `num_lost` tokens that spell `content` together with the token `last_id` after them, or None.

    After each of the lost tokens the text ends inside a character; that is why the server did not send them. The
    tokenizer's own spelling of `content` is preferred to another one of as many tokens.
    """
    last = vocabulary.token_bytes(last_id)
    if last_id in vocabulary.control_tokens or not content.endswith(last):
        return None
    text = content[: len(content) - len(last)]
    if not num_lost <= len(text) <= _MAX_BYTES:
        return None
    own = vocabulary.tokenize(content)
    if len(own) == num_lost + 1 and own[-1] == last_id and all(_prefixes_are_cut(vocabulary, own[:-1])):
        return tuple(own[:-1])
    ends = [end for end in range(1, len(text) + 1) if is_cut(text[:end])]
    found: dict[int, tuple[int, ...]] = {0: ()}  # from the end of a beginning of `text` to tokens that spell it
    for _ in range(num_lost):
        longer: dict[int, tuple[int, ...]] = {}
        for start, ids in found.items():
            for end in ends:
                if end > start and end not in longer and (same := vocabulary.ids_of(text[start:end])):
                    longer[end] = (*ids, same[0])
        found = longer
    return found.get(len(text))


def is_cut(text: bytes) -> bool:
    """Return whether `text` ends inside a character, as llama.cpp's `validate_utf8` sees it."""
    for num, byte in enumerate(reversed(text[-3:]), 1):
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4 if byte < 0xF8 else 0
            if num < length:
                return True
    return False


def _prefixes_are_cut(vocabulary: Vocabulary, ids: list[int]) -> list[bool]:
    text = b""
    return [is_cut(text := text + vocabulary.token_bytes(token_id)) for token_id in ids]
