"""JSON lines, plain or packed with xz: read line by line, written whole or not at all, or kept as they come."""

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
    """A file cannot be read, written or gone on with; one sentence that begins with the file."""


class LineError(FileError):
    """A line cannot be used: "file:line: what is wrong"."""


def read_bytes(path: Path) -> bytes:
    """The whole file, unpacked if its name ends with .xz. Raises FileError."""
    return b"".join(_raw_lines(path))


def read_lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """The lines that are not blank, without blanks around them, each with its "file:line".

    Raises FileError for a file that cannot be read or breaks off; the lines before come first.
    """
    for number, line in enumerate(_raw_lines(path), 1):
        if text := line.strip():
            yield text, f"{path}:{number}"


def read_objects(path: Path) -> Iterator[tuple[Json, str]]:
    """The JSON objects of a file, each with its "file:line". Raises LineError for the first line that is none."""
    return ((parse_object(line, where), where) for line, where in read_lines(path))


def parse_object(line: bytes, where: str) -> Json:
    """The JSON object on a line. Raises LineError."""
    try:
        return read_json(line)
    except JsonError as error:
        told = "" if error.path else "The line is no JSON. "
        raise LineError(f"{where}: {told}{error}") from None


def json_line(value: object) -> bytes:
    """A value as one line, without the line break."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def write_lines(path: Path, lines: Iterable[bytes]) -> int:
    """Write a file whole or not at all, packed if its name ends with .xz. Gives the number of lines.

    Raises FileError when the disk does not take it, and lets through what `lines` itself raises.
    """
    count = 0
    with _replaced(path) as draft, lzma.open(draft, "wb") if path.suffix == ".xz" else draft.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    return count


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, meets the old one or the new one. Raises FileError."""
    with _replaced(path) as draft:
        draft.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)


def whole_lines(held: bytes) -> list[bytes]:
    """The lines that end with a line break: the last one of an interrupted run may be torn."""
    return held.split(b"\n")[:-1]


class GrowingFile:
    """A file of JSON lines to which an interrupted run adds where it was.

    No other process can open it meanwhile: raises FileError then, and OSError when the disk does not take it.
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
        """The whole lines that are there."""
        self._file.seek(0)
        return whole_lines(self._file.read())

    def keep(self, lines: Sequence[bytes]) -> None:
        """Drop what stands behind the first `lines` of the file: a torn line, or more than is wanted."""
        self._file.truncate(sum(len(line) + 1 for line in lines))

    def add(self, *lines: bytes) -> None:
        """All of them are in the file when this returns, or the last is torn."""
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
    """A draft beside `path`, which takes its place when the block ends and is gone when the block fails."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # else it would stand before the reason
            draft.unlink(missing_ok=True)
