"""Generates rows by number. The seed and the number determine a row, so an interrupted run can resume."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from random import Random

from client.rows import Row, row_text
from train.everyday import chains, conversations
from train.rows import check_row

Builder = Callable[[Random], Row]

# The kinds of rows with their weights. Some builders make several kinds; `meta.kind` has the kind of each row.
MIXTURE: dict[str, tuple[int, Builder]] = {
    "single": (38, conversations.single),
    "parallel": (13, conversations.parallel),
    "parallel_multiple": (12, conversations.parallel_multiple),
    "multi_turn": (14, chains.multi_turn),
    "missing_param": (7, conversations.missing_param),
    "irrelevant": (7, conversations.irrelevant),
    "near_miss": (5, conversations.near_miss),
    "small_talk": (7, conversations.small_talk),
}
MAX_ATTEMPTS = 1000


class NoMoreRows(Exception):
    """The templates cannot give the requested number of distinct rows."""


class Generator:
    """Generates distinct rows, in the order of their numbers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._seen: set[bytes] = set()

    def row(self, number: int) -> Row:
        """Generate a row. All rows before it must have been generated or marked as seen. Raises NoMoreRows."""
        for attempt in range(MAX_ATTEMPTS):
            row = self._sample_row(number, attempt)
            if self._identity(row) not in self._seen:
                check_row(row)
                self.mark_seen(row)
                return row
        raise NoMoreRows(f"the templates give no more than about {number:,} different rows")

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        return (self.row(number) for number in range(start, stop))

    def mark_seen(self, row: Row) -> None:
        self._seen.add(self._identity(row))

    def reset(self) -> None:
        """Forget all seen rows."""
        self._seen.clear()

    def _sample_row(self, number: int, attempt: int) -> Row:
        random = Random(f"{self.seed}/{number}/{attempt}")
        kinds = random.choices(list(MIXTURE.values()), [weight for weight, _ in MIXTURE.values()])
        return kinds[0][1](random)

    @staticmethod
    def _identity(row: Row) -> bytes:
        """Return a hash that is equal for duplicates. It covers the user's messages; without calls, the whole row."""
        said = [message.content or "" for message in row.messages if message.role == "user"]
        text = "\n".join(said) if row.calls else row_text(row)
        return hashlib.blake2b(text.casefold().encode(), digest_size=12).digest()
