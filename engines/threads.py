"""Computing on a CPU that leaves no threads and no memory behind.

GNU's OpenMP keeps a team of threads for each thread that has computed something, until that one ends. Once there are
more of them than cores, all teams put their threads to sleep at every operator instead of letting them wait for the
next one: on two cores a token of the embedded model then takes 55 ms instead of 34. So only the engine's thread keeps
a team, and what comes before it is computed here. glibc keeps what a thread has freed, too: after the embedded model is
loaded that is 310 MB.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_passing(work: Callable[[], T]) -> T:
    """The work's result, or what it raises; it is done in a thread that has ended when this returns."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run, name="in passing", daemon=True)
    thread.start()
    try:
        return result.result()
    finally:
        if result.done():  # not so when a signal has ended the wait
            thread.join()
            _give_back_memory()


def _give_back_memory() -> None:
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
