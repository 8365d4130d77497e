"""Inject exceptions into functions that the engine's thread calls, and check that no request or memory is left."""

from __future__ import annotations

import asyncio
import operator
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from core.generation import Constraint, Drafts, Lark, Sampling
from core.turn_format import TurnFormat
from engines.local import forward, stepping
from engines.local.engine import LocalEngine
from engines.local.kv_cache import KVCache, KVSlab, KVSlabs
from engines.local.prefix_cache import PrefixCache
from engines.local.scheduler import Request
from tests.support.small_engine import GREEDY, ids, num_requests, prompts_of, steps

ANSWER_S = 5.0
COMMON, *REST = prompts_of([40, 10, 12, 8, 20])
FIRST, SECOND, GUILTY, LAST = ([*COMMON, *rest] for rest in REST)
LONG = replace(GREEDY, max_tokens=20)
SUSPECT = replace(
    GREEDY,
    max_tokens=24,
    constraint=Constraint(turn=Lark("start: /(.|\\n)*/\n", {})),
    drafts=Drafts(TurnFormat("text", {}), prefill="", calls=()),
)


class Panic(BaseException):
    """Stands for the exception that pyo3 raises for a panic in Rust, which is a BaseException."""


ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: MemoryError("no room"),
    lambda: RuntimeError("cannot allocate memory at 0x7f00"),
    lambda: Panic("at /secret/path.rs"),
    lambda: SystemExit(0),
)


@dataclass(frozen=True)
class Point:
    """A function that the engine's thread calls, and the calls in which it fails.

    path: the attributes that lead to the function from the engine, the guilty request or `owner`.
    ends: the requests that an exception in the function ends.
    since: when the failures begin: when the guilty request is submitted, when it has sampled its first token, or when
    all three requests decode.
    of: only calls that get the guilty request, or one of its parts, as an argument fail.
    times: how many calls fail; a failed step of several requests is retried.
    """

    path: str
    ends: Literal["guilty", "running", "none"]
    since: Literal["submitted", "sampled", "together"] = "sampled"
    of: bool = False
    times: int = 1
    owner: object = None


POINTS = (
    Point("_wait_for_work", "running"),
    Point("_update_running", "running"),
    Point("_next_waiting", "running"),
    Point("_step", "running"),
    Point("_scheduler.drop_closed", "running"),
    Point("_scheduler.next_waiting", "running"),
    Point("_scheduler.schedule", "running"),
    Point("_memory.excess", "running"),
    Point("_memory._num_needed", "running"),
    Point("shrink", "running", owner=PrefixCache),
    Point("_prefill_budget.num_tokens", "running"),
    Point("_prefill_budget.record", "running"),
    Point("_num_steps.inc", "running"),
    Point("_stepper.advance", "running"),
    Point("_memory.can_start", "guilty", "submitted", of=True),
    Point("_scheduler.admit", "guilty", "submitted", of=True),
    Point("_memory.start", "guilty", "submitted", of=True),
    Point("longest", "guilty", "submitted", of=True, owner=PrefixCache),
    Point("slab_for", "guilty", "submitted", owner=KVSlabs),
    Point("allocate", "guilty", "submitted", owner=KVSlab),
    Point("copy", "guilty", "submitted", owner=KVCache),
    Point("_copied_to", "guilty", "submitted", owner=KVCache),
    Point("reserve", "none", "together", of=True, owner=KVCache),
    Point("reserve", "guilty", "together", of=True, times=2, owner=KVCache),
    Point("write", "none", "together", of=True, owner=KVCache),
    Point("forward", "none", "together", of=True, owner=stepping),
    Point("forward", "guilty", "together", of=True, times=2, owner=stepping),
    Point("_logits", "none", "together", of=True, owner=forward),
    Point("_make_plan", "none", "together", of=True, owner=forward),
    Point("_stepper._draft", "guilty", of=True),
    Point("_stepper._prepare", "running"),
    Point("_span", "guilty", of=True, owner=stepping),
    Point("_stepper._advance_request", "guilty", of=True),
    Point("_stepper._sample", "guilty", of=True),
    Point("times.gained", "guilty"),
    Point("_stepper._deliver", "guilty", of=True),
    Point("sampler.sample", "guilty"),
    Point("matcher.mask", "guilty"),
    Point("matcher.accept", "guilty"),
    Point("matcher.forced", "guilty"),
    Point("drafter.propose", "guilty"),
    Point("drafter.read", "guilty"),
    Point("finish", "guilty", of=True, owner=Request),
    Point("call_soon_threadsafe", "guilty", of=True, owner=asyncio.BaseEventLoop),
    Point("_memory.cache_prefix", "none", of=True),
    Point("put", "none", of=True, owner=PrefixCache),
)


