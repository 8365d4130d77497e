"""What the readers of definitions give: a function as it was found, or the sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from client.json_lines import Json
from core.conversation import JsonSchema


@dataclass(frozen=True)
class Candidate:
    """A definition, or None and the `fault`. `where` names it within its file; `line` is given where it is known."""

    where: str
    function: Json | None = None
    fault: str = ""
    line: int | None = None


class Unfit(Exception):
    """A definition cannot be made of this: one sentence without the place."""


def object_schema(properties: Mapping[str, object], required: Iterable[str]) -> JsonSchema:
    """An object with these properties; `required` in their order."""
    names = set(required)
    return {"type": "object", "properties": properties, "required": [name for name in properties if name in names]}
