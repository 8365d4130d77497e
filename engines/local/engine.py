"""transformers in this process: owns the model, the step loop and its thread.

Requests join and leave between steps. A step is one forward for all of them: parts of prompts and single tokens side by
side (engines/local/forward.py), in the order and amounts that engines/local/scheduler.py says.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import AsyncGenerator, Sequence

from prometheus_client import CollectorRegistry
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.errors import EngineDown, EngineError, PromptTooLong, RequestError
from core.generation import Sampling, Step
from drafting.drafter import Drafter
from engines.local import scheduler
from engines.local.cpu import optimize
from engines.local.devices import free_memory
from engines.local.faults import Faults
from engines.local.forward import has_length_dependent_rope, prepare
from engines.local.kv_cache import BLOCK
from engines.local.kv_memory import KVMemory
from engines.local.metrics import EngineMetrics
from engines.local.prefill_budget import PrefillBudget
from engines.local.sampling import Sampler
from engines.local.scheduler import Request, Scheduler
from engines.local.stepping import Stepper
from guarantees.matcher import ConstraintCompiler

MAX_RUNNING = 16
MAX_FAULTS_IN_A_ROW = 3  # in a row that ended all running requests: then the engine cannot go on
STEP_TIMEOUT_S, GPU_STEP_TIMEOUT_S = 120.0, 60.0


class LocalEngine:
    """The engine over any causal language model of transformers whose attention can be exchanged, on CPU or GPU."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_context: int,
        *,
        max_running: int | None = None,
        cache_bytes: int | None = None,
        quantize: str | None = None,
        step_timeout_s: float | None = None,
    ) -> None:
        """The model is changed: it runs in this engine only.

        cache_bytes: for keys and values, running and remembered; by default part of the memory at hand. quantize: what
        is done with weights on a CPU, "int8" or nothing. step_timeout_s: after which a step counts as hung. Raises
        ModelError for a model that cannot be run so.
        """
        self._model = model
        self._vocab_size = int(model.get_output_embeddings().weight.shape[0])  # type: ignore[no-untyped-call]
        self._optimizations = optimize(model, quantize) if model.device.type == "cpu" else ""
        self._needs_own_forwards = has_length_dependent_rope(model)
        bytes_per_token = prepare(model)
        max_running = max_running or MAX_RUNNING
        room = cache_bytes or min(free_memory(model.device) // 4, bytes_per_token * max_running * max_context)
        self._memory = KVMemory(max(BLOCK, room // bytes_per_token), bytes_per_token)
        self._max_context = min(max_context, self._memory.max_tokens)
        self._constraints = ConstraintCompiler(
            tokenizer.backend_tokenizer, self._vocab_size, eos_id=tokenizer.eos_token_id
        )
        self._scheduler = Scheduler(max_running, scheduler.MAX_WAITING)
        self._metrics = self._make_metrics()
        self._faults = Faults(self._memory, self._deliver, self._metrics)
        self._stepper = Stepper(model, self._max_context, self._deliver, self._metrics, self._faults)
        self._prefill_budget = PrefillBudget()
        self._lock = threading.Lock()  # around the scheduler's lists; never while memory or the model is at work
        self._wake = threading.Event()
        self._is_closing = False
        self._down_reason = ""  # why the engine cannot go on
        self._num_faults = 0  # in a row
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
        return f"{self._model.device} ({', '.join(how)})"

    def health(self) -> str:
        if self._is_closing:
            return "the engine is shutting down"
        if self.is_down:
            return self._down_reason or "the engine's thread has ended"
        begun = self._busy_since
        busy_s = 0.0 if begun is None else time.monotonic() - begun
        return f"a step has been running for {busy_s:.0f} s" if busy_s > self._step_timeout_s else ""

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        self._check(prompt_ids, sampling)
        matcher = None
        if sampling.constraint is not None:
            matcher = await asyncio.to_thread(self._constraints.matcher, sampling.constraint)
        sampler = Sampler(sampling, prompt_ids)
        drafter = await asyncio.to_thread(self._make_drafter, prompt_ids, sampling)
        request = Request(list(prompt_ids), sampling, sampler, matcher, asyncio.get_running_loop(), drafter=drafter)
        with self._lock:
            if self.health():
                raise self._down_error()
            self._scheduler.submit(request)
        self._wake.set()
        ended = "abort"
        try:
            while True:
                item = await request.steps.get()
                if isinstance(item, Exception):
                    ended = "error"
                    raise item
                self._mark_read(request)
                ended = item.finish_reason or ended
                yield item
                if item.finish_reason:
                    return
        finally:
            self._metrics.finished.labels(ended).inc()
            request.is_closed = True
            self._wake.set()

    async def close(self) -> None:
        await asyncio.to_thread(self._stop)
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        """Let the thread end after its step: torn off while it computes it would abort the interpreter at its exit."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(30)

    def _down_error(self) -> EngineDown:
        return EngineDown(self.health(), "shutting_down" if self._is_closing else "server_is_overloaded")

    def _make_metrics(self) -> EngineMetrics:
        metrics, requests = EngineMetrics(), self._scheduler
        metrics.add_gauge("num_requests_running", "Requests that hold a slot.", lambda: len(requests.running))
        metrics.add_gauge("num_requests_waiting", "Requests that wait for one.", lambda: requests.num_waiting)
        about = "Share of the room for keys and values that running and remembered requests take, 0 to 1."
        metrics.add_gauge("kv_cache_usage_perc", about, lambda: self._memory.usage(requests.running))
        return metrics

    def _make_drafter(self, prompt_ids: Sequence[int], sampling: Sampling) -> Drafter | None:
        """Blocks for half a second when the vocabulary is first needed."""
        if sampling.drafts is None:
            return None
        vocabulary, stop_id = self._constraints.vocabulary, min(sampling.stop_ids, default=None)
        return Drafter(sampling.drafts, prompt_ids, vocabulary, stop_id)

    def _check(self, prompt_ids: Sequence[int], sampling: Sampling) -> None:
        if len(prompt_ids) >= self._max_context:
            raise PromptTooLong(len(prompt_ids), self._max_context)
        if not prompt_ids:
            raise RequestError("The prompt is empty; it needs at least one token.", "prompt")
        biased = [token_id for token_id, _ in sampling.logit_bias]
        for param, ids in (("prompt", prompt_ids), ("logit_bias", biased), ("stop_token_ids", sampling.stop_ids)):
            for token_id in ids:
                if not 0 <= token_id < self._vocab_size:
                    raise RequestError(
                        f"Invalid '{param}': token id {token_id} is not in the vocabulary of {self._vocab_size}.",
                        param,
                        "invalid_value",
                    )

    def _deliver(self, request: Request, item: Step | Exception) -> None:
        """Hand an item to the request's reader; none follows the one that ends it."""
        if request.has_ended:
            return
        with self._lock:
            request.num_unread_steps += 1
        try:
            request.loop.call_soon_threadsafe(request.steps.put_nowait, item)
        except RuntimeError:
            if not request.loop.is_closed():
                raise
            request.is_closed = True  # with the event loop its reader is gone
        request.has_ended = isinstance(item, Exception) or item.finish_reason is not None

    def _mark_read(self, request: Request) -> None:
        with self._lock:
            request.num_unread_steps -= 1
            if request.num_unread_steps == scheduler.MAX_UNREAD_STEPS - 1:
                self._wake.set()

    def _run(self) -> None:
        """The engine's thread. However it ends, no request is left waiting."""
        try:
            while self._iterate():
                pass
        except BaseException as error:
            self._faults.record(error)
        finally:
            self._end_all_requests()

    def _iterate(self) -> bool:
        """Wait for work and do a step. False when the engine closes, or cannot go on."""
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
        """End all running requests, and free their memory: the error may come from any of them and have spoilt it."""
        self._faults.record(error)
        for request in self._scheduler.running:
            self._faults.end(request, EngineError("the engine failed, and with it all requests that ran"))
        with self._lock:
            self._scheduler.running = []
        self._memory.clear()

    def _end_all_requests(self) -> None:
        """End all requests, and mark the engine as down, so that later requests are refused."""
        with self._lock:
            many = f"the engine failed {self._num_faults} times in a row"
            self._down_reason = many if self._num_faults >= MAX_FAULTS_IN_A_ROW else "the engine's thread has ended"
            requests = self._scheduler.clear()
        for request in requests:
            try:
                self._faults.end(request, self._down_error())
            except BaseException as error:
                self._faults.record(error)
        self._memory.clear()

    def _wait_for_work(self) -> bool:
        """Until some request can go on; False when the engine closes."""
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
        """Requests that have ended, or whose reader has left, make room for those that wait."""
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
            if waiting.is_closed:
                with self._lock:
                    self._scheduler.drop_closed()

    def _next_waiting(self) -> Request | None:
        with self._lock:
            return self._scheduler.next_waiting()

    def _step(self) -> None:
        """One forward for all that are in turn, and a token for each whose prompt is read. Nothing is held after it."""
        for request in self._memory.excess(self._scheduler.running):
            with self._faults.isolated(request), self._lock:
                self._scheduler.preempt(request)
        running = [request for request in self._scheduler.running if not request.is_closed]
        for request in running:
            if request.kv_cache is None:
                with self._faults.isolated(request):
                    self._memory.start(request, running)
        is_decoding = any(request.num_uncomputed == 1 for request in running)
        turn = self._scheduler.schedule(self._prefill_budget.num_tokens(is_decoding))
        turn = [(request, num_read) for request, num_read in turn if not request.is_closed]
        begun = time.monotonic()
        for group in [[one] for one in turn] if self._needs_own_forwards else [turn]:
            if group:
                self._stepper.advance(group)
        self._metrics.steps.inc(bool(turn))
        self._prefill_budget.record(sum(num_read for _, num_read in turn), time.monotonic() - begun)
