"""Rows whose functions say the same in other spellings, brought to one spelling, some at a time.

Converted sources write one function in many ways (`play_tune`, `StreamMusic`) and list a few of its parameters in each
row. Rows that share a spelling can share a bundle (bundles.py), and a declaration with all parameters teaches
which of them a question does not speak of.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from client.rows import Row, parse_arguments
from core.conversation import Call, Function, JsonSchema

_UPPER = string.ascii_uppercase
_AT_A_TIME = 6
_WHOLE = 0.75  # how often all known parameters are declared; else those that are used, and some others


class _Said:
    """All that a source says of one function: its parameters by what they mean, in their common order."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        places: dict[str, list[int]] = {}
        self.spellings: dict[str, dict[str, JsonSchema]] = {}
        for row in rows:
            for place, (name, schema) in enumerate(_properties(_called(row)).items()):
                places.setdefault(schema["description"], []).append(place)
                self.spellings.setdefault(schema["description"], {})[name] = schema
        self.meanings = sorted(places, key=lambda meaning: (sum(places[meaning]) / len(places[meaning]), meaning))

    @property
    def names(self) -> set[str]:
        return {_called(row).name for row in self.rows}

    def spelled(self, rows: Sequence[Row], random: Random) -> Iterator[Row]:
        """The rows with one declaration, in the style of the first."""
        own = [{schema["description"]: name for name, schema in _properties(_called(row)).items()} for row in rows]
        given = [parse_arguments(row.calls[0]) for row in rows]
        pairs = list(zip(own, given, strict=True))
        used = {meaning for names, values in pairs for meaning in names if names[meaning] in values}
        others = [meaning for meaning in self.meanings if meaning not in used]
        if random.random() >= _WHOLE:
            others = random.sample(others, random.randint(0, len(others)))
        names = self._names([m for m in self.meanings if m in used or m in others], own[0], random)
        first = _called(rows[0])
        required = [
            names[meaning]
            for meaning, name in own[0].items()
            if name in (first.parameters or {}).get("required", ())
            and all(now.get(meaning) in values for now, values in pairs)
        ]
        properties = {name: self.spellings[meaning][name] for meaning, name in names.items()}
        parameters = {"type": "object", "properties": properties, "required": required}
        function = Function(first.name, first.description, parameters)
        for row, now, values in zip(rows, own, given, strict=True):
            arguments = {name: values[now[m]] for m, name in names.items() if now.get(m) in values}
            yield _with(row, function, json.dumps(arguments, ensure_ascii=False))

    def _names(self, meanings: Sequence[str], own: dict[str, str], random: Random) -> dict[str, str]:
        """A name for each meaning: the row's own, else one in its style, no two alike."""
        names = {meaning: own[meaning] for meaning in meanings if meaning in own}
        other_style = "_" if any(name != name.lower() for name in own.values()) else _UPPER
        for meaning in meanings:
            free = [name for name in self.spellings[meaning] if name not in names.values()]
            alike = [name for name in free if not set(name) & set(other_style)] or free
            if meaning not in names and alike:
                names[meaning] = random.choice(alike)
        return {meaning: names[meaning] for meaning in meanings if meaning in names}


def one_spelling(rows: Sequence[Row], *, seed: str) -> list[Row]:
    """The rows, those of functions in several spellings six at a time in one of them; deterministic by the seed.

    Functions are the same if their source and their description are. Rows of a single call only.
    """
    random = Random(f"{seed} spellings")
    groups: dict[tuple[str, str], list[Row]] = {}
    rest: list[Row] = []
    for row in rows:
        if _can_be_spelled(row):
            groups.setdefault((row.source, _called(row).description), []).append(row)
        else:
            rest.append(row)
    for group in groups.values():
        said = _Said(group)
        if len(said.names) < 2:
            rest += group
            continue
        random.shuffle(group)
        for start in range(0, len(group), _AT_A_TIME):
            rest += said.spelled(group[start : start + _AT_A_TIME], random)
    return rest


def _can_be_spelled(row: Row) -> bool:
    if len(row.calls) != 1 or row.kind != "single" or not _called(row).description:
        return False
    schemas = _properties(_called(row)).values()
    meanings = {schema.get("description") for schema in schemas}
    return bool(schemas) and None not in meanings and len(meanings) == len(schemas)


def _called(row: Row) -> Function:
    return next(function for function in row.functions if function.name == row.calls[0].name)


def _properties(function: Function) -> dict[str, JsonSchema]:
    properties: dict[str, JsonSchema] = (function.parameters or {}).get("properties", {})
    return properties


def _with(row: Row, function: Function, arguments: str) -> Row:
    """The row with this declaration in place of the called one. As it was, where another function has the name."""
    name = row.calls[0].name
    if any(other.name == function.name != name for other in row.functions):
        return row
    functions = tuple(function if other.name == name else other for other in row.functions)
    messages = tuple(
        replace(message, calls=tuple(Call(function.name, arguments, call.id) for call in message.calls))
        if message.calls
        else replace(message, name=function.name)
        if message.name == name
        else message
        for message in row.messages
    )
    return replace(row, functions=functions, messages=messages)
