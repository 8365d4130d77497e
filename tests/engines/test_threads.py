"""Only the engine's thread keeps an OpenMP team of threads.

With two teams, a token took 55 ms instead of 34 ms on two cores.
"""

from __future__ import annotations

import copy
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from engines.local.engine import LocalEngine
from engines.local.threads import run_in_own_thread
from evaluate.local import embedded_model, load
from inference import load_model
from tests.support.started_server import ROOT


def test_work_in_its_own_thread_leaves_no_threads_behind() -> None:
    process = psutil.Process()
    matrix = torch.ones(1000, 1000)
    before = process.num_threads()
    total, during = run_in_own_thread(lambda: (float((matrix * 2).sum()), process.num_threads()))
    assert total == 2_000_000.0
    assert during > before
    deadline = time.monotonic() + 10  # the system's thread ends a little after Python's
    while process.num_threads() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory like this")
def test_work_in_its_own_thread_leaves_no_memory_behind() -> None:
    """Work in a thread of its own returns its memory to the system.

    Regression test: when many small tensors were freed and one was kept, 400 MB stayed resident.
    """
    process = psutil.Process()

    def work() -> torch.Tensor:
        return [torch.ones(1000) for _ in range(100_000)][-1]

    before = process.memory_info().rss
    kept = run_in_own_thread(work)
    assert kept.sum() == 1000
    assert process.memory_info().rss - before < 100 * 2**20


def test_an_exception_of_the_work_is_raised() -> None:
    with pytest.raises(SystemExit, match="enough"):
        run_in_own_thread(lambda: (_ for _ in ()).throw(SystemExit("enough")))


def test_ctrl_c_ends_the_work() -> None:
    """Regression test: Ctrl-C while `inference.py` loaded its model aborted the process with SIGABRT."""
    started = threading.Event()
    seen: list[str] = []

    def endless() -> None:
        try:
            started.set()
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            seen.append(threading.current_thread().name)
            raise

    def interrupt() -> None:
        started.wait(10)
        time.sleep(0.1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores SIGINT in background jobs
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            run_in_own_thread(endless)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["short-lived"]


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which engines were created."""
    found: list[threading.Thread] = []
    made = LocalEngine.__init__

    def spied(self: LocalEngine, *args: Any, **options: Any) -> None:
        found.append(threading.current_thread())
        made(self, *args, **options)

    monkeypatch.setattr(LocalEngine, "__init__", spied)
    return found


def test_a_model_is_loaded_in_its_own_thread(llama_folder: Path, makers: list[threading.Thread]) -> None:
    load_model(str(llama_folder))
    (maker,) = makers
    assert not maker.is_alive()


def test_a_model_to_evaluate_is_loaded_in_its_own_thread(
    makers: list[threading.Thread], embedded_file: Any, plain_embedded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkpoints.embedded.open_file", lambda path: embedded_file)
    monkeypatch.setattr("checkpoints.embedded.load_model", lambda *how: copy.deepcopy(plain_embedded))
    monkeypatch.setattr("evaluate.local.embedded_model", lambda *_: embedded_model(None))
    load(None, "none")
    (maker,) = makers
    assert not maker.is_alive()


EXITS = """
import asyncio, sys, time, torch
from pathlib import Path
from dataclasses import replace
from tests.support.small_engine import GREEDY, small_engine, steps
engine = small_engine(Path(sys.argv[1]), max_running=1, num_blocks=4)
def busy_record(*args):
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        torch.zeros(100_000).add_(1)
engine._prefill_budget.record = busy_record
asyncio.run(steps(engine, [5, 6, 7], replace(GREEDY, max_tokens=2)))
"""


def test_a_program_ends_while_its_engine_still_computes(llama_folder: Path) -> None:
    """Regression test: after printing its answer, one run of `python inference.py` in six was aborted at exit."""
    command = [sys.executable, "-c", EXITS, str(llama_folder)]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr[-500:]
