"""The prefix cache: KV caches of ended sequences, found again by the tokens that a new prompt begins with.

The lookup compares token ids, not hashes, so two prompts are never confused. Each owner finds only its own sequences:
otherwise the time of an answer would reveal what another owner asked.
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
    num_bytes: int  # stays the same, because a cached sequence does not grow


class PrefixCache:
    """A cache that evicts the least recently used sequence first. Not thread-safe."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []  # least recently used first

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, owner: str, ids: Sequence[int], kv_cache: KVCache) -> None:
        """Add a sequence with the tokens `ids`. Removes the owner's sequences that are prefixes of it."""
        ids = list(ids)[: kv_cache.length]
        own = [entry for entry in self._entries if entry.owner == owner]
        if not ids or any(num_common(entry.ids, ids) == len(ids) for entry in own):
            return
        prefixes = {id(entry) for entry in own if num_common(entry.ids, ids) == len(entry.ids)}
        self._entries = [entry for entry in self._entries if id(entry) not in prefixes]
        detached = kv_cache.detached()
        self._entries.append(_Entry(owner, ids, detached, detached.num_bytes))
        del self._entries[:-MAX_ENTRIES]

    def longest(self, owner: str, ids: Sequence[int]) -> tuple[KVCache | None, int]:
        """Find the owner's sequence that has the longest common prefix with `ids`.

        Returns its KV cache, or None, and the length of the prefix in tokens.
        """
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
        """Evict until at most `max_bytes` are used."""
        while self._entries and self.num_bytes > max_bytes:
            del self._entries[0]


def num_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix.

    This is a binary search over slices, because Python compares slices in C.
    """
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low
