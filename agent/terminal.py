"""A terminal for a chat: shows what strangers wrote without obeying it, and asks yes or no."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import termios
from typing import Literal, NoReturn

from agent.tools import Json, Tool

try:
    import readline  # gives `input` line editing and a history
except ImportError:
    readline = None  # type: ignore[assignment]

Kind = Literal["text", "thinking", "call", "result", "error", "note"]

MAX_SHOWN, MAX_LINES = 2_000, 20  # characters and lines of a result; the model reads all of it

_COLOURS: dict[Kind, str] = {"thinking": "2", "call": "36", "result": "32", "error": "31", "note": "33"}
# Control characters could move the cursor, change the title or answer for the user. The others write backwards, and
# lone surrogates cannot be written.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text that a terminal shows and does not obey: control characters as escapes such as \\x1b."""
    return _UNSAFE.sub(lambda found: _escaped(ord(found[0])), text.replace("\r\n", "\n"))


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def shortened(text: str) -> str:
    """Return the beginning of a long text, with a note of its length."""
    lines = text[:MAX_SHOWN].splitlines()
    if len(text) <= MAX_SHOWN and len(lines) <= MAX_LINES:
        return text
    return "\n".join(lines[:MAX_LINES]) + f"\n... ({len(text)} characters in all)"


class Terminal:
    """Standard input and output. Everything but the model's text begins with its kind in brackets.

    Colours are for terminals only, and not with NO_COLOR (no-color.org).
    """

    def __init__(self) -> None:
        for stream in (sys.stdin, sys.stdout):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        is_dumb = os.environ.get("TERM") == "dumb"
        self._has_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and not is_dumb
        self._kind: Kind | None = None
        self._is_line_start = True
        self._typed = ""

    def write(self, kind: Kind, text: str, *, begins: bool = False) -> None:
        """Write more of a kind. A new kind, and with `begins` each call, begins a line."""
        if begins or kind != self._kind:
            self.end_line()
            self._kind = kind
            text = text if kind == "text" else f"[{kind}] {text}"
        shown = visible(text)
        if not shown:
            return
        colour = _COLOURS.get(kind) if self._has_colours else None
        sys.stdout.write(f"\x1b[{colour}m{shown}\x1b[0m" if colour else shown)
        sys.stdout.flush()
        self._is_line_start = shown.endswith("\n")

    def line(self, kind: Kind, text: str) -> None:
        """Write a whole line, or several."""
        self.write(kind, text, begins=True)
        self.end_line()

    def end_line(self) -> None:
        """End a line that has begun. What follows begins anew."""
        if not self._is_line_start:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._is_line_start, self._kind = True, None

    def question(self) -> str | None:
        """Read the user's next message, which goes on after a line that ends with a backslash. None at the end.

        Ctrl-C drops a message that has begun; at an empty prompt it is the end, as Ctrl-D is.
        """
        lines: list[str] = []
        while True:
            try:
                lines.append(self._read(". " if lines else "> "))
            except EOFError:
                return "\n".join(lines) or None
            except KeyboardInterrupt:
                sys.stdout.write("\n")
                if not (lines or self._typed):
                    return None
                lines = []
                continue
            if not lines[-1].endswith("\\"):
                return "\n".join(lines)
            lines[-1] = lines[-1][:-1]

    def _read(self, prompt: str) -> str:
        if self.is_interactive:
            before = signal.signal(signal.SIGINT, self._interrupt)
            try:
                return input(prompt)
            finally:
                signal.signal(signal.SIGINT, before)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    def _interrupt(self, *_: object) -> NoReturn:
        """Note what the user had typed when Ctrl-C came, which readline forgets before `input` ends."""
        self._typed = readline.get_line_buffer() if readline else ""
        raise KeyboardInterrupt

    async def confirm(self, tool: Tool, arguments: Json) -> bool:
        """Ask whether a call may run. Without a terminal nobody can answer, and it may not."""
        if not self.is_interactive:
            self.line("note", f"{tool.name} needs a confirmation, which only a terminal can give")
            return False
        shown = json.dumps(arguments, ensure_ascii=False)
        termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before the question is no answer to it
        self.write("note", f"Run {tool.name} {shown}? [y/N] ", begins=True)
        answer = await _typed_line()
        self._is_line_start = True  # the terminal shows the line break that the user typed
        return answer.strip().lower() in ("y", "yes")


async def _typed_line() -> str:
    """Read a line from the terminal while the event loop runs, so that Ctrl-C and deadlines have their effect."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin, lambda: arrived.done() or arrived.set_result(None))
    try:
        await arrived
    finally:
        loop.remove_reader(sys.stdin)
    return os.read(sys.stdin.fileno(), 4096).decode(errors="replace")
