"""Everyday requests, written by hand for this project: 50 for 25 functions, none of them in any training data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluate.call_set import CallSet
from evaluate.rows import Row

PATH = Path(__file__).parent.parent / "examples" / "everyday.jsonl"


class Everyday(CallSet):
    """`examples/everyday.jsonl`. What the embedded model must do well: few functions, plain words, one or two calls."""

    def __init__(self, *paths: Path, name: str = "everyday") -> None:
        super().__init__(*(paths or (PATH,)), name=name)

    def parts(self, row: Row) -> Sequence[str]:
        return ({0: "no call", 1: "one call"}.get(len(row.expected), "several calls"),)
