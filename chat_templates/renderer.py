"""Renders a checkpoint's chat template in processes of their own, so that no template can harm the server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import LifoQueue
from typing import Any

from chat_templates.child import MAX_SECONDS

Json = dict[str, Any]

NUM_CHILDREN = 2  # the second starts when a rendering is wanted while the first is busy
_CHILD = Path(__file__).with_name("child.py")


class RenderingError(Exception):
    """The chat template cannot be rendered with these variables. The message is its reason, in one line.

    is_limit: it was stopped by a limit of time or memory. Else it raised an error.
    """

    def __init__(self, reason: str, *, is_limit: bool = False) -> None:
        super().__init__(reason)
        self.is_limit = is_limit


class Renderer:
    """One chat template, ready to render. Safe to use from several threads; at most two renderings run at a time."""

    def __init__(self, chat_template: str) -> None:
        self._children: LifoQueue[_Child] = LifoQueue()
        for _ in range(NUM_CHILDREN):
            self._children.put(_Child(chat_template))

    def variables(self) -> frozenset[str]:
        """Return the names of the variables that the template reads. Raises RenderingError for invalid syntax."""
        child = self._children.get()
        try:
            return child.variables()
        finally:
            self._children.put(child)

    def render(self, renderings: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the text of each rendering. A rendering is the template's variables; `messages` must be one of them.

        Raises RenderingError if one of them fails.
        """
        child = self._children.get()
        try:
            texts: list[str] = child.ask(renderings)["texts"]
            return texts
        finally:
            self._children.put(child)

    def close(self) -> None:
        """End the processes. A later rendering would start one again."""
        for child in [self._children.get() for _ in range(NUM_CHILDREN)]:
            child.close()
            self._children.put(child)


class _Child:
    """One process, started by its first use, and again after it was killed."""

    def __init__(self, chat_template: str) -> None:
        self._chat_template = chat_template
        self._process: subprocess.Popen[bytes] | None = None
        self._variables: Json = {}
        self._finalizer: weakref.finalize[[subprocess.Popen[bytes]], _Child] | None = None

    def variables(self) -> frozenset[str]:
        self._ensure_started()
        return frozenset(self._variables["variables"])

    def ask(self, renderings: Sequence[Mapping[str, Any]]) -> Json:
        self._ensure_started()
        return self._exchange(renderings)

    def close(self) -> None:
        if self._finalizer:
            self._finalizer()

    def _ensure_started(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        # A session of its own: Ctrl+C reaches the server alone, which still serves its running requests. Isolated mode
        # reads no environment variables and no modules of the current folder. One thread keeps numpy small.
        environment = {**os.environ, "USE_TORCH": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        self._variables = self._exchange(self._chat_template)

    def _exchange(self, question: Any) -> Json:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RenderingError("its process has not started")
        with contextlib.suppress(BrokenPipeError):  # the answer is empty then
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.close()
            if process.returncode == -signal.SIGALRM:
                raise RenderingError(f"it takes longer than {MAX_SECONDS:.0f} s", is_limit=True)
            raise RenderingError(f"its process ended with status {process.returncode}", is_limit=True)
        answer: Json = json.loads(line)
        if "error" in answer:
            if answer["is_limit"]:
                self.close()  # the process ends by itself, but perhaps not before the next rendering
            raise RenderingError(answer["error"], is_limit=answer["is_limit"])
        return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):  # for what could not be written
                pipe.close()
    process.wait()
