"""Reads function definitions from files in JSON, JSON lines, YAML and Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from agent.definitions import openapi
from agent.definitions.candidates import Candidate
from agent.definitions.documents import DocumentError, read_yaml
from agent.definitions.signatures import functions_of
from client.json_lines import FileError, read_bytes

_LISTS = ("tools", "functions")  # keys of a document whose value may be the list of functions


def candidates(path: Path) -> Iterator[Candidate]:
    """Return the unchecked functions of a file, in order. Raises FileError if the file cannot be read."""
    text = _text(path)
    kind = path.with_suffix("").suffix if path.suffix == ".xz" else path.suffix
    if kind == ".py":
        return functions_of(path, text)
    if kind in (".jsonl", ".ndjson"):
        return _lines(text)
    if kind in (".yaml", ".yml"):
        return _document(path, _yaml(path, text))
    try:
        return _document(path, json.loads(text))
    except RecursionError:
        raise FileError(f"{path}: it is nested too deep to be read") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _lines(text)
        raise FileError(f"{path}: no JSON: {error}; .json, .jsonl, .yaml and .py files are read") from None


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: it is not UTF-8: bad byte at position {error.start}") from None


def _yaml(path: Path, text: str) -> object:
    try:
        return read_yaml(text)
    except DocumentError as error:
        raise FileError(f"{path}:{error.line}: {error}" if error.line else f"{path}: {error}") from None


def _document(path: Path, document: object) -> Iterator[Candidate]:
    if isinstance(document, dict):
        if openapi.is_openapi(document):
            return openapi.candidates(document)
        held = [document[key] for key in _LISTS if isinstance(document.get(key), list)]
        document = held[0] if held else [document]
    if not isinstance(document, list):
        raise FileError(f"{path}: functions are objects, in a list, or in 'tools' of an object")
    return (_candidate(item, f"[{index}]") for index, item in enumerate(document))


def _lines(text: str) -> Iterator[Candidate]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield _candidate(json.loads(line), str(number), number)
        except (ValueError, RecursionError) as error:
            yield Candidate(str(number), fault=f"the line is no JSON: {error}", line=number)


def _candidate(item: object, where: str, line: int | None = None) -> Candidate:
    """Make a candidate of a function, of a tool, or of an output line of this command."""
    if isinstance(item, dict) and isinstance(item.get("function"), dict):
        item = item["function"]
    if not isinstance(item, dict):
        return Candidate(where, fault=f"a function must be a JSON object, got {json.dumps(item)[:60]}", line=line)
    return Candidate(where, item, line=line)
