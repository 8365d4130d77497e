"""A program at a pseudo-terminal, as a user sits before it: type, press Ctrl-C, and read the screen."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.support.started_server import ROOT

WAIT_S = 120.0  # a program starts in seconds; a busy machine takes longer
CTRL_C, CTRL_D = "\x03", "\x04"
# The terminal becomes the controlling one of the new session, so that it turns Ctrl-C into a signal. A shell ignores
# the signal in background jobs, and so do all programs that these start.
_START = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, sys.argv[1:])
"""


class Session:
    """A running program. `screen` is all that it has written."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.screen = ""
        self._process = process
        self._terminal = terminal
        self._read_to = 0

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str) -> str:
        """Wait until the text appears after what was waited for before, and return what came before it."""
        deadline = time.monotonic() + WAIT_S
        while text not in self.screen[self._read_to :]:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"{text!r} does not appear; the screen has\n{self.screen[self._read_to :]}")
        start = self._read_to
        self._read_to = self.screen.index(text, start) + len(text)
        return self.screen[start : self._read_to - len(text)]

    def exit_status(self) -> int:
        while self._read():
            pass
        return self._process.wait(WAIT_S)

    def _read(self) -> bool:
        """Read what the program has written within a second. False once it has closed the terminal."""
        if select.select([self._terminal], [], [], 1.0)[0]:
            try:
                piece = os.read(self._terminal, 65536)
            except OSError:  # EIO: the program has ended
                return False
            self.screen += piece.decode(errors="replace")
            return bool(piece)
        return True


@contextmanager
def at_terminal(arguments: Sequence[str], variables: Mapping[str, str]) -> Iterator[Session]:
    """Start `python ARGUMENTS` in the project's folder, and end it when the context ends."""
    terminal, inner = pty.openpty()
    command = [sys.executable, "-c", _START, sys.executable, *arguments]
    environment = {**os.environ, "TERM": "xterm", **variables}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    )
    os.close(inner)
    try:
        yield Session(process, terminal)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
