"""Answers kept in a file as they come, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from evaluate.calls import Answer, AnsweredCall
from evaluate.rows import Json


class KeptError(Exception):
    """What lies in the result folder cannot be gone on with; one sentence with the file."""


class Answers:
    """One file of JSON lines: first what was asked and how (`about`), then an answer a line, by the row's key.

    Opening reads what is there. A last line that was cut off is dropped. Raises KeptError if the file is about another
    run or is none of ours.
    """

    def __init__(self, path: Path, about: Json) -> None:
        self.path = path
        self.by_key: dict[str, Answer] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = _whole_lines(path) if path.exists() else b""
        self._file = path.open("r+b" if path.exists() else "wb")
        try:
            self._read(whole, about)
            self._file.seek(len(whole))
            self._file.truncate()
            if not whole:
                self._write({"about": about})
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
        """Keep an answer: it is in the file when this returns. Raises OSError for a full disk."""
        self._write({"key": key, **asdict(answer)})
        self.by_key[key] = answer

    def _write(self, line: Json) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._file.flush()

    def _read(self, whole: bytes, about: Json) -> None:
        lines = _lines(whole, self.path)
        found = next(lines, {"about": about}).get("about")
        if found != about:
            other = sorted(key for key in about if isinstance(found, dict) and found.get(key) != about[key])
            raise KeptError(
                f"{self.path} holds answers of another run ({', '.join(other) or 'unreadable'} differ): "
                "choose another --out, or delete the file"
            )
        self.by_key |= dict(_answer(line, self.path) for line in lines)


def read_answers(path: Path) -> tuple[Json, dict[str, Answer]]:
    """What a file of answers is about, and the answers by key. Raises KeptError."""
    try:
        lines = _lines(_whole_lines(path), path)
        about = next(lines, {}).get("about")
        if not isinstance(about, dict):
            raise KeptError(f"{path}:1: no file of answers")
        return about, dict(_answer(line, path) for line in lines)
    except OSError as error:
        raise KeptError(f"{path}: {error.strerror}") from None


def _whole_lines(path: Path) -> bytes:
    kept = path.read_bytes()
    return kept[: kept.rfind(b"\n") + 1]


def _lines(kept: bytes, path: Path) -> Iterator[Json]:
    for number, line in enumerate(kept.splitlines(), start=1):
        try:
            value = json.loads(line)
        except ValueError:
            raise KeptError(f"{path}:{number}: no JSON; delete the line, or the file") from None
        if not isinstance(value, dict):
            raise KeptError(f"{path}:{number}: no JSON object; delete the line, or the file")
        yield value


def _answer(line: Json, path: Path) -> tuple[str, Answer]:
    try:
        fields = dict(line)
        key = str(fields.pop("key"))
        calls = tuple(AnsweredCall(**call) for call in fields.pop("calls"))
        return key, Answer(**fields, calls=calls)
    except (KeyError, TypeError) as error:
        raise KeptError(f"{path}: a line is no answer ({error}); delete the file") from None
