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


def run_in_own_thread(work: Callable[[], T]) -> T:
    """The work's result, or what it raises; it is done in a thread that has ended when this returns.

    Ctrl-C ends the work, as it would here: a thread left running would abort the process on its way out.
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
