"""Runs work in a thread that ends afterwards, so that it leaves no worker threads and no freed memory behind.

GNU's OpenMP gives each thread that computes a team of worker threads, which exists until that thread ends. If all teams
together have more workers than there are cores, every team sleeps between operators instead of spinning: on two cores a
token of the embedded model then takes 55 ms instead of 34 ms. So only the engine's thread may keep a team, and models
are loaded with this module. glibc also keeps memory that a thread has freed: 310 MB after loading the embedded model.
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
    """Run `work` in a new thread and wait until the thread has ended. Returns its result, or raises its exception.

    Ctrl-C interrupts `work` too, because a thread that still ran at exit would abort the process.
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
