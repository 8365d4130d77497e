"""Start and stop `python server.py` in its own process, as a user does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEY = "sk-test-of-the-clients"
README_MODEL = "musabgultekin/functionary-7b-v1"
START_S = 180.0  # the embedded model loads in 11 s on an idle machine


class Started:
    """A running server. `lines` are the lines that it has written to stderr so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, word: str) -> str:
        """Wait for the first line that starts with `word`, and return the rest of that line."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if line.startswith(word):
                    return line.removeprefix(word).strip()
            if self._process.poll() is not None:
                self._reader.join()
                break
            time.sleep(0.02)
        raise AssertionError(f"no line starts with {word!r}:\n" + "\n".join(self.lines))

    @property
    def url(self) -> str:
        """Wait until the model is loaded, and return http://127.0.0.1:PORT."""
        return self.line("address").removesuffix("/v1")

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_status(self, timeout_s: float = 40.0) -> int:
        return self._process.wait(timeout_s)

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.lines += [part for part in line.rstrip("\n").split("\r") if part]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a user without settings: no API key, and an empty cache of the hub."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FUNCTIONARY_", "HF_"))}
    return {**plain, **variables}


@contextmanager
def started(*options: str, before: str = "", **variables: str) -> Iterator[Started]:
    """Start a server on a free port, unless `options` name a port. End it when the context ends.

    `before` is Python code that the process runs before the server starts.
    """
    program = ["-c", f"{before}\nimport server\nserver.main()"] if before else ["server.py"]
    command = [sys.executable, *program, "--port", "0", *options]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(**variables), stderr=subprocess.PIPE, text=True)
    try:
        yield Started(process)
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()
