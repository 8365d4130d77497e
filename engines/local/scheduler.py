"""Decides which requests run in the next step, and how many tokens of each. Does not touch the model."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.errors import EngineBusy
from core.generation import Sampling, Step
from core.turn_format import FinishReason
from drafting.drafter import Drafter
from engines.local.kv_cache import KVCache
from engines.local.sampling import Sampler
from engines.metrics import RequestTimes
from guarantees.matcher import Matcher

MAX_WAITING = 128
MAX_UNREAD_STEPS = 256  # a request pauses while its reader is this many steps behind


@dataclass(eq=False)
class Request:
    """The state of one request in the engine. `ids` holds the prompt's token ids, then the sampled ones."""

    ids: list[int]
    sampling: Sampling
    sampler: Sampler
    matcher: Matcher | None
    loop: asyncio.AbstractEventLoop
    times: RequestTimes
    steps: asyncio.Queue[Step | Exception] = field(default_factory=asyncio.Queue)
    drafter: Drafter | None = None
    kv_cache: KVCache | None = None
    num_cached: int = 0
    num_unread_steps: int = 0
    was_admitted: bool = False  # it has, or had before it was preempted, a slot
    is_closed: bool = False
    has_ended: bool = False  # its last step or its error was delivered
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.ids)

    def finish(self, reason: FinishReason) -> None:
        """Mark the request as finished with its last sampled token. This cannot be undone."""
        self.finish_reason = reason
        self.is_closed = True

    @property
    def running_kv_cache(self) -> KVCache:
        """Return the request's KV cache. Raises ValueError if it has none, because it is not running."""
        if self.kv_cache is None:
            raise ValueError("the request is not running")
        return self.kv_cache

    @property
    def num_computed(self) -> int:
        return 0 if self.kv_cache is None else self.kv_cache.length

    @property
    def num_uncomputed(self) -> int:
        """The number of tokens to compute before the next one can be sampled. It is 1 while the request decodes."""
        return len(self.ids) - self.num_computed

    @property
    def is_ready(self) -> bool:
        """Whether the request may run: False while its reader is too many steps behind."""
        return self.num_unread_steps < MAX_UNREAD_STEPS

    @property
    def num_sampled(self) -> int:
        return len(self.ids) - self.num_prompt_tokens


class Scheduler:
    """The running requests, and one queue of waiting requests per owner. Not thread-safe.

    The owner with the fewest running requests gets the next slot; among equals, the owner that was served longest ago.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.running: list[Request] = []  # in the order of admission
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, deque[Request]] = OrderedDict()

    @property
    def num_waiting(self) -> int:
        return sum(map(len, list(self._waiting.values())))

    def __iter__(self) -> Iterator[Request]:
        yield from self.running
        for queue in self._waiting.values():
            yield from queue

    def submit(self, request: Request) -> None:
        """Append a request to its owner's queue. Raises EngineBusy if all queues together are full."""
        if self.num_waiting >= self._max_waiting:
            raise EngineBusy
        self._waiting.setdefault(request.sampling.owner, deque()).append(request)

    def preempt(self, request: Request) -> None:
        """Take the slot and the KV cache from a request, and put it at the head of its owner's queue."""
        request.kv_cache = None
        self._waiting.setdefault(request.sampling.owner, deque()).appendleft(request)
        self.running.remove(request)

    def drop_closed(self) -> None:
        """Remove the requests that have ended or whose reader has left."""
        self.running = [request for request in self.running if not request.is_closed]
        for owner, queue in list(self._waiting.items()):
            self._waiting[owner] = deque(request for request in queue if not request.is_closed)
            if not self._waiting[owner]:
                del self._waiting[owner]

    def clear(self) -> list[Request]:
        """Remove all requests, and return them."""
        requests = list(self)
        self.running = []
        self._waiting.clear()
        return requests

    def next_waiting(self) -> Request | None:
        """The request to admit next, or None if no request waits or no slot is free."""
        if not self._waiting or len(self.running) >= self._max_running:
            return None
        num_slots = dict.fromkeys(self._waiting, 0)
        for request in self.running:
            if request.sampling.owner in num_slots:
                num_slots[request.sampling.owner] += 1
        return self._waiting[min(num_slots, key=num_slots.__getitem__)][0]

    def admit(self, request: Request) -> None:
        """Give a slot to `request`, the first in its owner's queue, and move the owner behind all other owners."""
        owner = request.sampling.owner
        request.was_admitted = True
        self.running.append(request)
        self._waiting[owner].popleft()
        self._waiting.move_to_end(owner)
        if not self._waiting[owner]:
            del self._waiting[owner]

    def schedule(self, num_tokens: int) -> list[tuple[Request, int]]:
        """Return the requests of the next step, and how many tokens of each the step computes.

        All decoding requests run. The requests in prefill share `num_tokens`: the oldest gets at least a quarter, and
        the rest goes first to the request with the fewest tokens left. So a long prompt does not delay short prompts,
        and many short prompts cannot hold up a long one.
        """
        ready = [request for request in self.running if request.is_ready and request.kv_cache is not None]
        decoding = [request for request in ready if request.num_uncomputed == 1]
        prefilling = [request for request in ready if request.num_uncomputed > 1]
        shares: dict[Request, int] = {}
        for request in prefilling[:1]:
            shares[request] = min(request.num_uncomputed, max(1, num_tokens // 4))
        for request in sorted(prefilling, key=lambda request: request.num_uncomputed):
            available = num_tokens - sum(shares.values()) + shares.get(request, 0)
            if available > 0:
                shares[request] = min(request.num_uncomputed, available)
        return [*((request, 1) for request in decoding), *((one, shares[one]) for one in prefilling if one in shares)]
