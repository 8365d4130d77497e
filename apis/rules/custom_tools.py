"""Custom tools: the model calls them with a text instead of JSON arguments.

To the model, a custom tool is a function with one string parameter, so that every prompt format can show it. Its answer
is read back as text: the API has no JSON around it.
"""

from __future__ import annotations

import json
import re

from core.conversation import Function, JsonSchema, ResponseFormat
from text.json_string import JsonStringDecoder

INPUT = "input"  # the parameter of the function that stands for a custom tool
_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')


def custom_function(name: str, description: str, input_format: ResponseFormat) -> Function:
    """Return the function that stands for a custom tool. Its arguments are always bound, so that they can be read."""
    text: JsonSchema = {"type": "string", "description": _described(input_format)}
    parameters = {"type": "object", "properties": {INPUT: text}, "required": [INPUT], "additionalProperties": False}
    return Function(name, description, parameters, strict=True, input_format=input_format)


def _described(input_format: ResponseFormat) -> str:
    """Return what the model is told about the format of the text."""
    match input_format.kind:
        case "grammar":
            return f"Follows this grammar: {input_format.grammar}"
        case "regex":
            return f"Matches this regular expression: {input_format.pattern}"
    return ""


def input_arguments(text: str) -> str:
    """Return the arguments of an earlier call of a custom tool with `text`."""
    return json.dumps({INPUT: text}, ensure_ascii=False)


class InputReader:
    """Reads the text out of the arguments of one call of a custom tool, which arrive in pieces."""

    def __init__(self) -> None:
        self._head: str | None = ""  # what came before the text; None once the text has begun
        self._tail = ""  # backslashes at the end of the text so far, which may escape a quote
        self._decoder = JsonStringDecoder()
        self._is_over = False

    def feed(self, arguments: str) -> str:
        """Add a piece of the arguments; return the text that it completes."""
        if self._head is not None:
            head = self._head + arguments
            opening = _OPENING.match(head)
            self._head = None if opening else head
            if not opening:
                return ""
            arguments = head[opening.end() :]
        return "" if self._is_over else self._decoder.push(self._before_quote(arguments))

    def _before_quote(self, piece: str) -> str:
        """Return the part of `piece` before the quote that ends the text."""
        text = self._tail + piece
        for quote in re.finditer('"', text):
            before = text[: quote.start()]
            if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
                self._is_over = True
                return before[len(self._tail) :]
        self._tail = text[len(text.rstrip("\\")) :]
        return piece
