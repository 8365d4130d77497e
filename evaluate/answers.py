"""Stores answers in a file one by one, so an interrupted run can continue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from apis.rules.json_text import JsonError, read_json
from client.endpoints import Answer
from client.json_lines import FileError, Json, ResumableFile, json_line, read_bytes, whole_lines
from core.conversation import Call


class Answers:
    """A file of JSON lines: first `about`, which describes the run, then one answer per line with the key of its row.

    Opening the file reads the answers of earlier runs into `by_key` and drops an incomplete last line. Raises FileError
    if the file has another `about` or is not a file of answers. Raises OSError if the file cannot be read or written.
    """

    def __init__(self, path: Path, about: Json) -> None:
        self.path = path
        self._file = ResumableFile(path)
        try:
            lines = self._file.lines()
            self.by_key = self._read(lines, about)
            self._file.keep(lines)
            if not lines:
                self._file.add(json_line({"about": about}))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, key: str, answer: Answer) -> None:
        """Append an answer. It is in the file when this returns. Raises OSError, for example for a full disk."""
        self._file.add(json_line({"key": key, **asdict(answer)}))
        self.by_key[key] = answer

    def _read(self, lines: Sequence[bytes], about: Json) -> dict[str, Answer]:
        objects = _objects(lines, self.path)
        found = next(objects, {"about": about}).get("about")
        if found != about:
            other = sorted(key for key in about if isinstance(found, dict) and found.get(key) != about[key])
            raise FileError(
                f"{self.path} holds answers of another run ({', '.join(other) or 'unreadable'} differ): "
                "choose another --out, or delete the file"
            )
        return dict(_answer(one, self.path) for one in objects)


def read_answers(path: Path) -> tuple[Json, dict[str, Answer]]:
    """Read a file of answers. Returns its `about`, and the answers by the keys of their rows. Raises FileError."""
    objects = _objects(whole_lines(read_bytes(path)), path)
    about = next(objects, {}).get("about")
    if not isinstance(about, dict):
        raise FileError(f"{path}:1: no file of answers")
    return about, dict(_answer(one, path) for one in objects)


def _objects(lines: Sequence[bytes], path: Path) -> Iterator[Json]:
    for number, line in enumerate(lines, 1):
        try:
            yield read_json(line)
        except JsonError:
            raise FileError(f"{path}:{number}: no JSON object; delete the line, or the file") from None


def _answer(held: Json, path: Path) -> tuple[str, Answer]:
    try:
        fields = dict(held)
        key = str(fields.pop("key"))
        calls = tuple(Call(**call) for call in fields.pop("calls"))
        return key, Answer(**fields, calls=calls)
    except (KeyError, TypeError) as error:
        raise FileError(f"{path}: a line is no answer ({error}); delete the file") from None
