"""Which requests run in the next step, and how much of each. Knows tokens and turns, not what a model is."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.errors import EngineBusy
from core.generation import Sampling, Step
from core.turn_format import FinishReason
from drafting.drafter import Drafter
from engines.local.kv_cache import KVCache
from engines.local.sampling import Sampler
from guarantees.matcher import Matcher

MAX_WAITING = 128
MAX_UNREAD_STEPS = 256  # steps that nobody has taken yet; then the request pauses until its reader is back


@dataclass(eq=False)
class Request:
    """All that the engine holds of one request. `ids`: the prompt's and those drawn so far."""

    ids: list[int]
    sampling: Sampling
    sampler: Sampler
    matcher: Matcher | None
    loop: asyncio.AbstractEventLoop
    steps: asyncio.Queue[Step | Exception] = field(default_factory=asyncio.Queue)
    drafter: Drafter | None = None
    kv_cache: KVCache | None = None
    num_cached: int = 0
    num_unread_steps: int = 0
    is_closed: bool = False
    has_ended: bool = False  # its last item was delivered
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.ids)
        self.submitted_at = time.monotonic()

    def finish(self, reason: FinishReason) -> None:
        """With the token drawn last. Never back to open: its reader may have left meanwhile."""
        self.finish_reason = reason
        self.is_closed = True

    @property
    def running_kv_cache(self) -> KVCache:
        """The keys and values of a request that has submitted_at."""
        if self.kv_cache is None:
            raise ValueError("the request has not submitted_at")
        return self.kv_cache

    @property
    def num_computed(self) -> int:
        return 0 if self.kv_cache is None else self.kv_cache.length

    @property
    def num_uncomputed(self) -> int:
        """Tokens that are to be read before the next one can be drawn; 1 when the last one drawn is all."""
        return len(self.ids) - self.num_computed

    @property
    def is_ready(self) -> bool:
        """Not paused until its reader is back."""
        return self.num_unread_steps < MAX_UNREAD_STEPS

    @property
    def num_sampled(self) -> int:
        return len(self.ids) - self.num_prompt_tokens


class Scheduler:
    """Requests wait in schedule of their owners, and run together. Not for two threads at once.

    A place goes to the owner who has fewest, then to who has waited longest.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.running: list[Request] = []  # as they came
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
        """Raises EngineBusy."""
        if self.num_waiting >= self._max_waiting:
            raise EngineBusy
        self._waiting.setdefault(request.sampling.owner, deque()).append(request)

    def preempt(self, request: Request) -> None:
        """It has to make room, and is first among its owner's to run again."""
        request.kv_cache = None
        self._waiting.setdefault(request.sampling.owner, deque()).appendleft(request)
        self.running.remove(request)

    def drop_closed(self) -> None:
        """Requests whose reader has left, or that have ended."""
        self.running = [request for request in self.running if not request.is_closed]
        for owner, queue in list(self._waiting.items()):
            self._waiting[owner] = deque(request for request in queue if not request.is_closed)
            if not self._waiting[owner]:
                del self._waiting[owner]

    def clear(self) -> list[Request]:
        """Forget all requests; returns them."""
        requests = list(self)
        self.running = []
        self._waiting.clear()
        return requests

    def next_waiting(self) -> Request | None:
        """Who would be admitted next, if there is a place."""
        if not self._waiting or len(self.running) >= self._max_running:
            return None
        num_rows = dict.fromkeys(self._waiting, 0)
        for request in self.running:
            if request.sampling.owner in num_rows:
                num_rows[request.sampling.owner] += 1
        return self._waiting[min(num_rows, key=num_rows.__getitem__)][0]

    def admit(self, request: Request) -> None:
        """Its owner is asked last the next time."""
        owner = request.sampling.owner
        self.running.append(request)
        self._waiting[owner].popleft()
        self._waiting.move_to_end(owner)
        if not self._waiting[owner]:
            del self._waiting[owner]

    def schedule(self, num_tokens: int) -> list[tuple[Request, int]]:
        """The requests of the next step, and how many tokens of each are read.

        Whoever draws goes on. Prompts share `num_tokens`: the oldest has a quarter at least, and the shortest rest
        comes first, so that neither a long prompt holds up short ones nor many short ones a long one.
        """
        ready = [request for request in self.running if request.is_ready and request.kv_cache is not None]
        drawing = [request for request in ready if request.num_uncomputed == 1]
        reading = [request for request in ready if request.num_uncomputed > 1]
        shares: dict[Request, int] = {}
        for request in reading[:1]:
            shares[request] = min(request.num_uncomputed, max(1, num_tokens // 4))
        for request in sorted(reading, key=lambda request: request.num_uncomputed):
            room = num_tokens - sum(shares.values()) + shares.get(request, 0)
            if room > 0:
                shares[request] = min(request.num_uncomputed, room)
        return [*((request, 1) for request in drawing), *((one, shares[one]) for one in reading if one in shares)]
