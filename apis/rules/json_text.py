"""Parse the bytes of a request's body into a JSON object whose every value the rest of the server can process."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from itertools import accumulate
from typing import Any

from core.errors import RequestError

MAX_DEPTH = 128  # levels; json.loads recurses once per level, and real requests have far fewer
MAX_INTEGER_BITS = 1023  # larger integers overflow a float

_UNPARSED = "We could not parse the JSON body of your request."
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKET = bytes(set(range(256)) - set(b"[{]}"))
_SURROGATE = re.compile("[\ud800-\udfff]")
# If this pattern matches nowhere in the bytes, all values are fit. This spares most bodies the walk over all values.
_SUSPECT = re.compile(rb"\\u[dD][89a-fA-F]|[eE]\+?[0-9]{3}|(?<![0-9])[0-9]{200}")


class JsonError(Exception):
    """A text is not JSON, not an object, or holds an unfit value. `path` names the field of an unfit value."""

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


def parse_json(body: bytes) -> dict[str, Any]:
    """Parse the body of a request like `read_json`. Raises RequestError."""
    try:
        return read_json(body)
    except JsonError as error:
        if error.path is None:
            raise RequestError(f"{_UNPARSED} {error}", None, "invalid_json") from None
        raise RequestError(str(error), error.path, "invalid_value") from None


def read_json(text: bytes) -> dict[str, Any]:
    """Parse a JSON object. If a key occurs twice, the last value wins.

    Raises JsonError for invalid UTF-8 or JSON, another type at the top, NaN, numbers beyond float64, lone surrogates,
    and more than 128 levels.
    """
    if text.startswith(BOM_UTF8):
        raise JsonError("It starts with a byte order mark; send UTF-8 without one.")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonError(f"It is not UTF-8: bad byte at position {error.start}.") from None
    if _depth(text) > MAX_DEPTH:
        raise JsonError(f"It is nested deeper than {MAX_DEPTH} levels.")
    value = _loads(decoded)
    if not isinstance(value, dict):
        raise JsonError("Expected a JSON object at the top.")
    if _SUSPECT.search(text):
        _check_unfit(value)
    return value


def _loads(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise JsonError(f"{error}.") from None
    except ValueError:  # Python raises it for integers of more than 4,300 digits
        raise JsonError("It holds an integer with too many digits.") from None


def _no_constant(name: str) -> None:
    raise JsonError(f"{name} is not a JSON value.")


def _depth(body: bytes) -> int:
    """Return the deepest nesting of brackets outside strings, without recursion.

    In a text that is not JSON, the count is right up to the first fault, where json.loads stops.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return 0
    outside = b"".join(body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    steps = memoryview(outside.translate(_STEPS, _NO_BRACKET)).cast("b")
    return max(accumulate(steps), default=0)


def _check_unfit(value: dict[str, Any]) -> None:
    unfit = _first_unfit(value)
    if unfit is None:
        return
    path, fault = unfit
    path = path.removeprefix(".").encode("ascii", "backslashreplace").decode("ascii")[:200]
    raise JsonError(f"Invalid '{path}': {fault}.", path)


def _first_unfit(value: object) -> tuple[str, str] | None:
    """Find the first unfit string or number. Returns its path below `value` and the reason, or None.

    The path is built while the recursion returns. If it were built on the way down, deep nests with long keys would
    take quadratic time.
    """
    match value:
        case str():
            return ("", "the text holds a lone surrogate, which is not Unicode") if _SURROGATE.search(value) else None
        case int() | float():
            return ("", "the number is too large") if _is_too_large(value) else None
        case list():
            for index, item in enumerate(value):
                if unfit := _first_unfit(item):
                    return f"[{index}]{unfit[0]}", unfit[1]
        case dict():
            for key, item in value.items():
                if unfit := _first_unfit(key) or _first_unfit(item):
                    return f".{key}{unfit[0]}", unfit[1]
    return None


def _is_too_large(number: float) -> bool:
    if isinstance(number, int):
        return number.bit_length() > MAX_INTEGER_BITS
    return number in (float("inf"), float("-inf"))
