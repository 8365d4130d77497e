"""Tells what a chat template writes from what it copies out of a request, so that no request forges a control token.

The strings of a request are wrapped in marks before the rendering: Unicode's noncharacters, which no text contains.
The marks stand inside the whitespace around a string, because templates strip it. One more mark stands before each
spelling of a control token in a string. So each part of a string that the template cuts is still marked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from chat_templates.variables import map_strings
from prompt_template import Piece

_OPEN, _CLOSE, _SPELLED = "\ufdd0", "\ufdd1", "\ufdd2"
MARKS = re.compile(f"[{_OPEN}{_CLOSE}{_SPELLED}]")
_MARKS_AND_TEXTS = re.compile(f"([{_OPEN}{_CLOSE}{_SPELLED}])")
_WORD = re.compile(r"[\w.-]*")

# The keys of strings that templates copy. They may compare the others, so these stay unmarked if they are one word.
_COPIED = frozenset(("content", "reasoning_content", "description", "title"))


class Indistinct(Exception):
    """The template changes strings such that a control token in a request cannot be told from the template's own."""

    def __init__(self, spelling: str) -> None:
        super().__init__(spelling)
        self.spelling = spelling


class Marking:
    """Marks the strings of requests for a tokenizer with the given control tokens."""

    def __init__(self, control_tokens: Collection[str]) -> None:
        # Some tokenizers have runs of line breaks or spaces as control tokens. They forge nothing, and whitespace at
        # the ends of a string cannot be marked.
        spelled = sorted((text for text in control_tokens if text.strip()), key=len, reverse=True)
        self._has_space_tokens = len(spelled) < len(control_tokens)
        spellings = "|".join(map(re.escape, spelled)) or "(?!)"
        self._spelling = re.compile(f"({spellings})")
        self._before_spelling = re.compile(f"(?={spellings})")

    def cleaned(self, value: Any) -> Any:
        """Return a JSON value without the marks that its strings may contain."""
        return map_strings(value, lambda text, key: MARKS.sub("", text))

    def marked(self, value: Any) -> Any:
        """Return a cleaned JSON value with its strings marked."""
        return map_strings(value, self._marked_string)

    def pieces(self, marked: str, plain: str, value: Any) -> list[Piece]:
        """Return the pieces of the rendering of `value`, given the renderings with and without marks.

        Raises Indistinct if the template changes the strings of `value` and one of them spells a control token.
        """
        if MARKS.sub("", marked) == plain:
            return [Piece(text, markup=is_markup) for text, is_markup in self._parts(marked, value) if text]
        for text in _strings(value):
            if found := self._spelling.search(text):
                raise Indistinct(found[1])
        return [Piece(plain, markup=True)]

    def _marked_string(self, text: str, key: str) -> str:
        body = text.strip()
        is_spelled = self._spelling.search(body) is not None
        if not body or not (is_spelled or key in _COPIED or not _WORD.fullmatch(text)):
            return text
        start = text.index(body)
        marked = self._before_spelling.sub(_SPELLED, body) if is_spelled else body
        return f"{text[:start]}{_OPEN}{marked}{_CLOSE}{text[start + len(body) :]}"

    def _parts(self, marked: str, value: Any) -> Iterator[tuple[str, bool]]:
        """Yield the parts of a marked rendering, and whether the template wrote them.

        Marks separate parts, so that no control token is joined out of two. A string that the template has cut may lack
        the mark at one of its ends.
        """
        before, is_inside = _CLOSE, False
        parts = [*_MARKS_AND_TEXTS.split(marked), _OPEN]
        for text, after in zip(parts[::2], parts[1::2], strict=True):
            found = self._spelling.match(text) if before == _SPELLED else None
            if found:
                yield found[1], False
                text = text[found.end() :]
            else:  # without a spelling after its mark, the template has cut the string there
                is_inside = before == _OPEN
            if not is_inside:
                yield from self._markup(text, is_after=before == _CLOSE, is_before=after == _OPEN)
            elif written := self._spelling.search(text):
                self._check_is_no_forgery(written[1], value)
                yield text[: written.start()], False
                yield text[written.start() :], True
                is_inside = False
            else:
                yield text, False
            before = after

    def _markup(self, text: str, *, is_after: bool, is_before: bool) -> Iterator[tuple[str, bool]]:
        """Yield what the template wrote after or before a string of the request.

        If whitespace may be a control token, the whitespace next to the string counts as a part of the string.
        """
        start = len(text) - len(text.lstrip()) if is_after and self._has_space_tokens else 0
        end = len(text.rstrip()) if is_before and self._has_space_tokens else len(text)
        end = max(start, end)
        yield from ((text[:start], False), (text[start:end], True), (text[end:], False))

    def _check_is_no_forgery(self, spelling: str, value: Any) -> None:
        """Raise Indistinct if the template could make `spelling` from a string of `value` by deleting characters."""
        for text in _strings(value):
            characters = iter(text)
            if all(character in characters for character in spelling):
                raise Indistinct(spelling)


def _strings(value: Any) -> list[str]:
    """Return all strings and keys of a JSON value."""
    found: list[str] = []

    def collect(text: str, key: str) -> str:
        found.append(text)
        return text

    map_strings(value, collect)
    return found
