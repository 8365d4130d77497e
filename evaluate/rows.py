"""Rows of a set: a conversation up to the decision, the functions at hand, and the calls that are right."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import jsonschema
from referencing import Registry
from referencing.exceptions import Unresolvable

from apis.chat_completions import chat_request
from apis.rules.json_text import parse_json
from core.errors import RequestError

Json = dict[str, Any]

MAX_SHOWN = 200  # characters of a fault
_REQUEST = "We could not parse the JSON body of your request."


class SetError(Exception):
    """A set cannot be read or has no rows; one sentence with the file."""


@dataclass(frozen=True)
class Call:
    """A call that is right. Values are of the declared types."""

    name: str
    arguments: Json


@dataclass(frozen=True)
class Row:
    """One question. `where` is "file:line"."""

    messages: list[Json]
    functions: list[Json]
    expected: tuple[Call, ...]
    where: str
    meta: Json = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal for equal questions, whatever file they lie in."""
        text = json.dumps([self.messages, self.functions], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def request(self) -> Json:
        """messages and tools of the body that asks it."""
        tools = [{"type": "function", "function": function} for function in self.functions]
        return {"messages": self.messages, **({"tools": tools} if tools else {})}


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a .jsonl or .jsonl.xz file, and a sentence "file:line: what is wrong" for each line that is none.

    Raises SetError for a file that cannot be opened. One that breaks off gives the rows before.
    """
    rows: list[Row] = []
    faults: list[str] = []
    number = 0
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{path.name}:{number}"
                try:
                    rows.append(_row(line, where))
                except (ValueError, RequestError) as error:
                    sentence = " ".join(str(error).replace(_REQUEST, "The line is no JSON.").split())
                    faults.append(f"{where}: {sentence[:MAX_SHOWN]}")
    except (EOFError, lzma.LZMAError) as error:
        faults.append(f"{path.name}:{number + 1}: the file breaks off here: {error}")
    except OSError as error:
        raise SetError(f"{path}: {error.strerror or error}") from None
    return rows, faults


def _opened(path: Path) -> IO[bytes]:
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")


def _row(line: bytes, where: str) -> Row:
    """Raises ValueError or RequestError, which say what is wrong with it."""
    value = parse_json(line)
    messages, functions = _dicts(value, "messages"), _dicts(value, "functions", default=[])
    expected = tuple(_call(item) for item in _dicts(value, "expected", default=[]))
    meta = value.get("meta", {})
    if not isinstance(meta, dict):
        raise ValueError("'meta' must be an object")
    row = Row(messages, functions, expected, where, meta)
    chat_request({"model": "any", **row.request()})  # what our own server would refuse is no row
    for call in expected:
        fault = call_fault(functions, call.name, call.arguments)
        if fault:
            raise ValueError(f"expected call of '{call.name}': {fault}")
    return row


def _dicts(value: Json, key: str, default: list[Json] | None = None) -> list[Json]:
    items = value.get(key, default)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"'{key}' must be a list of objects")
    return items


def _call(item: Json) -> Call:
    if not isinstance(item.get("name"), str) or not isinstance(item.get("arguments"), dict):
        raise ValueError('an expected call must be {"name": text, "arguments": object}')
    return Call(item["name"], item["arguments"])


def call_fault(functions: list[Json], name: str, arguments: Json) -> str:
    """Why a call does not fit the functions, or "" if it does.

    An argument that the function does not declare is a fault even if the schema forgets to say so.
    """
    declared: dict[str, Json] = {function["name"]: function.get("parameters") or {} for function in functions}
    if name not in declared:
        return "the function is not declared"
    validator = jsonschema.Draft202012Validator(_closed(declared[name]), registry=Registry())  # fetches nothing
    try:
        faults: Iterator[Any] = validator.iter_errors(arguments)
        for fault in faults:
            return f"{fault.json_path}: {fault.message}"
    except (Unresolvable, jsonschema.SchemaError, ValueError, RecursionError) as error:
        return f"the schema cannot be used: {error}"
    return ""


def _closed(schema: Json) -> Json:
    open_by = {"additionalProperties", "unevaluatedProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"}
    return schema if open_by & schema.keys() else {**schema, "additionalProperties": False}
