"""Rows that an interrupted run has finished, in a file beside the one that is to be."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO

from client.rows import Row, RowError, parse_row, row_text
from train.everyday.generator import Generator

CHECKED_EVERY = 50


class PartFile:
    """Continues the file of an earlier run of the same seed; begins anew where these templates would not give its rows.

    `num_rows` are there already, at most those wanted, and the generator remembers them. Raises RowError when the disk
    does not take it.
    """

    def __init__(self, path: Path, generator: Generator, num_rows: int) -> None:
        self.path = path.with_name(f".{path.name}.{generator.seed}.part.jsonl")
        self._generator, self._most = generator, num_rows
        self._file: IO[bytes] | None = None
        self.num_rows = 0

    def __enter__(self) -> PartFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            kept = self._kept()
            self._file = self.path.open("r+b" if kept else "wb")
            self._file.truncate(kept)
            self._file.seek(kept)
        except OSError as error:
            raise self._unwritable(error) from None
        return self

    def write(self, row: Row) -> None:
        if self._file is None:
            raise ValueError("the file is not open")
        try:
            self._file.write(row_text(row).encode() + b"\n")
        except OSError as error:
            raise self._unwritable(error) from None
        self.num_rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as failure:
            raise self._unwritable(failure) from None

    def _kept(self) -> int:
        """How many bytes are whole rows that the generator would make again; it remembers them."""
        if not self.path.exists():
            return 0
        lines = self.path.read_bytes().split(b"\n")[:-1][: self._most]
        if not all(self._is_ours(number, line, number == len(lines) - 1) for number, line in enumerate(lines)):
            self._generator.forget()
            return 0
        self.num_rows = len(lines)
        return sum(len(line) + 1 for line in lines)

    def _is_ours(self, number: int, line: bytes, is_last: bool) -> bool:
        """Whether a line holds the row of its number; only some are made again, which is what takes long."""
        if number % CHECKED_EVERY == 0 or is_last:
            return row_text(self._generator.row(number)).encode() == line
        try:
            self._generator.remember(parse_row(line, f"{self.path}:{number + 1}"))
        except RowError:
            return False
        return True

    def _unwritable(self, error: OSError) -> RowError:
        return RowError(f"{self.path}: cannot be written: {error.strerror or error}")
