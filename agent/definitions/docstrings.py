"""Reads docstrings in the styles of Google, NumPy, reST and Epydoc, through the library docstring_parser."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

import docstring_parser

MAX_TEXT = 20_000  # characters; the longest description that a schema may have (json_schema/check.py)

_NAME = re.compile(r"\*{0,2}(\w+)")
_PARAGRAPH = re.compile(r"\n\s*\n")
_OPENING = "\ue000"  # stands for "(" while the library reads, which takes cubic time for names with many of them


@dataclass(frozen=True)
class Docstring:
    """What a docstring says.

    summary: its first paragraph. text: the summary and all other text before the first section.
    parameters: the descriptions of the documented parameters and attributes by name.
    Each is one line, since prompts show it in a comment.
    """

    summary: str = ""
    text: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def read_docstring(text: str | None) -> Docstring:
    """Read a docstring. Never raises an error: in an unknown style, all is text and no parameter is described."""
    clean = inspect.cleandoc((text or "")[:MAX_TEXT])
    try:
        found = docstring_parser.parse(clean.replace("(", _OPENING))
    except Exception:  # besides its ParseError, the library raises an IndexError for some texts
        return _docstring(clean, {})
    parameters: dict[str, str] = {}
    for one in found.params:
        words = _line((one.description or "").replace(_OPENING, "("))
        for name in one.arg_name.partition(_OPENING)[0].split(","):
            if words and (legal := _NAME.match(name.strip())):
                parameters[legal[1]] = words
    return _docstring((found.description or "").replace(_OPENING, "("), parameters)


def _docstring(text: str, parameters: dict[str, str]) -> Docstring:
    return Docstring(_line(_PARAGRAPH.split(text.strip(), 1)[0]), _line(text), parameters)


def _line(text: str) -> str:
    return " ".join(text.split())
