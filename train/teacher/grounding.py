"""Which values of a call nobody has said: noted beside a row, so that a mixture can leave such rows out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from core.conversation import JsonSchema

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TO_TWELVE = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SPELLED = {word: value for value, word in enumerate(_TO_TWELVE)} | {"a": 1, "an": 1, "dozen": 12, "half": 0.5}


def ungrounded(arguments: dict[str, Any], schema: JsonSchema, text: str) -> list[str]:
    """The paths of texts and numbers that do not stand in `text`, word for word up to case and punctuation.

    Enum values and booleans are a class of what was said, and are not looked for.
    """
    words, numbers = f" {_plain(text)} ", _numbers(text)
    leaves = _leaves(arguments, schema, "")
    return [path for path, value in leaves if not _is_said(value, words, numbers)]


def ungrounded_numbers(answer: str, text: str) -> list[str]:
    """The numbers of a sentence that do not stand in `text`; one that was rounded is among them."""
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


def _is_said(value: str | float, words: str, numbers: set[float]) -> bool:
    if isinstance(value, str):
        return f" {_plain(value)} " in words
    return abs(value) in numbers


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _numbers(text: str) -> set[float]:
    """As digits, with or without a comma in the thousands, and the short ones in words."""
    spelled = {float(_SPELLED[word]) for word in _WORD.findall(text.casefold()) if word in _SPELLED}
    return spelled | {value for found in _NUMBER.findall(text) if (value := _value(found)) is not None}


def _value(digits: str) -> float | None:
    try:
        return float(digits.replace(",", ""))
    except ValueError:  # 1.2.3 is a version or a date
        return None
