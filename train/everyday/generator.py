"""Rows by number: each follows from the seed and its number alone, so that an interrupted file can be continued."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from random import Random

from client.rows import Row, row_text
from train.everyday import chains, conversations
from train.rows import check_row

Builder = Callable[[Random], Row]

# What the rows are, in parts of a hundred.
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
    """The templates do not give as many distinct rows as were asked for."""


class Generator:
    """Gives rows in order, no two alike."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._seen: set[bytes] = set()

    def row(self, number: int) -> Row:
        """The row of a number, given that all before it were made or remembered. Raises NoMoreRows."""
        for attempt in range(MAX_ATTEMPTS):
            row = self._draw(number, attempt)
            if self._essence(row) not in self._seen:
                check_row(row)
                self.remember(row)
                return row
        raise NoMoreRows(f"the templates give no more than about {number:,} different rows")

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        return (self.row(number) for number in range(start, stop))

    def remember(self, row: Row) -> None:
        self._seen.add(self._essence(row))

    def forget(self) -> None:
        """Begin anew."""
        self._seen.clear()

    def _draw(self, number: int, attempt: int) -> Row:
        random = Random(f"{self.seed}/{number}/{attempt}")
        kinds = random.choices(list(MIXTURE.values()), [weight for weight, _ in MIXTURE.values()])
        return kinds[0][1](random)

    @staticmethod
    def _essence(row: Row) -> bytes:
        """Rows with calls are alike when the user says the same; those without also need the same functions."""
        said = [message.content or "" for message in row.messages if message.role == "user"]
        text = "\n".join(said) if row.calls else row_text(row)
        return hashlib.blake2b(text.casefold().encode(), digest_size=12).digest()
