"""transformers in this process: owns the model, the step loop and its thread.

Every running request takes one step in turn, prompts in chunks, so that none waits for another's end.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from engines import Sampling, Step
from engines.constraints import Constraints, Matcher
from engines.sampling import Sampler
from errors import EngineBusy, EngineError, PromptTooLong, RequestError

PREFILL_CHUNK = 512
MAX_RUNNING = 8
MAX_WAITING = 128
MAX_UNREAD = 256  # steps that nobody has taken yet; then the request pauses until its reader is back

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Running:
    """All that the engine holds of one request."""

    prompt_ids: list[int]
    sampling: Sampling
    sampler: Sampler
    matcher: Matcher | None
    loop: asyncio.AbstractEventLoop
    steps: asyncio.Queue[Step | Exception] = field(default_factory=asyncio.Queue)
    cache: Any = None
    num_computed: int = 0  # tokens whose keys and values stand in the cache
    output_ids: list[int] = field(default_factory=list)
    num_unread: int = 0
    is_closed: bool = False

    def next_chunk(self) -> list[int]:
        """The ids that the next forward reads: more of the prompt, then the token drawn last."""
        if self.num_computed < len(self.prompt_ids):
            return self.prompt_ids[self.num_computed : self.num_computed + PREFILL_CHUNK]
        return self.output_ids[-1:]


class HFEngine:
    """The engine over any causal language model of transformers, on CPU or GPU."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_context: int) -> None:
        self._model = model
        self._max_context = max_context
        self._vocab_size = int(model.get_output_embeddings().weight.shape[0])  # type: ignore[no-untyped-call]
        self._constraints = Constraints(tokenizer, self._vocab_size)
        self._waiting: deque[_Running] = deque()
        self._running: list[_Running] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def max_context(self) -> int:
        return self._max_context

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def num_running(self) -> int:
        """Requests that hold a slot or wait for one."""
        with self._changed:
            return len(self._running) + len(self._waiting)

    def description(self) -> str:
        return f"{self._model.device} ({str(self._model.dtype).removeprefix('torch.')})"

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        self._check(prompt_ids, sampling)
        matcher = None
        if sampling.constraint is not None:
            matcher = await asyncio.to_thread(self._constraints.matcher, sampling.constraint)
        sampler = Sampler(sampling, prompt_ids)
        running = _Running(list(prompt_ids), sampling, sampler, matcher, asyncio.get_running_loop())
        self._submit(running)
        try:
            while True:
                item = await running.steps.get()
                if isinstance(item, Exception):
                    raise item
                self._took_one(running)
                yield item
                if item.finish_reason:
                    return
        finally:
            with self._changed:
                running.is_closed = True
                self._changed.notify()

    async def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join, 30)

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

    def _submit(self, running: _Running) -> None:
        with self._changed:
            if self._is_closing:
                raise EngineError("the engine is shutting down")
            if len(self._waiting) >= MAX_WAITING:
                raise EngineBusy
            self._waiting.append(running)
            self._changed.notify()

    def _deliver(self, running: _Running, item: Step | Exception) -> None:
        with self._changed:
            running.num_unread += 1
        try:
            running.loop.call_soon_threadsafe(running.steps.put_nowait, item)
        except RuntimeError:  # the event loop is gone, and with it the reader
            running.is_closed = True

    def _took_one(self, running: _Running) -> None:
        with self._changed:
            running.num_unread -= 1
            if running.num_unread == MAX_UNREAD - 1:
                self._changed.notify()

    def _run(self) -> None:
        """The engine's thread."""
        while self._take_turn():
            pass
        for running in (*self._running, *self._waiting):
            self._deliver(running, EngineError("the engine is shutting down"))

    def _take_turn(self) -> bool:
        """One step of every request that can go on; False when the engine closes. Nothing holds them afterwards."""
        turn = self._next_turn()
        for running in turn or ():
            if not running.is_closed:
                self._step(running)
        return turn is not None

    def _next_turn(self) -> list[_Running] | None:
        """Wait until there is work; None when the engine closes. Requests whose reader has left are dropped here."""
        with self._changed:
            while not self._is_closing:
                self._running = [running for running in self._running if not running.is_closed]
                self._waiting = deque(running for running in self._waiting if not running.is_closed)
                while self._waiting and len(self._running) < MAX_RUNNING:
                    self._running.append(self._waiting.popleft())
                if turn := [running for running in self._running if running.num_unread < MAX_UNREAD]:
                    return turn
                self._changed.wait()
            return None

    def _step(self, running: _Running) -> None:
        """One forward for one request. What fails here fails for this request alone."""
        try:
            logits = self._forward(running)
            if logits is None:
                return
            step = self._draw(running, logits)
            if step.finish_reason:  # never back to open: its reader may have left during the forward
                running.is_closed = True
            self._deliver(running, step)
        except BaseException as error:  # also a panic of Rust code, which is no Exception: this thread must not end
            running.is_closed = True
            running.cache = None  # the error's traceback holds `running`, for as long as somebody holds the error
            if isinstance(error, EngineError):
                self._deliver(running, error.with_traceback(None))
                return
            log.exception("a step failed")
            self._deliver(running, EngineError("a step of the model failed"))

    @torch.inference_mode()
    def _forward(self, running: _Running) -> Tensor | None:
        """The logits after the next chunk, of shape (vocab_size,); None while the prompt is not read to its end."""
        if running.cache is None:
            running.cache = DynamicCache(config=self._model.config)
        chunk = running.next_chunk()
        output = self._model(
            input_ids=torch.tensor([chunk], device=self._model.device),
            past_key_values=running.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        running.num_computed += len(chunk)
        if running.num_computed < len(running.prompt_ids):
            return None
        logits: Tensor = output.logits[0, -1]
        return logits

    def _draw(self, running: _Running, logits: Tensor) -> Step:
        sampling, matcher = running.sampling, running.matcher
        token_id, report = running.sampler.sample(logits, matcher.mask() if matcher else None)
        running.output_ids.append(token_id)
        logprobs = (report,) if report else ()
        if token_id in sampling.stop_ids:
            return Step((token_id,), "stop", logprobs)
        if matcher:
            matcher.accept(token_id)
        num_tokens = len(running.prompt_ids) + len(running.output_ids)
        if len(running.output_ids) >= sampling.max_tokens or num_tokens >= self._max_context:
            return Step((token_id,), "length", logprobs)
        return Step((token_id,), None, logprobs)
