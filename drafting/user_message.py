"""What was said last, as a source of values: most of a call's are words or numbers of the question."""

from __future__ import annotations

import re

_NEAR = 20_000  # characters, of the end
_LONGEST = 200  # characters of a value that is looked for
_REST = r"[\w@'+-]*(?:[.:/][\w@'+-]+)*"  # of a word, a date, an address
_NAME = re.compile(rf"(?<![\w.])[A-Z]{_REST}(?: [A-Z]{_REST})*")
_QUOTED = re.compile(r'["\u201c]([^"\u201c\u201d\\\n]+)["\u201d]')
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_ENDS = ".?!:\n"


class UserMessage:
    """`text` as it was written."""

    def __init__(self, text: str) -> None:
        self._text = text[-_NEAR:]
        self._folded = self._text.casefold()

    def mentions(self, value: str) -> bool:
        return value.casefold() in self._folded

    def rest(self, begun: str) -> str | None:
        """How a value goes on that begins so, from where it was said last; None if it was not.

        To the end of the quotation, if it is the beginning of one; of several words to the next sign; else of the word
        or name.
        """
        if not begun or len(begun) > _LONGEST:
            return None
        words = begun.split(" ")
        if all(word[:1].isupper() for word in words):
            many = rf"{_REST}(?: [A-Z]{_REST})*"
        else:
            many = _REST if len(words) == 1 else r"[^.,;:?!\n\"]*"
        places = list(re.finditer(rf"(?<!\w)(?i:{re.escape(begun)})({many})", self._text))
        if not places:
            return None
        quotation = _QUOTED.match(self._text, max(0, places[-1].start() - 1))
        return quotation[1][len(begun) :] if quotation else places[-1][1]

    def number(self, written: str) -> str | None:
        """The first one that is not in `written` yet."""
        return next((found[0] for found in _NUMBER.finditer(self._text) if found[0] not in written), None)

    def name(self, written: str) -> str | None:
        """The same of what was quoted, else of words with capitals that do not begin a sentence."""
        quoted = [found[1] for found in _QUOTED.finditer(self._text)]
        named = [found[0] for found in _NAME.finditer(self._text) if not self._begins_sentence(found.start())]
        return next((one for one in (*quoted, *named) if one not in (*written.split('"'), "I")), None)

    def _begins_sentence(self, place: int) -> bool:
        before = self._text[:place].rstrip(" ")
        return not before or before[-1] in _ENDS
