"""Reads files of JSON lines, plain or compressed with xz, replaces them atomically, and extends them line by line."""

from __future__ import annotations

import fcntl
import json
import lzma
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from apis.rules.json_text import JsonError, read_json

Json = dict[str, Any]


class FileError(Exception):
    """A file cannot be read, written or continued. The message is one sentence that begins with the file's path."""


class LineError(FileError):
    """A line cannot be used. The message is "file:line: what is wrong"."""


def read_bytes(path: Path) -> bytes:
    """Read the whole file, decompressed if its name ends with .xz. Raises FileError."""
    return b"".join(_raw_lines(path))


def read_lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """Yield the lines that are not blank, without surrounding whitespace, each with its position "file:line".

    Raises FileError for a file that cannot be read. A truncated file gives its readable lines before the error.
    """
    for number, line in enumerate(_raw_lines(path), 1):
        if text := line.strip():
            yield text, f"{path}:{number}"


def read_objects(path: Path) -> Iterator[tuple[Json, str]]:
    """Yield each JSON object of a file with its position "file:line". Raises LineError for a line that is no object."""
    return ((parse_object(line, where), where) for line, where in read_lines(path))


def parse_object(line: bytes, where: str) -> Json:
    """Parse one line as a JSON object. Raises LineError, whose message begins with `where`."""
    try:
        return read_json(line)
    except JsonError as error:
        told = "" if error.path else "The line is no JSON. "
        raise LineError(f"{where}: {told}{error}") from None


def json_line(value: object) -> bytes:
    """Encode a value as one line of JSON, without the line break."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def write_lines(path: Path, lines: Iterable[bytes]) -> int:
    """Replace a file atomically, compressed if its name ends with .xz. Returns the number of lines.

    Raises FileError when the file cannot be written, and passes on any exception of the iterator `lines`.
    """
    count = 0
    with (
        _replaced(path) as temporary,
        lzma.open(temporary, "wb") if path.suffix == ".xz" else temporary.open("wb") as file,
    ):
        for line in lines:
            file.write(line + b"\n")
            count += 1
    return count


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file atomically: a reader finds either the old content or the new one. Raises FileError."""
    with _replaced(path) as temporary:
        temporary.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)


def whole_lines(held: bytes) -> list[bytes]:
    """Return the lines that end with a line break, without the incomplete last line of an interrupted run."""
    return held.split(b"\n")[:-1]


class ResumableFile:
    """A file of JSON lines that can be continued: after an interruption a later run adds the missing lines.

    The file is locked while it is open. Raises FileError if another process has it open, and OSError if a write fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise FileError(f"{path}: another run is writing it; wait for its end, or choose another --out") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def lines(self) -> list[bytes]:
        """Return the complete lines of the file."""
        self._file.seek(0)
        return whole_lines(self._file.read())

    def keep(self, lines: Sequence[bytes]) -> None:
        """Remove everything after the first lines of the file, which must be `lines`."""
        self._file.truncate(sum(len(line) + 1 for line in lines))

    def add(self, *lines: bytes) -> None:
        """Append lines. All of them are in the file when this returns; after a crash the last may be incomplete."""
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()


def _raw_lines(path: Path) -> Iterator[bytes]:
    number = 0
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):  # noqa: B007
                yield line
    except (OSError, EOFError, lzma.LZMAError) as error:
        place = f" behind line {number}" if number else ""
        raise FileError(f"{path}: cannot be read{place}: {getattr(error, 'strerror', None) or error}") from None


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path. Its file replaces `path` if the block succeeds, and is deleted if the block fails."""
    temporary = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # an error here would hide the first one
            temporary.unlink(missing_ok=True)
