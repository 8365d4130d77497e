"""Find values for the arguments of a call in the user's message: most values are words or numbers from it."""

from __future__ import annotations

import re

_MAX_CHARACTERS = 20_000  # of the message, only the last 20,000 characters are searched
_MAX_VALUE_CHARACTERS = 200  # a longer beginning of a value is not searched for
_WORD_REST = r"[\w@'+-]*(?:[.:/][\w@'+-]+)*"  # the rest of a word, a date or an address
_CAPITALIZED = re.compile(rf"(?<![\w.])[A-Z]{_WORD_REST}(?: [A-Z]{_WORD_REST})*")
_QUOTED = re.compile(r'["\u201c]([^"\u201c\u201d\\\n]+)["\u201d]')
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_SENTENCE_ENDS = ".?!:\n"


class UserMessage:
    """The last message of the user."""

    def __init__(self, text: str) -> None:
        self._text = text[-_MAX_CHARACTERS:]
        self._folded = self._text.casefold()

    def mentions(self, value: str) -> bool:
        """Return whether the message contains `value`, in upper or lower case."""
        return value.casefold() in self._folded

    def continuation(self, beginning: str) -> str | None:
        """Return the rest of the value that begins with `beginning`, from its last occurrence; None if there is none.

        If `beginning` starts a quotation, the value ends with the quotation. If it has several words, the value ends
        before the next punctuation mark. Otherwise the value ends with the word or the name.
        """
        if not beginning or len(beginning) > _MAX_VALUE_CHARACTERS:
            return None
        words = beginning.split(" ")
        if all(word[:1].isupper() for word in words):
            rest = rf"{_WORD_REST}(?: [A-Z]{_WORD_REST})*"
        else:
            rest = _WORD_REST if len(words) == 1 else r"[^.,;:?!\n\"]*"
        matches = list(re.finditer(rf"(?<!\w)(?i:{re.escape(beginning)})({rest})", self._text))
        if not matches:
            return None
        quotation = _QUOTED.match(self._text, max(0, matches[-1].start() - 1))
        return quotation[1][len(beginning) :] if quotation else matches[-1][1]

    def next_number(self, written: str) -> str | None:
        """Return the first number of the message that `written`, the arguments so far, does not contain."""
        return next((found[0] for found in _NUMBER.finditer(self._text) if found[0] not in written), None)

    def next_name(self, written: str) -> str | None:
        """Return the message's first quotation, else its first name, that is not in `written`, the arguments so far.

        A name is capitalized words that do not begin a sentence.
        """
        quoted = [found[1] for found in _QUOTED.finditer(self._text)]
        named = [found[0] for found in _CAPITALIZED.finditer(self._text) if not self._begins_sentence(found.start())]
        return next((value for value in (*quoted, *named) if value not in (*written.split('"'), "I")), None)

    def _begins_sentence(self, index: int) -> bool:
        before = self._text[:index].rstrip(" ")
        return not before or before[-1] in _SENTENCE_ENDS
