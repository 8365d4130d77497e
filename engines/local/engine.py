"""The engine that runs a transformers model in this process: it owns the model, the step loop and its thread.

Requests join and leave between steps. A step is one forward (engines/local/forward.py) that computes prefill tokens of
some requests and decodes others; engines/local/scheduler.py decides how many tokens of each request it computes.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import AsyncGenerator, Sequence

from prometheus_client import CollectorRegistry
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from core.errors import EngineDown, EngineError, QueueTimeout
from core.generation import Sampling, Step
from drafting.drafter import Drafter
from engines.checks import check_request
from engines.local import scheduler
from engines.local.cpu import optimize
from engines.local.devices import default_cache_bytes
from engines.local.faults import Faults
from engines.local.forward import has_length_dependent_rope, prepare
from engines.local.kv_cache import BLOCK
from engines.local.kv_memory import KVMemory
from engines.local.prefill_budget import PrefillBudget
from engines.local.sampling import Sampler
from engines.local.scheduler import Request, Scheduler
from engines.local.stepping import Stepper
from engines.metrics import EngineMetrics, FinishedReason
from guarantees.matcher import ConstraintCompiler

MAX_RUNNING = 16
MAX_FAULTS_IN_A_ROW = 3  # each fault ends all running requests; after so many without a good step the engine is down
STEP_TIMEOUT_S, GPU_STEP_TIMEOUT_S = 120.0, 60.0


class LocalEngine:
    """Generates with a causal language model of transformers, on a CPU or a GPU.

    Any model works whose attention can be replaced.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        max_context: int,
        *,
        eos_id: int | None = None,
        max_running: int | None = None,
        max_waiting: int | None = None,
        queue_timeout_s: float | None = None,
        cache_bytes: int | None = None,
        quantize: str | None = None,
        step_timeout_s: float | None = None,
    ) -> None:
        """Start the engine's thread. Changes the model in place: afterwards only this engine can run it.

        queue_timeout_s: how long a request may wait for a slot; None for no bound.
        cache_bytes: memory for the KV cache and the prefix cache together; by default `default_cache_bytes`.
        quantize: "int8" for 8-bit weights on a CPU. step_timeout_s: a step that takes longer counts as hung. Raises
        ModelError if the model's attention cannot be replaced.
        """
        self._model = model
        self._vocab_size = int(model.get_output_embeddings().weight.shape[0])  # type: ignore[no-untyped-call]
        self._optimizations = optimize(model, quantize) if model.device.type == "cpu" else ""
        self._needs_own_forwards = has_length_dependent_rope(model)
        bytes_per_token = prepare(model)
        max_running = max_running or MAX_RUNNING
        context_bytes = bytes_per_token * max_context
        cache_bytes = cache_bytes or default_cache_bytes(model.device, context_bytes, max_running)
        self._memory = KVMemory(max(BLOCK, cache_bytes // bytes_per_token), bytes_per_token)
        self._max_context = min(max_context, self._memory.max_tokens)
        self._constraints = ConstraintCompiler(tokenizer, self._vocab_size, eos_id=eos_id)
        self._scheduler = Scheduler(max_running, max_waiting or scheduler.MAX_WAITING)
        self._queue_timeout_s = queue_timeout_s
        self._metrics = self._make_metrics()
        self._num_steps = self._metrics.add_counter("engine_steps", "Forwards of the model.")
        self._num_preemptions = self._metrics.add_counter(
            "num_preemptions", "Requests that lost their slot because the KV cache was full, and run again later."
        )
        self._faults = Faults(self._memory, self._deliver, self._metrics)
        self._stepper = Stepper(model, self._max_context, self._deliver, self._faults)
        self._prefill_budget = PrefillBudget()
        self._lock = threading.Lock()  # guards the scheduler's lists; never held during a forward or an allocation
        self._wake = threading.Event()
        self._is_closing = False
        self._down_reason = ""  # why the engine is down; empty while it works
        self._num_faults = 0  # faults since the last successful step
        self._step_timeout_s = step_timeout_s or (STEP_TIMEOUT_S if model.device.type == "cpu" else GPU_STEP_TIMEOUT_S)
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    @property
    def max_context(self) -> int:
        return self._max_context

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def registry(self) -> CollectorRegistry:
        return self._metrics.registry

    @property
    def is_down(self) -> bool:
        return not self._is_closing and bool(self._down_reason or not self._thread.is_alive())

    def description(self) -> str:
        how = [str(self._model.dtype).removeprefix("torch."), *([self._optimizations] if self._optimizations else [])]
        cache_mb = round(self._memory.max_bytes / 2**20)
        return f"{self._model.device} ({', '.join(how)}), at most {cache_mb} MB for the KV cache and the prefix cache"

    def health(self) -> str:
        if self._is_closing:
            return "the engine is shutting down"
        if self.is_down:
            return self._down_reason or "the engine's thread has ended"
        busy_since = self._busy_since
        busy_s = 0.0 if busy_since is None else time.monotonic() - busy_since
        return f"a step has been running for {busy_s:.0f} s" if busy_s > self._step_timeout_s else ""

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        check_request(prompt_ids, sampling, self._max_context, self._vocab_size)
        times = self._metrics.submitted(len(prompt_ids), sampling.max_tokens)
        matcher = None
        if sampling.constraint is not None:
            matcher = await asyncio.to_thread(self._constraints.matcher, sampling.constraint)
        sampler = Sampler(sampling, prompt_ids)
        drafter = await asyncio.to_thread(self._make_drafter, prompt_ids, sampling)
        loop = asyncio.get_running_loop()
        request = Request(list(prompt_ids), sampling, sampler, matcher, loop, times, drafter=drafter)
        with self._lock:
            if self.health():
                raise self._down_error()
            self._scheduler.submit(request)
        self._wake.set()
        timeout = self._start_queue_timeout(request)
        finished_reason: FinishedReason = "abort"
        try:
            while True:
                item = await request.steps.get()
                if isinstance(item, Exception):
                    finished_reason = "error"
                    raise item
                self._mark_read(request)
                finished_reason = item.finish_reason or finished_reason
                yield item
                if item.finish_reason:
                    return
        finally:
            if timeout:
                timeout.cancel()
            times.finished(finished_reason)
            request.is_closed = True
            self._wake.set()

    def _start_queue_timeout(self, request: Request) -> asyncio.TimerHandle | None:
        """End the request with QueueTimeout if it has no slot when the time for waiting is over.

        The event loop checks it, since the engine's thread may be busy with a long step.
        """
        limit_s = self._queue_timeout_s
        if limit_s is None:
            return None

        def check() -> None:
            with self._lock:
                is_late = not (request.was_admitted or request.has_ended)
                request.has_ended |= is_late
            if is_late:
                request.is_closed = True
                request.steps.put_nowait(QueueTimeout(limit_s))
                self._wake.set()

        return request.loop.call_later(limit_s, check)

    async def close(self) -> None:
        await asyncio.to_thread(self._stop)
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        """End the engine's thread after its current step, and wait for it up to 30 s.

        If the thread still computed when the interpreter exits, the process would abort.
        """
        self._is_closing = True
        self._wake.set()
        self._thread.join(30)

    def _down_error(self) -> EngineDown:
        return EngineDown(self.health(), "shutting_down" if self._is_closing else "server_is_overloaded")

    def _make_metrics(self) -> EngineMetrics:
        metrics, requests = EngineMetrics(self._max_context), self._scheduler
        metrics.add_gauge("num_requests_running", "Requests that hold a slot.", lambda: len(requests.running))
        metrics.add_gauge("num_requests_waiting", "Requests that wait for a slot.", lambda: requests.num_waiting)
        help_text = "Share of the memory for KV cache and prefix cache that is in use, 0 to 1."
        metrics.add_gauge("kv_cache_usage_perc", help_text, lambda: self._memory.usage(requests.running))
        help_text = "Maximum memory for KV cache and prefix cache together, in bytes (--cache-mb)."
        metrics.add_gauge("kv_cache_max_bytes", help_text, lambda: self._memory.max_bytes)
        return metrics

    def _make_drafter(self, prompt_ids: Sequence[int], sampling: Sampling) -> Drafter | None:
        """Return a drafter for the request, or None if it has no drafts.

        The first call blocks for half a second, because it builds the vocabulary.
        """
        if sampling.drafts is None:
            return None
        vocabulary, stop_id = self._constraints.vocabulary, min(sampling.stop_ids, default=None)
        return Drafter(sampling.drafts, prompt_ids, vocabulary, stop_id)

    def _deliver(self, request: Request, item: Step | Exception) -> None:
        """Give the request's reader a step, or the error that ends the request. Does nothing if it has ended."""
        if request.has_ended:
            return
        with self._lock:
            request.num_unread_steps += 1
        try:
            request.loop.call_soon_threadsafe(request.steps.put_nowait, item)
        except RuntimeError:
            if not request.loop.is_closed():
                raise
            request.is_closed = True  # the event loop is closed, so the request has no reader any more
        request.has_ended = isinstance(item, Exception) or item.finish_reason is not None

    def _mark_read(self, request: Request) -> None:
        with self._lock:
            request.num_unread_steps -= 1
            if request.num_unread_steps == scheduler.MAX_UNREAD_STEPS - 1:
                self._wake.set()

    def _run(self) -> None:
        """Run steps until the engine closes or fails, then end every request, even after an exception."""
        try:
            while self._iterate():
                pass
        except BaseException as error:
            self._faults.record(error)
        finally:
            self._end_all_requests()

    def _iterate(self) -> bool:
        """Wait for work and run one step.

        Returns False if the thread must end, because the engine closes or has had too many faults.
        """
        try:
            if not self._wait_for_work():
                return False
            self._step()
            self._num_faults = 0
        except BaseException as error:
            self._num_faults += 1
            self._recover(error)
        return self._num_faults < MAX_FAULTS_IN_A_ROW

    def _recover(self, error: BaseException) -> None:
        """End all running requests and free the KV cache, because the error may have damaged any request."""
        self._faults.record(error)
        for request in self._scheduler.running:
            self._faults.end(request, EngineError("the engine failed, and with it all requests that ran"))
        with self._lock:
            self._scheduler.running = []
        self._memory.clear()

    def _end_all_requests(self) -> None:
        """Mark the engine as down, so that later requests get an error, and end all requests."""
        with self._lock:
            failed_often = f"the engine failed {self._num_faults} times in a row"
            self._down_reason = (
                failed_often if self._num_faults >= MAX_FAULTS_IN_A_ROW else "the engine's thread has ended"
            )
            requests = self._scheduler.clear()
        for request in requests:
            try:
                self._faults.end(request, self._down_error())
            except BaseException as error:
                self._faults.record(error)
        self._memory.clear()

    def _wait_for_work(self) -> bool:
        """Block until a request can run. Returns False if the engine closes."""
        while True:
            self._wake.clear()
            if self._is_closing:
                return False
            self._busy_since = time.monotonic()
            self._update_running()
            if any(request.is_ready for request in self._scheduler.running):
                return True
            self._busy_since = None
            self._wake.wait()

    def _update_running(self) -> None:
        """Free the slots of closed requests, then admit waiting requests as far as slots and memory are free."""
        for request in self._scheduler.running:
            if request.is_closed:
                with self._faults.isolated(request):
                    self._memory.cache_prefix(request)
        with self._lock:
            self._scheduler.drop_closed()
        while waiting := self._next_waiting():
            with self._faults.isolated(waiting):
                if not self._memory.can_start(self._scheduler.running, waiting):
                    return
                with self._lock:
                    self._scheduler.admit(waiting)
                waiting.times.scheduled()
            if waiting.is_closed:
                with self._lock:
                    self._scheduler.drop_closed()

    def _next_waiting(self) -> Request | None:
        with self._lock:
            return self._scheduler.next_waiting()

    def _step(self) -> None:
        """Preempt requests if the KV cache is full, start new requests, and run one forward for the scheduled ones.

        This is a function of its own so that no variable keeps a request, and its KV cache, in memory afterwards.
        """
        for request in self._memory.excess(self._scheduler.running):
            with self._faults.isolated(request), self._lock:
                self._scheduler.preempt(request)
                self._num_preemptions.inc()
        running = [request for request in self._scheduler.running if not request.is_closed]
        for request in running:
            if request.kv_cache is None:
                with self._faults.isolated(request):
                    self._memory.start(request, running)
        is_decoding = any(request.num_uncomputed == 1 for request in running)
        scheduled = self._scheduler.schedule(self._prefill_budget.num_tokens(is_decoding))
        scheduled = [(request, num_new) for request, num_new in scheduled if not request.is_closed]
        started_at = time.monotonic()
        for group in [[one] for one in scheduled] if self._needs_own_forwards else [scheduled]:
            if group:
                self._stepper.advance(group)
        self._num_steps.inc(bool(scheduled))
        self._prefill_budget.record(sum(num_new for _, num_new in scheduled), time.monotonic() - started_at)
