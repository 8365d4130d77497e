"""Keys and values of running requests and of earlier ones, together within one bound."""

from __future__ import annotations

from collections.abc import Sequence

from engines.local.kv_cache import KVCache, KVSlabs, slab_capacity
from engines.local.prefix_cache import PrefixCache, num_common
from engines.local.scheduler import Request

_WORTH_WAITING = 32  # tokens that another request is about to compute for both


class KVMemory:
    """`max_tokens` fit in. Running requests come before remembered ones. Not for two threads at once."""

    def __init__(self, max_tokens: int, bytes_per_token: int) -> None:
        self.max_tokens = max_tokens
        self._bytes_per_token = bytes_per_token
        self._cache = PrefixCache()
        self._slabs = KVSlabs(max_tokens)

    def can_start(self, running: Sequence[Request], request: Request) -> bool:
        """Whether it can start; it may still have to make room for older ones when answers grow."""
        return not running or self._num_needed([*running, request]) <= self.max_tokens

    def excess(self, running: Sequence[Request]) -> list[Request]:
        """Those that came last, if not all have room for their next tokens. The first one always has."""
        keep = list(running)
        while len(keep) > 1 and self._num_needed(keep) > self.max_tokens:
            keep.pop()
        taken = max(self._num_needed(keep) * self._bytes_per_token, self._slabs.num_bytes)
        self._cache.shrink(self.max_tokens * self._bytes_per_token - taken)
        return list(running[len(keep) :])

    def start(self, request: Request, running: Sequence[Request]) -> None:
        """Give it what is known of the tokens that it begins with.

        False if it had better wait: another one is just reading the same. At least its last token is left to read, for
        what comes next is drawn from that.
        """
        owner, ids = request.sampling.owner, request.ids[:-1]
        best, num_best = self._cache.longest(owner, ids)
        for other in running:
            if other.kv_cache is None or other is request or other.sampling.owner != owner:
                continue
            num_same = num_common(other.ids, ids)
            if (
                other.num_uncomputed > 1
                and other.is_ready
                and num_same > max(num_best, other.num_computed) + _WORTH_WAITING
            ):
                return
            if (num_ready := min(num_same, other.num_computed)) > num_best:
                best, num_best = other.kv_cache, num_ready
        room = len(request.ids) + 1
        known = KVCache(self._slabs, room) if best is None else best.copy(num_best, self._slabs, room)
        request.kv_cache = known
        if request.num_sampled == 0:
            request.num_cached = num_best

    def usage(self, running: Sequence[Request]) -> float:
        """How much of the room is taken, 0 to 1 and a little over."""
        kept = self._num_needed(running) * self._bytes_per_token + self._cache.num_bytes
        return kept / (self.max_tokens * self._bytes_per_token)

    def cache_prefix(self, request: Request) -> None:
        """Remember a request that has ended."""
        if request.kv_cache is not None:
            self._cache.put(request.sampling.owner, request.ids, request.kv_cache)

    def clear_prefix_cache(self) -> None:
        """Drop the prefix cache."""
        self._cache = PrefixCache()

    def clear(self) -> None:
        """Free all keys and values. No request may be running."""
        self.clear_prefix_cache()
        self._slabs = KVSlabs(self.max_tokens)

    def _num_needed(self, requests: Sequence[Request]) -> int:
        return sum(slab_capacity(len(request.ids) + 1) for request in requests)
