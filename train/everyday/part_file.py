"""Rows that an interrupted run has finished, in a file beside the one that is to be."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from client.json_lines import FileError, LineError, ResumableFile
from client.rows import Row, row_text
from train.everyday.generator import Generator
from train.rows import parse_whole_row

CHECKED_EVERY = 50


class PartFile:
    """Continues the file of an earlier run of the same seed; begins anew where these templates would not give its rows.

    `num_rows` are there already, at most those wanted, and the generator remembers them. Raises FileError when the disk
    does not take it.
    """

    def __init__(self, path: Path, generator: Generator, num_rows: int) -> None:
        self.path = path.with_name(f".{path.name}.{generator.seed}.part.jsonl")
        self._generator = generator
        try:
            self._file = ResumableFile(self.path)
            lines = self._ours(self._file.lines()[:num_rows])
            self._file.keep(lines)
        except OSError as error:
            raise self._unwritable(error) from None
        self.num_rows = len(lines)

    def __enter__(self) -> PartFile:
        return self

    def write(self, row: Row) -> None:
        try:
            self._file.add(row_text(row).encode())
        except OSError as error:
            raise self._unwritable(error) from None
        self.num_rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _ours(self, lines: list[bytes]) -> list[bytes]:
        """The lines, if the generator would make their rows again; it remembers them. Else none."""
        if all(self._is_ours(number, line, number == len(lines) - 1) for number, line in enumerate(lines)):
            return lines
        self._generator.forget()
        return []

    def _is_ours(self, number: int, line: bytes, is_last: bool) -> bool:
        """Whether a line holds the row of its number; only some are made again, which is what takes long."""
        if number % CHECKED_EVERY == 0 or is_last:
            return row_text(self._generator.row(number)).encode() == line
        try:
            self._generator.remember(parse_whole_row(line, f"{self.path}:{number + 1}"))
        except LineError:
            return False
        return True

    def _unwritable(self, error: OSError) -> FileError:
        return FileError(f"{self.path}: cannot be written: {error.strerror or error}")
