"""Keeps the finished rows of an interrupted run in a hidden file beside the output file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from client.json_lines import FileError, LineError, ResumableFile
from client.rows import Row, row_text
from train.everyday.generator import Generator
from train.rows import parse_whole_row

CHECKED_EVERY = 50


class PartFile:
    """The hidden file of a run. It resumes that of an earlier run with the same seed if the templates are the same.

    If the templates have changed, the file starts empty. `num_rows` is the number of rows in the file, at most the
    requested number; the generator has marked these rows as seen. Raises FileError if the file cannot be written.
    """

    def __init__(self, path: Path, generator: Generator, num_rows: int) -> None:
        self.path = path.with_name(f".{path.name}.{generator.seed}.part.jsonl")
        self._generator = generator
        try:
            self._file = ResumableFile(self.path)
            lines = self._resumable(self._file.lines()[:num_rows])
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

    def _resumable(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines, with their rows marked as seen, or no lines if the generator would make other rows."""
        if all(self._is_expected(number, line, number == len(lines) - 1) for number, line in enumerate(lines)):
            return lines
        self._generator.reset()
        return []

    def _is_expected(self, number: int, line: bytes, is_last: bool) -> bool:
        """Return whether a line has the row of its number. To save time, not every line is compared with a new row."""
        if number % CHECKED_EVERY == 0 or is_last:
            return row_text(self._generator.row(number)).encode() == line
        try:
            self._generator.mark_seen(parse_whole_row(line, f"{self.path}:{number + 1}"))
        except LineError:
            return False
        return True

    def _unwritable(self, error: OSError) -> FileError:
        return FileError(f"{self.path}: cannot be written: {error.strerror or error}")
