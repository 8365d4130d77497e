"""Functions that the converters share: reading files with clear errors, grounding values, checking rows."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from tqdm import tqdm

from client.json_lines import FileError, Json, LineError, read_bytes
from client.rows import Row, call_fault, parse_arguments
from core.conversation import Call, Function, Message
from core.errors import RequestError
from json_schema.check import check_parameters
from train.rows import check_row

T = TypeVar("T")

_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMBERS = {word: number for number, word in enumerate(_UNITS)}


@dataclass(frozen=True)
class Reject:
    """An entry of the source that gives no row. `where` is "file:position"."""

    where: str
    reason: str


@dataclass(frozen=True)
class Definition:
    """A function without a conversation, used as a distractor. `api` names the API that the function comes from."""

    function: Function
    source: str
    api: str


Item = Row | Definition | Reject


def progress(items: Sequence[T], description: str) -> Iterator[T]:
    """Yield the items with a progress bar on stderr."""
    yield from tqdm(items, desc=description, leave=False)


_OTHER_SHAPE = (KeyError, TypeError, AttributeError, IndexError)


@contextmanager
def format_of(path: Path) -> Iterator[None]:
    """Raise FileError if the code in the context fails because the file does not have the expected structure."""
    try:
        yield
    except _OTHER_SHAPE as error:
        raise FileError(f"{path}: not of the expected format: {type(error).__name__} {error}") from None


def reject_malformed(items: Iterator[Item], where: str) -> Iterator[Item]:
    """Yield the items of one entry. If the entry does not have the expected structure, yield a reject."""
    try:
        yield from items
    except _OTHER_SHAPE as error:
        yield Reject(where, f"not of the expected format: {type(error).__name__} {error}")


def require_path(path: Path, what: str) -> Path:
    """Return the path. Raises FileError if nothing exists there."""
    if not path.exists():
        raise FileError(f"{path} is not there; {what} was expected")
    return path


def read_json(path: Path, fallback: str | None = None) -> Any:
    """Read a JSON file. `fallback` is an encoding as in read_text. Raises FileError."""
    text = read_text(path, fallback)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        place = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise FileError(f"{path}{place}: the file is no JSON: {error}") from None


def read_text(path: Path, fallback: str | None = None) -> str:
    """Read a text file as UTF-8 or, if it is not UTF-8, in the `fallback` encoding. Raises FileError."""
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if fallback is None:
            raise FileError(f"{path}: the file is not UTF-8 (byte {error.start})") from None
        return raw.decode(fallback)


def read_csv(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[tuple[dict[str, str | None], str]]:
    """Read a CSV file. Each row is a dict by column, with its position "file: row N". The header is row 1.

    Raises FileError, also for a missing column.
    """
    reader = csv.DictReader(io.StringIO(read_text(path)), delimiter=delimiter)
    try:
        absent = set(columns) - set(reader.fieldnames or ())
        rows = [(row, f"{path}: row {number}") for number, row in enumerate(reader, 2)]
    except csv.Error as error:
        raise FileError(f"{path}: row {reader.line_num}: the file is no CSV: {error}") from None
    if absent:
        raise FileError(f"{path}: the columns {', '.join(columns)} were expected; {min(absent)} is missing")
    return rows


def member(value: Any, key: str, kind: type[T], where: str) -> T:
    """Return value[key], which must be a `kind`. Raises FileError otherwise, since the format is then unknown."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise FileError(f"{where}: a member {key!r} of type {kind.__name__} was expected")
    return found


def tokens(text: str) -> list[str]:
    """Split text into words and numbers in lower case: "9am" -> 9, am."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def is_grounded(value: object, text: str, share: float = 1.0) -> bool:
    """Return whether the text contains a string or number. Case and punctuation are ignored; numbers may be in words.

    If `value` is a list, the text must contain all its items. With `share` below 1, a string of three or more words
    counts as contained when the text has at least this share of its words.
    """
    if isinstance(value, list):
        return all(is_grounded(item, text, share) for item in value)
    words = tokens(text)
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int | float):
        return _contains_number(value, text, words)
    wanted = tokens(str(value))
    if not wanted:
        return False
    if any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1)):
        return True
    known = set(words)
    return share < 1 and len(wanted) > 2 and sum(word in known for word in wanted) >= share * len(wanted)


def _contains_number(value: float, text: str, words: Sequence[str]) -> bool:
    said = {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
    return float(value) in said or any(NUMBERS.get(word) == value for word in words)


def is_broken(text: str) -> bool:
    """Return whether the text has characters that arise when a text is decoded with the wrong encoding."""
    return any(character == "\ufffd" or "\x80" <= character <= "\x9f" for character in text)


def snake_case(name: str) -> str:
    """Rewrite a name in snake case: FindBus -> find_bus."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace(" ", "_").casefold()


def number(said: str) -> int | None:
    """Parse a whole number in digits or words: "3" or "three" -> 3. Returns None for other text."""
    said = said.strip().casefold()
    return int(said) if said.isdecimal() else NUMBERS.get(said)


def function_call(function: Function, arguments: Json, index: int) -> Call:
    """Make a call with its arguments in the schema's order."""
    properties = (function.parameters or {}).get("properties", {})
    ordered = {key: arguments[key] for key in properties if key in arguments}
    ordered |= {key: value for key, value in arguments.items() if key not in properties}  # reported by check_row
    return Call(function.name, json.dumps(ordered, ensure_ascii=False), f"call_{index}")


def result(call: Call, content: object) -> Message:
    return Message("tool", json.dumps(content, ensure_ascii=False), name=call.name, call_id=call.id)


def checked(row: Row) -> Row | Reject:
    """Return the row if its structure, schemas and arguments are valid, else a reject."""
    try:
        for function in row.functions:
            _check_function(function.name, json.dumps(function.parameters))
        check_row(row)
        for call in row.calls:
            if fault := _fault(row.functions, call.name, parse_arguments(call)):
                return Reject(row.where, f"an argument of a call does not fit the schema: {fault}")
    except RequestError as error:
        return Reject(row.where, error.message)
    except LineError as error:
        return Reject(row.where, str(error).removeprefix(f"{row.where}: "))
    return row


@cache
def _check_function(name: str, parameters: str) -> None:
    schema = json.loads(parameters)
    if schema is not None:
        check_parameters(schema, owner=f"function '{name}'", param="parameters")


def _fault(functions: Sequence[Function], name: str, arguments: Json) -> str:
    is_empty = any(value in ("", []) for value in arguments.values())
    return call_fault(functions, name, arguments) or ("an empty value" if is_empty else "")


def with_distractors(
    called: Sequence[Function], others: Sequence[Function], random: Random, most: int
) -> tuple[Function, ...]:
    """Return the called functions and up to `most` of the others, shuffled. No two functions have the same name."""
    names = {function.name for function in called}
    unlike = list({function.name: function for function in others if function.name not in names}.values())
    chosen = [*called, *random.sample(unlike, min(len(unlike), random.randint(0, most)))]
    random.shuffle(chosen)
    return tuple(chosen)
