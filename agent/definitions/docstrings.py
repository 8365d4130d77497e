"""Reads the first paragraph of a docstring, and the description of each parameter.

Three common styles are parsed: Google's ("Args:"), NumPy's ("Parameters" underlined) and Sphinx's (":param x:").
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_SPHINX = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_SPHINX_FIELD = re.compile(r":\w+[^:]*:")
_GOOGLE_HEAD = re.compile(r"(?:Args|Arguments|Parameters|Params)\s*:\s*$")
_GOOGLE_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*:\s*(.*)")
_NUMPY_ITEM = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_SECTION = re.compile(r"[A-Z][A-Za-z ]{2,30}:\s*$")


@dataclass(frozen=True)
class Docstring:
    """The first paragraph as one line, and the descriptions of the documented parameters by name."""

    summary: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def read_docstring(text: str | None) -> Docstring:
    """Parse a docstring. Never raises an error: a docstring in an unknown style gives no parameters."""
    lines = inspect.cleandoc(text or "").splitlines()
    sentences: dict[str, list[str]] = {}
    for name, words in (*_sphinx(lines), *_google(lines), *_numpy(lines)):
        sentences.setdefault(name, []).append(words)
    joined = {name: " ".join(" ".join(words).split()) for name, words in sentences.items()}
    return Docstring(_summary(lines), {name: words for name, words in joined.items() if words})


def _summary(lines: list[str]) -> str:
    first: list[str] = []
    for number, line in enumerate(lines):
        is_section = _SECTION.match(line) or _SPHINX_FIELD.match(line.strip()) or _is_underlined(lines, number)
        if not line.strip() or is_section:
            break
        first.append(line.strip())
    return " ".join(first)


def _sphinx(lines: list[str]) -> Iterator[tuple[str, str]]:
    name = ""
    for line in map(str.strip, lines):
        if found := _SPHINX.match(line):
            name = found[1]
            yield name, found[2]
        elif not line or _SPHINX_FIELD.match(line):
            name = ""
        elif name:
            yield name, line


def _google(lines: list[str]) -> Iterator[tuple[str, str]]:
    heads = [number for number, line in enumerate(lines) if _GOOGLE_HEAD.match(line.strip())]
    for head in heads:
        yield from _items(_deeper(lines[head + 1 :], _indent(lines[head])), _GOOGLE_ITEM)


def _numpy(lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        if line.strip() in ("Parameters", "Other Parameters") and _is_underlined(lines, number):
            for names, words in _items(_up_to_next_section(lines[number + 2 :]), _NUMPY_ITEM):
                yield from ((name.strip(), words) for name in names.split(","))


def _items(lines: list[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Yield a pair (name, text) for each line of each item.

    The first line of an item has the indent of the first of `lines`; its continuation lines have a larger indent.
    """
    level = _indent(lines[0]) if lines else 0
    name = ""
    for line in lines:
        if not line.strip():
            continue
        if _indent(line) > level:
            if name:
                yield name, line.strip()
            continue
        found = pattern.match(line.strip())
        name = found[1] if found else ""
        if found and pattern.groups > 1:
            yield name, found[2]


def _deeper(lines: list[str], level: int) -> list[str]:
    """Return the leading lines with an indent larger than `level`, without blank lines."""
    kept: list[str] = []
    for line in lines:
        if line.strip() and _indent(line) <= level:
            break
        kept += [line] if line.strip() else []
    return kept


def _up_to_next_section(lines: list[str]) -> list[str]:
    ends = [number for number in range(len(lines)) if _is_underlined(lines, number)]
    return [line for line in lines[: ends[0] if ends else len(lines)] if line.strip()]


def _is_underlined(lines: list[str], number: int) -> bool:
    below = lines[number + 1].strip() if number + 1 < len(lines) else ""
    return bool(lines[number].strip()) and len(below) >= 3 and set(below) == {"-"}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
