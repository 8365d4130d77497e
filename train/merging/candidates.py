"""Collects candidates: rows that may go into a training set, by part, without duplicates and held-out functions."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from client.json_lines import LineError
from client.rows import Row, row_text
from core.errors import RequestError
from schema import typescript
from train.merging.mixture import Mixture
from train.merging.overlap import Overlap
from train.rows import parse_whole_row

# Measured on six sources with the embedded model's template and tokenizer. For each source the estimate is within 10
# %.
_CHARACTERS_PER_TOKEN = 3.5
_TOKENS_PER_TURN = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row as the bytes of its line, with its values for the report. A parsed row would take five times the memory."""

    line: bytes
    where: str
    source: str
    kind: str
    num_calls: int
    num_tokens: int


@dataclass
class Candidates:
    """The candidates by part, the held-out rows, and the numbers of rows left out by file and reason."""

    mixture: Mixture
    overlap: Overlap
    excluded: Collection[str] = ()
    by_part: dict[str, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    held_out: list[Candidate] = field(default_factory=list)
    held_out_names: set[str] = field(default_factory=set)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    _seen: set[bytes] = field(default_factory=set)

    def add(self, file: str, lines: Iterable[tuple[bytes, str]], on_bad: Callable[[LineError], None]) -> None:
        """Add the rows of a file, given as pairs of a line and its position. Bad lines are reported to `on_bad`.

        Files with held-out functions must be added first.
        """
        for line, where in lines:
            try:
                row = parse_whole_row(line, where)
            except LineError as error:
                on_bad(error)
                continue
            if reason := self._reason_to_leave_out(row) or self._assign(file, row, line):
                self.left_out[file, reason] += 1

    def _reason_to_leave_out(self, row: Row) -> str:
        """Return a reason to leave the row out that applies to every part, or "" if there is none."""
        if set(row.source.split("+")) & set(self.excluded):
            return "source excluded"
        key = _key(row)
        if key in self._seen:
            return "duplicate"
        self._seen.add(key)
        return "stands in another set (--not-in)" if self.overlap.holds(row) else ""

    def _assign(self, file: str, row: Row, line: bytes) -> str:
        """Add the row to its part or to the held-out rows. Returns why it is left out, or "" if it is added."""
        owns = file in self.mixture.held_out.files
        held = {normal_name(call.name) for call in row.calls if self._is_held_out(call.name, owns)}
        if held and not owns:
            return "calls a held-out function"
        if not held:
            kept = tuple(function for function in row.functions if not self._is_held_out(function.name, owns))
            if len(kept) < len(row.functions) and not row.calls:
                return "lists a held-out function"  # the answer may mention the function
            if len(kept) < len(row.functions):
                row = replace(row, functions=kept)
                line = row_text(row).encode()
        try:
            candidate = _candidate(row, line)
        except RequestError as error:
            return f"cannot be printed: {error.message}"
        for part in self.mixture.parts:
            if part.file == file and part.fits(row.kind, row.source, candidate.num_tokens):
                (self.held_out if held else self.by_part[part.name]).append(candidate)
                self.held_out_names |= held
                return ""
        return f"no part takes it: {row.kind or 'no kind'}"

    def _is_held_out(self, name: str, owns: bool) -> bool:
        """Return whether a function is held out. `owns`: the row's file is one of which functions are held out.

        In such a file the hash of the function's name decides. In other files a function is held out if a held-out row
        calls it.
        """
        normal = normal_name(name)
        return is_held_out_name(normal, self.mixture.held_out.share) if owns else normal in self.held_out_names


def normal_name(name: str) -> str:
    """Normalize a function's name: remove prefix, case and separators. All spellings of a name become equal."""
    return re.sub(r"[\W_]", "", name.rsplit(".", 1)[-1]).casefold() or name


def is_held_out_name(name: str, share: float) -> bool:
    """Return whether a name is in the held-out `share` of all names. Its hash decides, so every process agrees."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < share * 2**64


def _key(row: Row) -> bytes:
    """Return a hash that is equal for rows with the same messages. Call ids are ignored."""
    said = [
        [message.role, message.content, [[call.name, call.arguments] for call in message.calls]]
        for message in row.messages
    ]
    return hashlib.sha256(json.dumps(said).encode()).digest()[:16]


def _candidate(row: Row, line: bytes) -> Candidate:
    num_characters = len(typescript(row.functions)) if row.functions else 0
    num_turns = 2  # the definitions and the fixed text count as turns too
    for message in row.messages:
        num_characters += len(message.content or "") + sum(len(c.name) + len(c.arguments) for c in message.calls)
        num_turns += max(1, len(message.calls))
    num_tokens = round(num_characters / _CHARACTERS_PER_TOKEN) + _TOKENS_PER_TURN * num_turns
    return Candidate(line, row.where, row.source, row.kind, len(row.calls), num_tokens)
