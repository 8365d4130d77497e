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

from core.errors import EngineError, PromptTooLong, RequestError
from core.generation import Sampling, Step
from drafting.drafter import Drafter
from engines.local import scheduler
from engines.local.cpu import speed_up
from engines.local.devices import memory_at_hand
from engines.local.forward import has_changing_positions, prepare
from engines.local.kv_cache import BLOCK
from engines.local.kv_memory import Memory
from engines.local.metrics import EngineMetrics
from engines.local.prefill_budget import Pace
from engines.local.sampling import Sampler
from engines.local.scheduler import Request, Scheduler
from engines.local.stepping import Stepper
from guarantees.matcher import ConstraintCompiler

MAX_RUNNING = 16


class HFEngine:
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
    ) -> None:
        """The model is changed: it runs in this engine only.

        cache_bytes: for keys and values, running and remembered; by default part of the memory at hand. quantize: what
        is done with weights on a CPU, "int8" or nothing. Raises ModelError for a model that cannot be run so.
        """
        self._model = model
        self._vocab_size = int(model.get_output_embeddings().weight.shape[0])  # type: ignore[no-untyped-call]
        self._made_fast = speed_up(model, quantize) if model.device.type == "cpu" else ""
        self._runs_alone = has_changing_positions(model)
        bytes_per_token = prepare(model)
        max_running = max_running or MAX_RUNNING
        room = cache_bytes or min(memory_at_hand(model.device) // 4, bytes_per_token * max_running * max_context)
        self._memory = Memory(max(BLOCK, room // bytes_per_token), bytes_per_token)
        self._max_context = min(max_context, self._memory.max_tokens)
        self._constraints = ConstraintCompiler(
            tokenizer.backend_tokenizer, self._vocab_size, eos_id=tokenizer.eos_token_id
        )
        self._scheduler = Scheduler(max_running, scheduler.MAX_WAITING)
        self._metrics = self._watched()
        self._stepper = Stepper(model, self._max_context, self._deliver, self._metrics)
        self._pace = Pace()
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        atexit.register(self._end)

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
    def num_running(self) -> int:
        """Requests that hold a slot or wait for one."""
        with self._changed:
            return sum(1 for _ in self._scheduler)

    def description(self) -> str:
        how = [str(self._model.dtype).removeprefix("torch."), *([self._made_fast] if self._made_fast else [])]
        return f"{self._model.device} ({', '.join(how)})"

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        self._check(prompt_ids, sampling)
        matcher = None
        if sampling.constraint is not None:
            matcher = await asyncio.to_thread(self._constraints.matcher, sampling.constraint)
        sampler = Sampler(sampling, prompt_ids)
        drafter = await asyncio.to_thread(self._drafter, prompt_ids, sampling)
        request = Request(list(prompt_ids), sampling, sampler, matcher, asyncio.get_running_loop(), drafter=drafter)
        with self._changed:
            if self._is_closing:
                raise EngineError("the engine is shutting down")
            self._scheduler.submit(request)
            self._changed.notify()
        ended = "abort"
        try:
            while True:
                item = await request.steps.get()
                if isinstance(item, Exception):
                    ended = "error"
                    raise item
                self._took_one(request)
                ended = item.finish_reason or ended
                yield item
                if item.finish_reason:
                    return
        finally:
            self._metrics.finished.labels(ended).inc()
            with self._changed:
                request.is_closed = True
                self._changed.notify()

    async def close(self) -> None:
        await asyncio.to_thread(self._end)
        atexit.unregister(self._end)

    def _end(self) -> None:
        """Let the thread end after its step: torn off while it computes it would abort the interpreter at its exit."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(30)

    def _watched(self) -> EngineMetrics:
        metrics, requests = EngineMetrics(), self._scheduler
        metrics.watch("num_requests_running", "Requests that hold a slot.", lambda: len(requests.running))
        metrics.watch("num_requests_waiting", "Requests that wait for one.", lambda: requests.num_waiting)
        about = "Share of the room for keys and values that running and remembered requests take, 0 to 1."
        metrics.watch("kv_cache_usage_perc", about, lambda: self._memory.share(requests.running))
        return metrics

    def _drafter(self, prompt_ids: Sequence[int], sampling: Sampling) -> Drafter | None:
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
        with self._changed:
            request.num_unread += 1
        try:
            request.loop.call_soon_threadsafe(request.steps.put_nowait, item)
        except RuntimeError:  # the event loop is gone, and with it the reader
            request.is_closed = True

    def _took_one(self, request: Request) -> None:
        with self._changed:
            request.num_unread -= 1
            if request.num_unread == scheduler.MAX_UNREAD - 1:
                self._changed.notify()

    def _run(self) -> None:
        """The engine's thread."""
        while self._wait_for_work():
            try:
                self._step()
            except BaseException as error:
                for request in list(self._scheduler.running):  # it is not known whose fault it is
                    self._stepper.fail(request, error)
        for request in self._scheduler:
            self._deliver(request, EngineError("the engine is shutting down"))

    def _wait_for_work(self) -> bool:
        """Until some request can go on; False when the engine closes."""
        with self._changed:
            while not self._is_closing:
                self._exchange()
                if any(request.is_ready for request in self._scheduler.running):
                    return True
                self._changed.wait()
            return False

    def _exchange(self) -> None:
        """Requests that have ended, or whose reader has left, make room for those that wait."""
        for request in self._scheduler.running:
            if request.is_closed:
                self._memory.keep(request)
        self._scheduler.drop_closed()
        while waiting := self._scheduler.next_waiting():
            if not self._memory.has_room(self._scheduler.running, waiting):
                return
            self._scheduler.admit(waiting)

    def _step(self) -> None:
        """One forward for all that are in turn, and a token for each whose prompt is read. Nothing is held after it."""
        with self._changed:
            for request in self._memory.too_many(self._scheduler.running):
                self._scheduler.put_back(request)
            running = list(self._scheduler.running)
        for request in running:
            if request.keys_values is None:
                self._memory.begin(request, running)
        is_waited_for = any(request.num_left == 1 for request in running)
        turn = self._scheduler.turn(self._pace.num_tokens(is_waited_for))
        turn = [(request, num_read) for request, num_read in turn if not request.is_closed]
        begun = time.monotonic()
        for group in [[one] for one in turn] if self._runs_alone else [turn]:
            self._stepper.advance(group)
        self._metrics.steps.inc(bool(turn))
        self._pace.took(sum(num_read for _, num_read in turn), time.monotonic() - begun)
