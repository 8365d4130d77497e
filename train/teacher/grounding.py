"""Finds values of calls and answers that the conversation does not contain, which the teacher may have invented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from core.conversation import JsonSchema

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_SPELLED = {word: value for value, word in enumerate(_NUMBER_WORDS)} | {"a": 1, "an": 1, "dozen": 12, "half": 0.5}


def ungrounded(arguments: dict[str, Any], schema: JsonSchema, text: str) -> list[str]:
    """Return the paths of strings and numbers that are not in `text`. Case and punctuation are ignored.

    Enum values and booleans are not checked: they classify what the user said and need not be in the text.
    """
    words, numbers = f" {_plain(text)} ", _numbers(text)
    leaves = _leaves(arguments, schema, "")
    return [path for path, value in leaves if not _is_in_text(value, words, numbers)]


def ungrounded_numbers(answer: str, text: str) -> list[str]:
    """Return the numbers of `answer` that are not in `text`. A rounded number counts as not in the text."""
    known = {None, *_numbers(text)}
    return [found for found in _NUMBER.findall(answer) if _value(found) not in known]


def _leaves(value: object, schema: object, path: str) -> Iterator[tuple[str, str | float]]:
    known = schema if isinstance(schema, dict) else {}
    if "enum" in known or "const" in known:
        return
    match value:
        case bool():
            return
        case str() | int() | float():
            yield path, value
        case list():
            for index, item in enumerate(value):
                yield from _leaves(item, known.get("items"), f"{path}[{index}]")
        case dict():
            properties = known.get("properties") or {}
            for key, item in value.items():
                yield from _leaves(item, properties.get(key), f"{path}.{key}".removeprefix("."))


def _is_in_text(value: str | float, words: str, numbers: set[float]) -> bool:
    if isinstance(value, str):
        return f" {_plain(value)} " in words
    return abs(value) in numbers


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _numbers(text: str) -> set[float]:
    """Find the numbers in digits, with or without a thousands comma, and the small numbers in words."""
    spelled = {float(_SPELLED[word]) for word in _WORD.findall(text.casefold()) if word in _SPELLED}
    return spelled | {value for found in _NUMBER.findall(text) if (value := _value(found)) is not None}


def _value(digits: str) -> float | None:
    try:
        return float(digits.replace(",", ""))
    except ValueError:  # a text such as 1.2.3 is a version or a date
        return None
