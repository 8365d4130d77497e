"""Reads function definitions in JSON, JSON lines, YAML and Python, from files and from texts."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from agent.definitions import openapi
from agent.definitions.candidates import Candidate, Unfit
from agent.definitions.documents import read_yaml
from agent.definitions.signatures import functions_of
from client.json_lines import FileError, read_bytes

_LISTS = ("tools", "functions")  # keys of a document whose value may be the list of functions
_PYTHON = re.compile(r"^(?:(?:async\s+def|def|class|from|import)\s|@\w)", re.MULTILINE)
_RIGHT = "expected are functions in JSON as OpenAI's API has them, Python functions, or an OpenAPI document"

MAX_TEXT = 2 * 2**20  # characters


def candidates(path: Path) -> Iterator[Candidate]:
    """Return the unchecked functions of a file, in order. Raises FileError if the file cannot be read."""
    kind = path.with_suffix("").suffix if path.suffix == ".xz" else path.suffix
    try:
        return _READERS.get(kind, _json)(_text(path))
    except Unfit as error:
        place = f"{path}:{error.line}" if error.line else f"{path}"
        told = "" if kind in _READERS else "; .json, .jsonl, .yaml and .py files are read"
        raise FileError(f"{place}: {error}{told}") from None


def candidates_in(text: str) -> Iterator[Candidate]:
    """Yield the unchecked functions of a text, in order. What kind of text it is shows in its first characters.

    The text is JSON or JSON lines, Python source (which is not run; one signature without a body is enough), or an
    OpenAPI document in JSON or YAML. A text at the limit takes seconds, so that a server reads it in a thread and stops
    after some functions.
    Raises Unfit, whose message says what is wrong and what would be right.
    """
    if len(text) > MAX_TEXT:
        raise Unfit(f"the text has {len(text):,} characters, the limit is {MAX_TEXT:,}; paste fewer functions")
    text = textwrap.dedent(text.lstrip("\ufeff")).strip()
    if not text:
        raise Unfit(f"the text is empty; {_RIGHT}")
    found = None
    for found in _read(text):
        yield found
    if not found:
        raise Unfit(f"the text has no public function at its top level; {_RIGHT}")


def _read(text: str) -> Iterator[Candidate]:
    if text[0] in "[{":
        return _json(text)
    if _PYTHON.search(text):
        return _python(text)
    try:
        document = read_yaml(text)
    except Unfit as error:
        raise Unfit(f"the text is neither JSON nor Python, and {error}; {_RIGHT}", error.line) from None
    if not isinstance(document, dict | list):
        raise Unfit(f"the text has no functions; {_RIGHT}")
    return _document(document)


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: it is not UTF-8: bad byte at position {error.start}") from None


def _json(text: str) -> Iterator[Candidate]:
    try:
        return _document(json.loads(text))
    except RecursionError:
        raise Unfit("it is nested too deep to be read") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _lines(text)
        raise Unfit(f"no JSON: {error}") from None


def _yaml(text: str) -> Iterator[Candidate]:
    return _document(read_yaml(text))


def _python(text: str) -> Iterator[Candidate]:
    """Read Python source. A signature at the end may lack its body."""
    try:
        return functions_of(text)
    except Unfit as error:
        with suppress(Unfit):
            return functions_of(f"{text.removesuffix(':')}: ...")
        raise error


def _document(document: object) -> Iterator[Candidate]:
    if isinstance(document, dict):
        if openapi.is_openapi(document):
            return openapi.candidates(document)
        held = [document[key] for key in _LISTS if isinstance(document.get(key), list)]
        document = held[0] if held else [document]
    if not isinstance(document, list):
        raise Unfit("functions are objects, in a list, or in 'tools' of an object")
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


_READERS: dict[str, Callable[[str], Iterator[Candidate]]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".py": functions_of,
}
