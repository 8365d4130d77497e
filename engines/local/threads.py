"""Runs work on a CPU without leaving threads or memory behind.

GNU's OpenMP keeps a team of worker threads for each thread that has computed something, until that thread ends. With
more workers than cores, every team sleeps between operators instead of spinning: on two cores a token of the embedded
model then takes 55 ms instead of 34. So only the engine's thread may keep a team; loading a model runs here. glibc also
keeps memory that a thread has freed: 310 MB after loading the embedded model.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def run_in_own_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own that ends before this returns. Returns its result, or raises its exception.

    Ctrl-C interrupts the work too, because a thread left running would abort the process at exit.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run, name="short-lived", daemon=True)
    try:
        thread.start()
        return result.result()
    except KeyboardInterrupt:
        thread_id = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread_id, ctypes.py_object(KeyboardInterrupt))
        raise
    finally:
        if thread.is_alive():
            thread.join()
        _give_back_memory()


def _give_back_memory() -> None:
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
