"""Keys and values of running requests and of earlier ones, together within one bound."""

from __future__ import annotations

from collections.abc import Sequence

from engines.local.kv_cache import KeyValues, Shelves, capacity_for
from engines.local.prefix_cache import PrefixCache, num_common
from engines.local.scheduler import Request

_WORTH_WAITING = 32  # tokens that another request is about to compute for both


class Memory:
    """`max_tokens` fit in. Running requests come before remembered ones. Not for two threads at once."""

    def __init__(self, max_tokens: int, bytes_per_token: int) -> None:
        self.max_tokens = max_tokens
        self._bytes_per_token = bytes_per_token
        self._cache = PrefixCache()
        self._shelves = Shelves(max_tokens)

    def has_room(self, running: Sequence[Request], request: Request) -> bool:
        """Whether it can begin; it may still have to make room for older ones when answers grow."""
        return not running or self._needed([*running, request]) <= self.max_tokens

    def too_many(self, running: Sequence[Request]) -> list[Request]:
        """Those that came last, if not all have room for their next tokens. The first one always has."""
        keep = list(running)
        while len(keep) > 1 and self._needed(keep) > self.max_tokens:
            keep.pop()
        taken = max(self._needed(keep) * self._bytes_per_token, self._shelves.num_bytes)
        self._cache.shrink(self.max_tokens * self._bytes_per_token - taken)
        return list(running[len(keep) :])

    def begin(self, request: Request, running: Sequence[Request]) -> bool:
        """Give it what is known of the tokens that it begins with.

        False if it had better wait: another one is just reading the same. At least its last token is left to read, for
        what comes next is drawn from that.
        """
        owner, ids = request.sampling.owner, request.ids[:-1]
        best, num_best = self._cache.longest(owner, ids)
        for other in running:
            if other.keys_values is None or other is request or other.sampling.owner != owner:
                continue
            num_same = num_common(other.ids, ids)
            if other.num_left > 1 and other.is_ready and num_same > max(num_best, other.num_computed) + _WORTH_WAITING:
                return False
            if (num_ready := min(num_same, other.num_computed)) > num_best:
                best, num_best = other.keys_values, num_ready
        room = len(request.ids) + 1
        known = KeyValues(self._shelves, room) if best is None else best.copy(num_best, self._shelves, room)
        request.keys_values = known
        if request.num_drawn == 0:
            request.num_cached = num_best
        return True

    def share(self, running: Sequence[Request]) -> float:
        """How much of the room is taken, 0 to 1 and a little over."""
        kept = self._needed(running) * self._bytes_per_token + self._cache.num_bytes
        return kept / (self.max_tokens * self._bytes_per_token)

    def keep(self, request: Request) -> None:
        """Remember a request that has ended."""
        if request.keys_values is not None:
            self._cache.put(request.sampling.owner, request.ids, request.keys_values)

    def forget(self) -> None:
        """Drop the prefix cache."""
        self._cache = PrefixCache()

    def clear(self) -> None:
        """Free all keys and values. No request may be running."""
        self.forget()
        self._shelves = Shelves(self.max_tokens)

    def _needed(self, requests: Sequence[Request]) -> int:
        return sum(capacity_for(len(request.ids) + 1) for request in requests)
