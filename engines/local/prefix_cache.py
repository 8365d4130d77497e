"""Keys and values of earlier sequences, found again by the tokens that a new prompt begins with.

Tokens themselves are compared, not hashes: another prompt's memory is never taken for one's own. Each owner has a
slab: nobody learns from the time of an answer what others asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.local.kv_cache import KVCache

MAX_ENTRIES = 128


@dataclass(eq=False)
class _Entry:
    owner: str
    ids: list[int]
    kv_cache: KVCache
    num_bytes: int  # it grows no more


class PrefixCache:
    """Least recently used goes first. Not for two threads at once."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []  # the last one was used last

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, owner: str, ids: Sequence[int], kv_cache: KVCache) -> None:
        """Keep a sequence, `ids` being the tokens of its keys and values. What it continues is no longer needed."""
        ids = list(ids)[: kv_cache.length]
        mine = [entry for entry in self._entries if entry.owner == owner]
        if not ids or any(num_common(entry.ids, ids) == len(ids) for entry in mine):
            return
        continued = {id(entry) for entry in mine if num_common(entry.ids, ids) == len(entry.ids)}
        self._entries = [entry for entry in self._entries if id(entry) not in continued]
        detached = kv_cache.detached()
        self._entries.append(_Entry(owner, ids, detached, detached.num_bytes))
        del self._entries[:-MAX_ENTRIES]

    def longest(self, owner: str, ids: Sequence[int]) -> tuple[KVCache | None, int]:
        """Of the owner's sequences the one that begins most alike, and the number of tokens in common."""
        best, num_best = None, 0
        for entry in self._entries:
            if entry.owner == owner and (num := num_common(entry.ids, ids)) > num_best:
                best, num_best = entry, num
        if best is None:
            return None, 0
        self._entries.remove(best)
        self._entries.append(best)
        return best.kv_cache, num_best

    def shrink(self, max_bytes: int) -> None:
        while self._entries and self.num_bytes > max_bytes:
            del self._entries[0]


def num_common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with. Halves are compared: that is done in C."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low
