"""Convert arguments that are written as tagged parameters to JSON while they arrive in pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, NoReturn

from core.turn_format import StringKind

PARAMETER = "<parameter="
_END = "</parameter>"
_PYTHON = {"True": "true", "False": "false", "None": "null"}  # how the prompt shows these values


class TaggedArguments:
    """Reads the parameters of one call, each written as `<parameter=KEY>`, a value and `</parameter>`.

    A value that begins on the line after its tag ends at the next line that begins with `</parameter>`; any other value
    ends at the next `</parameter>`. The line breaks next to the two tags are not part of the value.

    The value of a parameter in `kinds` is text. The text of a "string" is emitted as it arrives. Any other value is
    emitted when it is complete: as it is if it is JSON, else as a JSON string. JSON has no use for two members with the
    same name, so of two parameters with the same name the first one counts.
    """

    def __init__(self, kinds: Mapping[str, StringKind]) -> None:
        self._kinds = kinds
        self._state: Literal["outside", "name", "start", "value"] = "outside"
        self._parts: list[str] = []  # of the name, or of a value that is not emitted yet
        self._names: set[str] = set()
        self._name = ""
        self._is_repeated = False
        self._is_on_lines = False  # the value begins on the line after its tag

    @property
    def is_in_parameter(self) -> bool:
        """Whether the next character belongs to a parameter, so that only control tokens are marks."""
        return self._state != "outside"

    def open(self) -> None:
        """Begin a parameter, after PARAMETER."""
        self._state, self._parts = "name", []

    def read(self, text: str, at: int, *, is_final: bool) -> tuple[str, int]:
        """Read the parameter up to its end, or up to what may be the beginning of its end tag.

        Returns the JSON that is complete, and the index to continue at. With `is_final`, no ordinary text follows.
        """
        if self._state == "name":
            end = text.find(">", at)
            self._parts.append(text[at : end if end >= 0 else len(text)])
            if end < 0:
                return "", len(text)
            at, self._state = end + 1, "start"
        if self._state == "start":
            if at == len(text) or (
                ("\n" + _END).startswith(text[at:]) and len(text) - at <= len(_END) and not is_final
            ):
                return "", at
            begun = self._begin_value(is_on_lines=text[at] == "\n")
            at += self._is_on_lines and not text.startswith("\n" + _END, at)
            shown, at = self._read_value(text, at, is_final=is_final)
            return begun + shown, at
        return self._read_value(text, at, is_final=is_final)

    def close(self) -> str:
        """Return the rest of the JSON at the end of the call, which may be within a parameter; "" without any."""
        rest = ""
        if self._state == "start":
            rest = self._begin_value(is_on_lines=False)
        if self._state == "value":
            rest += self._end_value()
        self._state = "outside"
        return rest + "}" if self._names else ""

    def _begin_value(self, *, is_on_lines: bool) -> str:
        """Return the JSON before the value of a string; the value of any other type is emitted with its key."""
        self._name = "".join(self._parts)
        self._is_repeated = self._name in self._names
        self._state, self._parts, self._is_on_lines = "value", [], is_on_lines
        return self._key() + '"' if self._is_streamed() else ""

    def _read_value(self, text: str, at: int, *, is_final: bool) -> tuple[str, int]:
        mark = "\n" + _END if self._is_on_lines else _END
        found = text.find(mark, at)
        if found < 0:
            end = len(text) if is_final else _held_back(text, at)
            return self._add(text[at:end]), end
        value = text[at:found]
        if not self._is_on_lines:
            value = value.removesuffix("\n")
        return self._add(value) + self._end_value(), found + len(mark)

    def _add(self, text: str) -> str:
        if self._is_streamed():
            return json.dumps(text, ensure_ascii=False)[1:-1]
        self._parts.append(text)
        return ""

    def _end_value(self) -> str:
        self._state = "outside"
        if self._is_repeated:
            return ""
        if self._is_streamed():
            self._names.add(self._name)
            return '"'
        value = "".join(self._parts)
        shown = self._key() + _json_value(value, is_text=self._name in self._kinds)
        self._names.add(self._name)
        return shown

    def _key(self) -> str:
        return f"{', ' if self._names else '{'}{json.dumps(self._name, ensure_ascii=False)}: "

    def _is_streamed(self) -> bool:
        return not self._is_repeated and self._kinds.get(self._name) == "string"


def _held_back(text: str, at: int) -> int:
    """Return the index of the beginning of an end tag at the end of `text`, or its length."""
    start = max(at, len(text) - len(_END))
    return next(
        (
            index
            for index in range(start, len(text))
            if _END.startswith(text[index:]) or ("\n" + _END).startswith(text[index:])
        ),
        len(text),
    )


def _json_value(value: str, *, is_text: bool) -> str:
    """Return the JSON of a complete value. With `is_text`, it is a string or null."""
    word = _PYTHON.get(value.strip(), value.strip())
    if is_text:
        return word if word == "null" else json.dumps(value, ensure_ascii=False)
    try:
        json.loads(word, parse_constant=_reject)
    except (ValueError, RecursionError):
        return json.dumps(value, ensure_ascii=False)
    return word


def _reject(constant: str) -> NoReturn:
    """Reject NaN and Infinity, which Python reads but JSON does not have."""
    raise ValueError(constant)
