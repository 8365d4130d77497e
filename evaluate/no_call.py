"""Restraint: questions whose function was taken away, so that the right answer calls nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evaluate.call_set import CallSet
from evaluate.rows import Row


class NoCallSet(CallSet):
    """The rows of other sets that expect one call, without the function it calls; at least one other is left.

    Read its figure beside `call_rate` of the untouched sets: each can be bought with the other.
    """

    def __init__(self, *paths: Path, name: str = "no_call") -> None:
        super().__init__(*paths, name=name)

    def chosen(self, rows: list[Row]) -> list[Row]:
        return [without for row in rows if len(row.expected) == 1 and (without := _without_expected(row)).functions]


def _without_expected(row: Row) -> Row:
    name = row.expected[0].name
    return replace(row, functions=[item for item in row.functions if item["name"] != name], expected=())
