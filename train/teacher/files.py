"""What a step reads and keeps: conversations that are not finished, one a line, in the neutral format."""

from __future__ import annotations

import fcntl
import hashlib
import json
import lzma
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from apis.rules.json_text import parse_json
from client.rows import Row, RowError, parse_row, row_text
from core.errors import RequestError
from train.rejects import rejects_path

MAX_ANSWER = 500  # characters of a rejected answer that are kept, to see what went wrong

_CLOSING = {
    "role": "assistant",
    "content": "-",
}  # stands for the turns to come, so that the rules for rows hold for a part of one


class FileFault(Exception):
    """A file cannot be read or gone on with; one sentence with the file."""


def key_of(row: Row) -> str:
    """Equal for equal questions, whatever is noted about them."""
    return hashlib.sha256(row_text(replace(row, meta={}, source="")).encode("utf-8", "replace")).hexdigest()[:16]


def open_row(line: bytes, where: str) -> Row:
    """A conversation that may end with anybody; else as parse_row. Raises RowError."""
    try:
        fields = parse_json(line)
    except RequestError:
        return parse_row(line, where)  # says what is wrong
    if isinstance(messages := fields.get("messages"), list):
        fields["messages"] = [*messages, _CLOSING]
    row = parse_row(json.dumps(fields).encode(), where)
    return replace(row, messages=row.messages[:-1])


def read_lines(path: Path) -> Iterator[tuple[bytes, str]]:
    """The lines that are not blank, each with "file:line". Raises FileFault."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield line, f"{path}:{number}"
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise FileFault(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _opened(path: Path) -> IO[bytes]:
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")


def read_conversations(path: Path, fault: Callable[[Row], str]) -> tuple[list[Row], list[str]]:
    """The rows that a step can go on with, and a sentence for each that it cannot. Equal rows are one.

    `fault` says what a row lacks, or "". Raises FileFault.
    """
    rows: dict[str, Row] = {}
    faults: list[str] = []
    for line, where in read_lines(path):
        try:
            row = open_row(line, where)
        except RowError as error:
            faults.append(str(error))
            continue
        if sentence := fault(row):
            faults.append(f"{where}: {sentence}")
        else:
            rows.setdefault(key_of(row), row)
    return list(rows.values()), faults


class Kept:
    """FILE.jsonl and FILE.rejects.jsonl of a step. Opening reads what an earlier run left; a torn last line is dropped.

    `done` are the keys of the inputs that need not be asked again: each line says in "from" which it was made of.
    Raises FileFault where a line was made of none of `known`, and OSError.
    """

    def __init__(self, path: Path, known: Collection[str]) -> None:
        self.path = path
        self.rejects = rejects_path(path)
        self.done: set[str] = set()
        self.num_rows = self.num_rejects = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows, made_from = _resumed(path)
        self.num_rows = len(made_from)
        try:
            self._rejects, rejected_from = _resumed(self.rejects)
        except BaseException:
            self._rows.close()
            raise
        self.num_rejects = len(rejected_from)
        self.done = {*made_from, *rejected_from}
        if unknown := next((place for place, key in enumerate(made_from, 1) if key not in known), 0):
            self.close()
            raise FileFault(
                f"{path}:{unknown} was made of another input, or with another --seed: choose another --out, "
                "or delete the file"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        try:
            self._rows.close()
        finally:
            self._rejects.close()

    def keep(self, key: str, rows: Sequence[Row]) -> None:
        """The rows are in the file when this returns. Raises OSError for a full disk."""
        made = [replace(row, meta={**row.meta, "from": key}) for row in rows]
        _write(self._rows, "".join(f"{row_text(row)}\n" for row in made))
        self.num_rows += len(made)
        self.done.add(key)

    def reject(self, key: str, row: Row, reason: str, answer: str) -> None:
        """Put an input aside; it is not asked again as long as the file of rejects is there."""
        line = {"where": row.where, "reason": reason, "answer": answer[:MAX_ANSWER], "meta": {"from": key}}
        text = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode()
        _write(self._rejects, f'{text[:-1]}, "row": {row_text(row)}}}\n')
        self.num_rejects += 1
        self.done.add(key)


def _write(file: IO[bytes], text: str) -> None:
    file.write(text.encode())
    file.flush()


def _resumed(path: Path) -> tuple[IO[bytes], list[str]]:
    """The file, opened behind its last whole line, and what its lines were made of. Nobody else gets it meanwhile."""
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.seek(0)
        held = file.read()
        whole = held[: held.rfind(b"\n") + 1]
        keys = [_made_from(line, f"{path}:{number}") for number, line in enumerate(whole.split(b"\n")[:-1], 1)]
        file.truncate(len(whole))
    except BlockingIOError:
        file.close()
        raise FileFault(f"{path}: another run is writing it; wait for its end, or choose another --out") from None
    except BaseException:
        file.close()
        raise
    return file, keys


def _made_from(line: bytes, where: str) -> str:
    try:
        return str(json.loads(line)["meta"]["from"])
    except (ValueError, KeyError, TypeError, RecursionError):
        sentence = "no row that this step has written: choose another --out, or delete the file"
        raise FileFault(f"{where}: {sentence}") from None
