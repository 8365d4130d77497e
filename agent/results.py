"""The value that a tool returned as a text for the model, within a limit however large the value is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Set
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from enum import Enum
from io import StringIO
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from agent.tools import ToolError

MAX_RESULT: ContextVar[int] = ContextVar("MAX_RESULT", default=65_536)  # characters of the result of the current call
MAX_ERROR = 1_000  # characters of an error
MAX_DEPTH = 100  # levels of lists and objects
MAX_MODEL = 8  # times the limit: the size of a pydantic model whose JSON is written, before it is cut
MAX_SORTED = 1_000  # members of a set, which are sorted so that equal sets give equal prompts

_SURROGATE = re.compile("[\ud800-\udfff]")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_RIGHT = "a tool returns text, numbers, lists, dicts, dataclasses or pydantic models"


def as_text(value: object, limit: int) -> str:
    """Return a tool's result as text of at most `limit` characters: a text as it is, any other value as JSON.

    A longer text is cut and ends with a note. None is `null`, and so are NaN and infinity. An iterator is a list; it is
    read up to the limit. An object that JSON does not know is its `str()`. Raises ToolError for bytes, for a value that
    contains itself or nests too deep, and for an object whose `str()` says nothing.
    """
    if isinstance(value, str):
        return _cut(str(value[: limit + 1]), limit, f"{len(value):,} characters")
    written = StringIO()
    size = 0
    for piece in _pieces(value, limit):
        size += written.write(piece[: limit + 1 - size])
        if size > limit:
            break
    return _cut(written.getvalue(), limit, f"more than {limit:,} characters")


def error_text(error: BaseException) -> str:
    """Return an exception as text for the model: class and message, and only the message of a ToolError."""
    name = type(error).__name__
    try:
        message = str(error)[:MAX_ERROR]
    except Exception:
        message = "its message cannot be read"
    if not isinstance(error, ToolError):
        message = f"{name}: {message}" if message.strip() else name
    return _cut(f"Error: {message}"[:MAX_ERROR], MAX_ERROR, "")


def _cut(text: str, limit: int, size: str) -> str:
    if len(text) > limit:
        note = f"\n[cut: the result has {size}]"
        text = text[: limit - len(note)] + note if len(note) < limit else text[:limit]
    return _SURROGATE.sub("\ufffd", text)


def _pieces(value: object, limit: int) -> Iterator[str]:
    """Yield the JSON of a value piece by piece, without recursion."""
    opened: list[tuple[object, str, Iterator[tuple[str, object]]]] = [(None, "", iter([("", value)]))]
    is_first = True
    while opened:
        found = next(opened[-1][2], None)
        if found is None:
            yield opened.pop()[1]
            is_first = False
            continue
        head, member = found
        yield head if is_first else ", " + head
        is_first = False
        plain = _plain(member, limit)
        if (inner := _members(plain, limit)) is None:
            yield _leaf(plain, limit)
            continue
        if any(member is outer for outer, _, _ in opened):
            raise ToolError(f"the result contains itself; {_RIGHT}")
        if len(opened) > MAX_DEPTH:
            raise ToolError(f"the result nests deeper than {MAX_DEPTH} levels; return a flatter value")
        brackets, members = inner
        yield brackets[0]
        opened.append((member, brackets[1], members))
        is_first = True


def _plain(value: Any, limit: int) -> object:
    """Return what an object stands for: the value of an enum, the fields of a dataclass, the item of a numpy scalar."""
    if isinstance(value, Enum):
        return _plain(value.value, limit)
    if isinstance(value, BaseModel):
        if _is_huge(value, MAX_MODEL * limit):
            size = f"more than {MAX_MODEL * limit:,} values and characters"
            raise ToolError(f"the result holds a {type(value).__name__} of {size}; return less")
        return value.model_dump(mode="json", warnings="none", fallback=_named)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def _members(value: Any, limit: int) -> tuple[str, Iterator[tuple[str, object]]] | None:
    """Return the brackets and the members of a list or an object, or None for another value."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        return None
    if isinstance(value, Mapping):
        return "{}", ((f"{_quoted(_key(key), limit)}: ", member) for key, member in value.items())
    if isinstance(value, Set) and len(value) <= MAX_SORTED:
        return "[]", (("", member) for member in _in_order(value))
    if isinstance(value, Collection | Iterator) or hasattr(value, "tolist"):
        return "[]", (("", member) for member in value)
    return None


def _leaf(value: object, limit: int) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        raise ToolError(f"the result holds {memoryview(value).nbytes:,} bytes of binary data; {_RIGHT}")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        try:
            return int.__repr__(value)
        except ValueError:  # Python's limit
            raise ToolError("the result holds an integer of more than 4,300 digits; return it as text") from None
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else "null"
    text = value if isinstance(value, str) else to_jsonable_python(value, fallback=_named)
    return _quoted(str(text), limit)


def _named(value: object) -> str:
    """Return the `str()` of an object. Raises ToolError if it is Python's, which has only the object's address."""
    text = str(value)
    if _ADDRESS.search(text):
        raise ToolError(f"the result holds a {type(value).__name__}, which has no JSON form; {_RIGHT}")
    return text


def _key(key: object) -> str:
    if isinstance(key, Enum):
        return _key(key.value)
    return _leaf(key, 0) if key is None or isinstance(key, int | float) else str(key)


def _quoted(text: str, limit: int) -> str:
    return json.dumps(text[: limit + 1], ensure_ascii=False)


def _in_order(members: Set[Any]) -> list[Any]:
    try:
        return sorted(members)
    except TypeError:
        return list(members)


def _is_huge(model: BaseModel, limit: int) -> bool:
    """Return whether a model has more than `limit` values and characters. Its JSON is made in one piece."""
    waiting: list[Iterator[object]] = [iter(vars(model).values())]
    end = object()
    while waiting and limit >= 0:
        match next(waiting[-1], end):
            case int() | float() | None:  # first, since they are many and a check for a model is slow
                pass
            case str() | bytes() as text:
                limit -= len(text)
            case list() | tuple() | set() | frozenset() as items:
                limit -= len(items)
                waiting.append(iter(items))
            case dict() as items:
                limit -= len(items)
                waiting.append(iter(items.values()))
            case BaseModel() as inner:
                limit -= 1
                waiting.append(iter(vars(inner).values()))
            case value if value is end:
                waiting.pop()
    return limit < 0
