"""Ends numbers in JSON that would go on without end: a small model may repeat a digit until the token limit."""

from __future__ import annotations

import re

MAX_DIGITS = 24
_MAX_DIGITS_OF_TOKEN = 3
_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS - _MAX_DIGITS_OF_TOKEN}}}|\d[eE]\+?\d\d")
_QUOTE, _BACKSLASH, _ZERO, _NINE = b'"\\09'


def has_long_number(grammar: str) -> bool:
    """Whether a grammar names a number that is about as long as the limit, so that the limit would be wrong."""
    return _LONG_NUMBER.search(grammar) is not None


class Digits:
    """Counts the digits of the number that a JSON text ends with. Digits inside strings do not count."""

    def __init__(self) -> None:
        self._num_digits = 0
        self._is_in_string = False
        self._is_escaped = False

    @property
    def are_enough(self) -> bool:
        """Whether no further digit should follow. A token may add several digits."""
        return self._num_digits > MAX_DIGITS - _MAX_DIGITS_OF_TOKEN

    def read(self, text: bytes) -> None:
        """Follow the next bytes of the text."""
        for byte in text:
            if self._is_in_string:
                is_end = byte == _QUOTE and not self._is_escaped
                self._is_escaped = byte == _BACKSLASH and not self._is_escaped
                self._is_in_string = not is_end
            elif byte == _QUOTE:
                self._is_in_string = True
            self._num_digits = self._num_digits + 1 if self._is_digit(byte) else 0

    def _is_digit(self, byte: int) -> bool:
        return not self._is_in_string and _ZERO <= byte <= _NINE
