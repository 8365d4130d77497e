"""Typed reads of a request's JSON; each refusal names the field and what would be right, in OpenAI's words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from core.errors import RequestError

P = ParamSpec("P")
T = TypeVar("T")

MAX_NAME = 64
MAX_MESSAGE = 500
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def refusal(message: str, param: str | None = None, code: str | None = None) -> RequestError:
    """A RequestError whose message keeps to the length that an error body may have."""
    return RequestError(message[:MAX_MESSAGE], param, code)


def wrong_type(path: str, expected: str, value: object) -> RequestError:
    """The refusal of a value of another JSON type."""
    kind = _KINDS.get(type(value), "something else")
    return refusal(f"Invalid type for '{path}': expected {expected}, but got {kind} instead.", path, "invalid_type")


def missing(path: str) -> RequestError:
    """The refusal of a request without a field that it needs."""
    return refusal(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")


def unsupported_word(value: str, words: Sequence[str], param: str) -> RequestError:
    """The refusal of a string that is not among the few allowed ones."""
    supported = f"'{words[0]}'"
    if len(words) == 2:
        supported = f"'{words[0]}' and '{words[1]}'"
    if len(words) > 2:
        supported = ", ".join(f"'{word}'" for word in words[:-1]) + f", and '{words[-1]}'"
    message = f"Invalid value: '{value[:MAX_NAME]}'. Supported values are: {supported}."
    return refusal(message, param, "invalid_value")


class Fields:
    """A JSON object of a request and the path to it. A null in an optional field means that it is not given."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value) if path else refusal("The request must be a JSON object.")
        self.values: dict[str, Any] = value
        self.path = path

    def at(self, key: str) -> str:
        """The path of the field `key`, as it stands in `param`."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether `key` is given and not null."""
        return self.values.get(key) is not None

    def optional(
        self, key: str, check: Callable[Concatenate[object, str, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """The checked value of `key`, or None if it is not given."""
        value = self.values.get(key)
        return None if value is None else check(value, self.at(key), *args, **kwargs)

    def required(
        self, key: str, check: Callable[Concatenate[object, str, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The checked value of `key`, which must be there; null is a value of the wrong type."""
        if key not in self.values:
            raise missing(self.at(key))
        return check(self.values[key], self.at(key), *args, **kwargs)


def a_boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean", value)
    return value


def a_string(value: object, path: str, max_length: int | None = None) -> str:
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)
    if max_length is not None and len(value) > max_length:
        message = (
            f"Invalid '{path}': string too long. Expected a string with maximum length {max_length}, "
            f"but got a string with length {len(value)} instead."
        )
        raise refusal(message, path, "string_above_max_length")
    return value


def a_name(value: object, path: str) -> str:
    """A name as functions and formats have it: 1 to 64 of letters, digits, '_' and '-'."""
    name = a_string(value, path, MAX_NAME)
    if not name:
        message = (
            f"Invalid '{path}': empty string. Expected a string with minimum length 1, but got an empty string instead."
        )
        raise refusal(message, path, "empty_string")
    if not _NAME.fullmatch(name):
        message = (
            f"Invalid '{path}': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
        raise refusal(message, path, "invalid_value")
    return name


def a_word(value: object, path: str, words: Sequence[str], param: str | None = None) -> str:
    """One of `words`; `param` replaces the path in the refusal of another string."""
    word = a_string(value, path)
    if word not in words:
        raise unsupported_word(word, words, param or path)
    return word


def an_integer(value: object, path: str, low: int, high: int | None = None) -> int:
    """An integer from `low` to `high`, both included. JSON's 1.0 is not one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(path, "an integer", value)
    _check_range(value, path, "integer", low, high)
    return value


def a_number(value: object, path: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`, both included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(path, "a number", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise refusal(f"Invalid '{path}': expected a finite number, but got {value} instead.", path, "invalid_value")
    _check_range(value, path, "decimal", low, high)
    return float(value)


def _check_range(value: float, path: str, kind: str, low: float, high: float | None) -> None:
    if value < low:
        side, bound = "below minimum", f">= {low}"
    elif high is not None and value > high:
        side, bound = "above maximum", f"<= {high}"
    else:
        return
    is_long = isinstance(value, int) and value.bit_length() > 64  # its digits would fill the message
    got = "a longer integer" if is_long else value
    code = f"{kind}_{side.replace('minimum', 'min').replace('maximum', 'max').replace(' ', '_')}_value"
    raise refusal(
        f"Invalid '{path}': {kind} {side} value. Expected a value {bound}, but got {got} instead.", path, code
    )


def an_array(value: object, path: str, *, min_length: int = 0, max_length: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise wrong_type(path, "an array", value)
    if len(value) < min_length:
        message = (
            f"Invalid '{path}': empty array. Expected an array with minimum length {min_length}, "
            "but got an empty array instead."
        )
        raise refusal(message, path, "empty_array")
    if max_length is not None and len(value) > max_length:
        message = (
            f"Invalid '{path}': array too long. Expected an array with maximum length {max_length}, "
            f"but got an array with length {len(value)} instead."
        )
        raise refusal(message, path, "array_above_max_length")
    return value


def an_object(value: object, path: str, max_length: int | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    if max_length is not None and len(value) > max_length:
        message = (
            f"Invalid '{path}': too many properties. Expected an object with at most {max_length} properties, "
            f"but got an object with {len(value)} properties instead."
        )
        raise refusal(message, path, "object_above_max_properties")
    return value
