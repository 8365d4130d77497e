"""Finds rows whose requests are also in other sets, such as the sets that models are evaluated on."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from client.json_lines import Json, LineError, read_objects
from client.rows import Row

# A message overlaps with a known request of at least this many words if it contains the request. Shorter requests
# ("Yes, please.") occur by chance.
MIN_WORDS = 4
MIN_WORDS_OF_A_TURN = 8  # as MIN_WORDS, but for messages of conversations with several turns: they are less specific
_WORD = re.compile(r"\w+")

Words = tuple[str, ...]


class Overlap:
    """The users' messages of some files, compared word by word.

    Case, punctuation, spaces and Unicode variants are ignored.
    """

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        """Read .jsonl or .jsonl.xz files whose lines have `messages`. Raises FileError with file and line."""
        self._whole: set[Words] = set()  # requests of conversations with one user message, of any length
        self._within: dict[Words, set[Words]] = defaultdict(set)  # longer requests, by their first MIN_WORDS words
        for path in paths:
            for held, where in read_objects(path):
                self.add(_user_texts(held, where))

    def holds(self, row: Row) -> bool:
        """Return whether the row's requests overlap with the files.

        A row overlaps if its only user message is a request of the files, or if one of its user messages contains a
        request of the files that is long enough (MIN_WORDS or MIN_WORDS_OF_A_TURN).
        """
        texts = [words(message.content or "") for message in row.messages if message.role == "user"]
        return (len(texts) == 1 and texts[0] in self._whole) or any(self._is_within(text) for text in texts)

    def add(self, texts: Sequence[str]) -> None:
        """Add the user's messages of one conversation."""
        min_words = MIN_WORDS if len(texts) == 1 else MIN_WORDS_OF_A_TURN
        if len(texts) == 1:
            self._whole.add(words(texts[0]))
        for text in map(words, texts):
            if len(text) >= min_words:
                self._within[text[:MIN_WORDS]].add(text)

    def _is_within(self, text: Words) -> bool:
        for start in range(len(text) - MIN_WORDS + 1):
            for other in self._within.get(text[start : start + MIN_WORDS], ()):
                if text[start : start + len(other)] == other:
                    return True
        return False


def words(text: str) -> Words:
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _user_texts(held: Json, where: str) -> list[str]:
    messages = held.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise LineError(f"{where}: 'messages' must be a list of objects")
    texts = [message.get("content") for message in messages if message.get("role") == "user"]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise LineError(f"{where}: no message of the user with text")
    return texts
