"""Candidates: what the source readers return, a function that is not checked yet or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from client.json_lines import Json
from core.conversation import JsonSchema


@dataclass(frozen=True)
class Candidate:
    """A function, or None and the reason in `fault`. `where` names it within its file; `line` is None if unknown."""

    where: str
    function: Json | None = None
    fault: str = ""
    line: int | None = None


class Unfit(Exception):
    """A definition cannot be used. The message is the reason in one sentence, without the position."""


def object_schema(properties: Mapping[str, object], required: Iterable[str]) -> JsonSchema:
    """Return the schema of an object. Its `required` list is in the order of the properties."""
    names = set(required)
    return {"type": "object", "properties": properties, "required": [name for name in properties if name in names]}
