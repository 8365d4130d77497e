"""What an error in the engine's thread ends: one request, or all that run."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from core.errors import EngineError
from core.generation import Step
from engines.local.kv_memory import KVMemory
from engines.local.metrics import EngineMetrics
from engines.local.scheduler import Request

log = logging.getLogger(__name__)


class Faults:
    """`deliver` hands a request's steps, or the exception that ends it, to its reader."""

    def __init__(
        self, memory: KVMemory, deliver: Callable[[Request, Step | Exception], None], metrics: EngineMetrics
    ) -> None:
        self._memory = memory
        self._deliver = deliver
        self._metrics = metrics

    @contextmanager
    def isolated(self, request: Request) -> Iterator[None]:
        """An error in the block ends this request alone."""
        try:
            yield
        except BaseException as error:  # a panic of Rust code is no Exception
            self.fail(request, error)

    def fail(self, request: Request, error: BaseException) -> None:
        """End one request because of an error in its own work. Raises what `record_unless_fatal` raises."""
        is_expected = isinstance(error, EngineError)
        self.record_unless_fatal(error)
        self.end(request, EngineError(str(error) if is_expected else "a step of the model failed"))

    def record_unless_fatal(self, error: BaseException) -> None:
        """Count an error that leaves the other requests unharmed. Raises it if the GPU has failed.

        A GPU's error stays until the process ends: every later step fails with it, whatever the request.
        """
        if isinstance(error, torch.AcceleratorError):
            raise error
        if _is_out_of_memory(error):
            self._memory.clear_prefix_cache()
        self.record(error)

    def record(self, error: BaseException) -> None:
        """Into metric and log; as text, because a record with the error would hold keys and values in memory."""
        self._metrics.faults.inc()
        if isinstance(error, EngineError):
            log.warning("a request failed: %s", str(error))
        else:
            log.error("the engine failed:\n%s", "".join(traceback.format_exception(error)).rstrip())

    def end(self, request: Request, error: EngineError) -> None:
        """End a request, unless its last item was delivered before, and free its memory."""
        request.is_closed = True
        request.kv_cache = None
        self._deliver(request, error)


def _is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has no type of its own for memory that a CPU lacks."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
