"""Schemas with their places in the original, and what is said about a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from json_schema.walk import Context


class Source(NamedTuple):
    """A schema and the place where it was written."""

    schema: Any
    context: Context

    def child(self, *keys: str) -> Source:
        value = self.schema
        for key in keys:
            value = value[int(key)] if isinstance(value, list) else value[key]
        return Source(value, (*self.context, *keys))


class Unbound(NamedTuple):
    """A keyword that the grammar does not enforce."""

    keyword: str
    context: Context
    why: str = ""


@dataclass(frozen=True)
class Never:
    """A place where no value is valid, and why."""

    context: Context
    why: str
