"""Handles exceptions in the engine's thread: ends the affected requests, and logs and counts the faults."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from core.errors import EngineError, TooComplex
from core.generation import Step
from engines.local.kv_memory import KVMemory
from engines.local.scheduler import Request
from engines.metrics import EngineMetrics

log = logging.getLogger(__name__)


class Faults:
    """Ends requests after a fault. `deliver` hands the error to the request's reader."""

    def __init__(
        self, memory: KVMemory, deliver: Callable[[Request, Step | Exception], None], metrics: EngineMetrics
    ) -> None:
        self._memory = memory
        self._deliver = deliver
        self._metrics = metrics

    @contextmanager
    def isolated(self, request: Request) -> Iterator[None]:
        """Catch any exception in the block, and end only this request with an error."""
        try:
            yield
        except BaseException as error:  # a panic in Rust code is a BaseException
            self.fail(request, error)

    def fail(self, request: Request, error: BaseException) -> None:
        """End a request because of an error that affects only this request. Raises `error` again if the GPU failed."""
        is_expected, is_too_complex = isinstance(error, EngineError), isinstance(error, TooComplex)
        self.record_unless_fatal(error)
        reason = str(error) if is_expected else "a step of the model failed"
        self.end(request, TooComplex() if is_too_complex else EngineError(reason))

    def record_unless_fatal(self, error: BaseException) -> None:
        """Record an error that leaves the other requests intact, and free the prefix cache if memory ran out.

        Raises `error` if the GPU failed: CUDA then reports the same error in every later step until the process ends.
        """
        if isinstance(error, torch.AcceleratorError):
            raise error
        if _is_out_of_memory(error):
            self._memory.clear_prefix_cache()
        self.record(error)

    def record(self, error: BaseException) -> None:
        """Count and log an error. Logs text only: an exception in a log record would keep KV caches in memory."""
        self._metrics.faults.inc()
        if isinstance(error, EngineError):
            log.warning("a request failed: %s", str(error))
        else:
            log.error("the engine failed:\n%s", "".join(traceback.format_exception(error)).rstrip())

    def end(self, request: Request, error: EngineError) -> None:
        """End a request, free its KV cache, and deliver the error unless the request has already ended."""
        request.is_closed = True
        request.kv_cache = None
        self._deliver(request, error)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. PyTorch has no exception type for this on a CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