class Injection:
    """Replaces a point's function. Once the injection is active, `fault` is called before each call of the function."""

    def __init__(
        self, engine: LocalEngine, point: Point, fault: Callable[..., object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Replace the point's function. `fault` gets the arguments of each call."""
        self.num_fired = 0
        self.is_armed = False
        self._engine, self._point, self._fault = engine, point, fault
        self._patch = monkeypatch

    def arm(self) -> None:
        if not self.is_armed:
            is_its_own = self._point.path.startswith(("sampler", "matcher", "drafter", "times"))
            self._insert(self._guilty if is_its_own else self._point.owner or self._engine)
        self.is_armed = True

    def has_fired(self) -> bool:
        return self.num_fired == self._point.times

    @property
    def _guilty(self) -> Request | None:
        return next((request for request in list(self._engine._scheduler) if is_guilty(request)), None)

    def _insert(self, root: object) -> None:
        *parents, name = self._point.path.split(".")
        owner = operator.attrgetter(".".join(parents))(root) if parents else root
        original = getattr(owner, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            if self.num_fired < self._point.times and (not self._point.of or self._concerns(args)):
                self.num_fired += 1
                self._fault(*args)
            return original(*args, **options)

        self._patch.setattr(owner, name, wrapped)

    def _concerns(self, args: Sequence[Any]) -> bool:
        """Return whether some argument is the guilty request, its KV cache, its tokens or its queue of steps."""
        for arg in args:
            if isinstance(arg, Request) and is_guilty(arg):
                return True
            guilty = self._guilty
            if guilty is None:
                continue
            if arg is guilty.kv_cache or getattr(arg, "__self__", None) is guilty.steps:
                return True
            if isinstance(arg, list) and arg:
                if arg == guilty.ids[: len(arg)]:
                    return True
                if any(getattr(span, "kv_cache", arg) is guilty.kv_cache for span in arg):
                    return True
        return False


def is_guilty(request: Request) -> bool:
    return request.sampling == SUSPECT


def failing(
    engine: LocalEngine,
    point: str | Point,
    error: Callable[[], BaseException],
    patch: pytest.MonkeyPatch,
    *,
    times: int = 10**9,
) -> None:
    """Make the next `times` calls of the point fail."""

    def fault(*args: Any) -> None:
        raise error()

    point = replace(point, times=times) if isinstance(point, Point) else Point(point, "none", times=times)
    Injection(engine, point, fault, patch).arm()


def spy_on_kv_caches(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[KVCache]]:
    """Collect weak references to all KV caches that are created from now on."""
    found: list[weakref.ref[KVCache]] = []
    init = KVCache.__init__

    def spied(self: KVCache, *args: Any) -> None:
        found.append(weakref.ref(self))
        init(self, *args)

    monkeypatch.setattr(KVCache, "__init__", spied)
    return found


def check_nothing_is_left(engine: LocalEngine, made: list[weakref.ref[KVCache]]) -> None:
    """Check that no request, no slab row and no KV cache outside the prefix cache is left.

    Does not run the garbage collector, which does not count the memory of a GPU.
    """
    asyncio.run(until(lambda: num_requests(engine) == 0))
    cached = {id(entry.kv_cache) for entry in engine._memory._cache._entries}

    def is_freed() -> bool:
        return {id(one) for ref in made if (one := ref()) is not None} <= cached

    asyncio.run(until(is_freed))
    assert all(len(slab.free_rows) == slab.num_rows for slab in engine._memory._slabs._slabs)


def num_faults(engine: LocalEngine) -> float:
    return engine.registry.get_sample_value("functionary:engine_faults_total") or 0.0


async def as_ids(engine: LocalEngine, prompt: list[int], sampling: Sampling) -> list[int]:
    return ids(await steps(engine, prompt, sampling))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
