"""The memory that the KV caches of running requests and the prefix cache share."""

from __future__ import annotations

from collections.abc import Sequence

from engines.local.kv_cache import KVCache, KVSlabs, slab_capacity
from engines.local.prefix_cache import PrefixCache, num_common
from engines.local.scheduler import Request

_MIN_SHARED_PREFILL = 32  # tokens; a request waits if another one is computing so long a common prefix


class KVMemory:
    """Memory for `max_tokens` tokens. When it is full, the prefix cache makes room for running requests.

    Not thread-safe.
    """

    def __init__(self, max_tokens: int, bytes_per_token: int) -> None:
        self.max_tokens = max_tokens
        self._bytes_per_token = bytes_per_token
        self._cache = PrefixCache()
        self._slabs = KVSlabs(max_tokens)

    @property
    def max_bytes(self) -> int:
        return self.max_tokens * self._bytes_per_token

    def can_start(self, running: Sequence[Request], request: Request) -> bool:
        """Whether the KV cache of one more request fits now. It may be preempted later, when the answers have grown."""
        return not running or self._num_needed([*running, request]) <= self.max_tokens

    def excess(self, running: Sequence[Request]) -> list[Request]:
        """Return the newest requests that must be preempted to make room for the next tokens of the remaining ones.

        The oldest request always remains. Evicts entries of the prefix cache if the remaining requests need the memory.
        """
        keep = list(running)
        while len(keep) > 1 and self._num_needed(keep) > self.max_tokens:
            keep.pop()
        used_bytes = max(self._num_needed(keep) * self._bytes_per_token, self._slabs.num_bytes)
        self._cache.shrink(self.max_bytes - used_bytes)
        return list(running[len(keep) :])

    def start(self, request: Request, running: Sequence[Request]) -> None:
        """Give a request its KV cache, which begins with the longest known prefix of the request's tokens.

        The prefix comes from the prefix cache or from a running request. If a running request is still computing
        a longer prefix that both share, the new request gets no KV cache yet. The last token is always computed anew,
        because its logits are needed to sample the next token.
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
                and num_same > max(num_best, other.num_computed) + _MIN_SHARED_PREFILL
            ):
                return
            if (num_known := min(num_same, other.num_computed)) > num_best:
                best, num_best = other.kv_cache, num_known
        min_tokens = len(request.ids) + 1
        copied = None if best is None else best.copy(num_best, self._slabs, min_tokens)
        request.kv_cache = copied or KVCache(self._slabs, min_tokens)
        if request.num_sampled == 0:
            request.num_cached = num_best

    def usage(self, running: Sequence[Request]) -> float:
        """Return the share of the memory that is in use: 0 to 1, and sometimes slightly more for a moment."""
        num_bytes = self._num_needed(running) * self._bytes_per_token + self._cache.num_bytes
        return num_bytes / self.max_bytes

    def cache_prefix(self, request: Request) -> None:
        """Put the KV cache of an ended request into the prefix cache."""
        if request.kv_cache is not None:
            self._cache.put(request.sampling.owner, request.ids, request.kv_cache)

    def clear_prefix_cache(self) -> None:
        """Free the prefix cache."""
        self._cache = PrefixCache()

    def clear(self) -> None:
        """Free the prefix cache and all slabs. No request may be running."""
        self.clear_prefix_cache()
        self._slabs = KVSlabs(self.max_tokens)

    def _num_needed(self, requests: Sequence[Request]) -> int:
        return sum(slab_capacity(len(request.ids) + 1) for request in requests)
