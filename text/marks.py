"""Find marks in streamed text. The time is linear in the length of the text, no matter how many marks there are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# A JSON string between its quotes. The quantifiers are possessive, so that matching never backtracks.
STRING_REST = r'(?:[^"\\]++|\\.)*+'
# Characters of each mark in the regular expression. With more, it takes longer to compile than the search gains.
_MAX_PATTERN_DEPTH = 4


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    is_mark: bool = False


class MarkFinder:
    """A prefix tree of the marks. A regular expression skips the text that cannot begin a mark."""

    def __init__(self, marks: Iterable[str], *, skips_strings: bool = False) -> None:
        """With `skips_strings`, marks inside JSON strings do not count.

        `next_candidate` then also stops at the opening quote of a string that is not closed yet.
        """
        self._root = _Node()
        for mark in marks:
            node = self._root
            for char in mark:
                node = node.children.setdefault(char, _Node())
            node.is_mark = True
        beginning = _beginning_pattern(self._root, _MAX_PATTERN_DEPTH)
        outside = rf'(?:"{STRING_REST}"|(?!{beginning})[^"])*+' if skips_strings else rf"(?:(?!{beginning}).)*+"
        self._text_before_mark = re.compile(outside, re.DOTALL)

    def next_candidate(self, text: str, at: int) -> int:
        """Return the first index from `at` on where a mark may begin, or len(text).

        The mark may be incomplete, because the text ends within it.
        """
        found = self._text_before_mark.match(text, at)
        return found.end() if found else at

    def longest_mark(self, text: str, at: int) -> tuple[int, bool]:
        """Return the end index of the longest mark that begins at `at`, and whether more text could make it longer.

        The end index is `at` if no mark begins there.
        """
        node, end = self._root, at
        for index in range(at, len(text)):
            child = node.children.get(text[index])
            if child is None:
                return end, False
            node = child
            if node.is_mark:
                end = index + 1
        return end, bool(node.children)


def _beginning_pattern(node: _Node, depth: int) -> str:
    """Return a regular expression for the beginning, up to `depth` characters, of every mark below `node`.

    It also matches a mark that is cut off by the end of the text.
    """
    if node.is_mark or depth == 0:
        return ""
    alternatives = [
        re.escape(char) + _beginning_pattern(child, depth - 1) for char, child in sorted(node.children.items())
    ]
    return "(?:" + "|".join([*alternatives, r"\Z"]) + ")"
