"""Defines candidates, which the readers of sources return: an unchecked function, or the reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apis.rules.json_text import JsonError, read_json
from client.json_lines import Json
from client.rows import parse_function
from core.conversation import Function, JsonSchema
from core.errors import RequestError


@dataclass(frozen=True)
class Candidate:
    """A function, or None with the reason in `fault`.

    `where` names the function within its file. `line` is its line number, or None if unknown.
    """

    where: str
    function: Json | None = None
    fault: str = ""
    line: int | None = None


class Unfit(Exception):
    """A definition, or a whole source, cannot be used.

    The message is the reason in one sentence, without the position. line: the line of the fault, if it is known.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def object_schema(properties: Mapping[str, object], required: Iterable[str]) -> JsonSchema:
    """Return the schema of an object. The names in its `required` list are in the order of the properties."""
    names = set(required)
    return {"type": "object", "properties": properties, "required": [name for name in properties if name in names]}


def declared(function: Json) -> Function:
    """Check a function. Raises Unfit for a name, a schema or a value that a request could not have."""
    try:
        return parse_function(read_json(json.dumps(function).encode()), "")
    except RequestError as error:
        raise Unfit(error.message) from None
    except (JsonError, TypeError, ValueError, RecursionError) as error:
        raise Unfit(f"it holds a value that is no JSON: {error}") from None
