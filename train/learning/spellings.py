"""Gives a common declaration to rows that call one function under different names.

Converted sources spell one function in many ways (`play_tune`, `StreamMusic`), and each row lists only some of its
parameters. Rows with equal declarations can share a bundle (bundles.py). A declaration with all parameters teaches the
model to leave out the parameters that a request does not mention.
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
_GROUP_SIZE = 6  # the number of rows in a group; all rows of a group get the same declaration
_SHARE_COMPLETE = 0.75  # share of the groups that declare all known parameters; the rest omits some unused ones


class _Spellings:
    """All rows of one function in a source, and all spellings of the function.

    Parameters are told apart by their descriptions, here called meanings. `spellings` maps each meaning to the
    parameter's names and schemas. `meanings` is sorted by the parameter's mean position in the declarations.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        indices: dict[str, list[int]] = {}
        self.spellings: dict[str, dict[str, JsonSchema]] = {}
        for row in rows:
            for index, (name, schema) in enumerate(_properties(_called(row)).items()):
                indices.setdefault(schema["description"], []).append(index)
                self.spellings.setdefault(schema["description"], {})[name] = schema
        self.meanings = sorted(indices, key=lambda meaning: (sum(indices[meaning]) / len(indices[meaning]), meaning))

    @property
    def names(self) -> set[str]:
        return {_called(row).name for row in self.rows}

    def unified(self, rows: Sequence[Row], random: Random) -> Iterator[Row]:
        """Yield the rows with a common declaration. Its function name is the one that the first row uses."""
        own_names = [
            {schema["description"]: name for name, schema in _properties(_called(row)).items()} for row in rows
        ]
        given = [parse_arguments(row.calls[0]) for row in rows]
        pairs = list(zip(own_names, given, strict=True))
        used = {meaning for names, values in pairs for meaning in names if names[meaning] in values}
        others = [meaning for meaning in self.meanings if meaning not in used]
        if random.random() >= _SHARE_COMPLETE:
            others = random.sample(others, random.randint(0, len(others)))
        names = self._names([m for m in self.meanings if m in used or m in others], own_names[0], random)
        first = _called(rows[0])
        required = [
            names[meaning]
            for meaning, name in own_names[0].items()
            if name in (first.parameters or {}).get("required", ())
            and all(own.get(meaning) in values for own, values in pairs)
        ]
        properties = {name: self.spellings[meaning][name] for meaning, name in names.items()}
        parameters = {"type": "object", "properties": properties, "required": required}
        function = Function(first.name, first.description, parameters)
        for row, own, values in zip(rows, own_names, given, strict=True):
            arguments = {name: values[own[m]] for m, name in names.items() if own.get(m) in values}
            yield _with(row, function, json.dumps(arguments, ensure_ascii=False))

    def _names(self, meanings: Sequence[str], own_names: dict[str, str], random: Random) -> dict[str, str]:
        """Choose a distinct name for each meaning: the row's own, or one in the same style (snake or camel case)."""
        names = {meaning: own_names[meaning] for meaning in meanings if meaning in own_names}
        other_style = "_" if any(name != name.lower() for name in own_names.values()) else _UPPER
        for meaning in meanings:
            free = [name for name in self.spellings[meaning] if name not in names.values()]
            alike = [name for name in free if not set(name) & set(other_style)] or free
            if meaning not in names and alike:
                names[meaning] = random.choice(alike)
        return {meaning: names[meaning] for meaning in meanings if meaning in names}


def unify_spellings(rows: Sequence[Row], *, seed: str) -> list[Row]:
    """Give rows of one function a common declaration, six rows at a time. The order of the rows changes.

    Two functions are the same if their rows have the same source and the functions have the same description. Only rows
    with a single call are changed. The seed decides which rows form a group and which names the declarations get.
    """
    random = Random(f"{seed} spellings")
    groups: dict[tuple[str, str], list[Row]] = {}
    rest: list[Row] = []
    for row in rows:
        if _can_be_unified(row):
            groups.setdefault((row.source, _called(row).description), []).append(row)
        else:
            rest.append(row)
    for group in groups.values():
        spellings = _Spellings(group)
        if len(spellings.names) < 2:
            rest += group
            continue
        random.shuffle(group)
        for start in range(0, len(group), _GROUP_SIZE):
            rest += spellings.unified(group[start : start + _GROUP_SIZE], random)
    return rest


def _can_be_unified(row: Row) -> bool:
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
    """Return the row with another declaration, and with the arguments of its call renamed to match.

    If another function of the row already has the new name, return the row unchanged.
    """
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
