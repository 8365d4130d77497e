"""Rows, one JSON object a line: conversations in OpenAI's shapes, to learn from or to be asked.

{"functions": [{"name", "description", "parameters"}], "messages": [...], "source": "...", "meta": {"kind": "..."}}

A row to learn from ends with the assistant. A question ends before, and its right calls may stand in "expected":
[{"name": "...", "arguments": {...}}]. Only "messages" is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
from referencing import Registry
from referencing.exceptions import Unresolvable

from apis.rules.fields import Fields, a_string, a_word, an_array, an_object
from client.json_lines import Json, LineError, parse_object, write_lines
from core.conversation import Call, Function, JsonSchema, Message
from core.errors import RequestError
from json_schema.check import check_parameters

# Dots are common in names of real functions; no format has room for blanks, line breaks or `>` in one.
_NAME = re.compile(r"[\w$.-]{1,128}")
_USER = "all"  # stands for the user where a function's name could
_OPEN = {"additionalProperties", "unevaluatedProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"}


@dataclass(frozen=True)
class Row:
    """A conversation and the functions it may call. `meta` is free but for "kind"; `expected` are a question's calls.

    `where` is "file:line" for errors; it is not written and makes no difference between rows.
    """

    functions: tuple[Function, ...]
    messages: tuple[Message, ...]
    source: str = ""
    meta: Json = field(default_factory=dict)
    where: str = field(default="", compare=False)
    expected: tuple[Call, ...] = ()

    @property
    def kind(self) -> str:
        return str(self.meta.get("kind", ""))

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls, in order."""
        return tuple(call for message in self.messages for call in message.calls)

    @property
    def key(self) -> str:
        """Equal for equal conversations over equal functions, whatever file they lie in and whatever is noted."""
        said = [[message_json(one) for one in self.messages], [function_json(one) for one in self.functions]]
        text = json.dumps(said, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

    def request(self) -> Json:
        """Messages and tools of the body that asks for what comes next."""
        tools = [{"type": "function", "function": function_json(function)} for function in self.functions]
        return {"messages": [message_json(message) for message in self.messages], **({"tools": tools} if tools else {})}


def parse_row(line: bytes, where: str) -> Row:
    """One line. Raises LineError, which begins with `where`."""
    fields = Fields(parse_object(line, where))
    try:
        return Row(
            functions=tuple(a_function(item, path) for item, path in _items(fields, "functions")),
            messages=tuple(_message(item, path) for item, path in _items(fields, "messages", is_required=True)),
            source=fields.optional("source", a_string) or "",
            meta=fields.optional("meta", an_object) or {},
            where=where,
            expected=tuple(_expected(item, path) for item, path in _items(fields, "expected")),
        )
    except RequestError as error:
        raise LineError(f"{where}: {error.message}") from None


def row_text(row: Row) -> str:
    """The row as one line of JSON, without the line break."""
    whole: Json = {
        "functions": [function_json(function) for function in row.functions],
        "messages": [message_json(message) for message in row.messages],
        "source": row.source,
        "meta": row.meta,
    }
    if row.expected:
        whole["expected"] = [{"name": call.name, "arguments": arguments_of(call)} for call in row.expected]
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write .jsonl or .jsonl.xz as `write_lines` does."""
    return write_lines(path, (row_text(row).encode() for row in rows))


def arguments_of(call: Call) -> Json:
    """A call's arguments as an object; raises ValueError for other JSON and for no JSON."""
    try:
        arguments = _STRICT.decode(call.arguments)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(arguments, dict):
        raise ValueError("not an object")
    return arguments


def call_fault(functions: Sequence[Function], name: str, arguments: Json) -> str:
    """Why a call does not fit the functions, or "" if it does.

    An argument that the function does not declare is a fault even if the schema forgets to say so.
    """
    declared = {function.name: function.parameters or {} for function in functions}
    if name not in declared:
        return "the function is not declared"
    try:
        for fault in _validator(json.dumps(declared[name])).iter_errors(arguments):
            return f"{fault.json_path}: {fault.message}"
    except (Unresolvable, jsonschema.SchemaError, re.error, ValueError, OverflowError, RecursionError) as error:
        return f"the schema cannot be used: {error}"
    return ""


@lru_cache(1024)
def _validator(schema: str) -> Any:
    held: JsonSchema = json.loads(schema)
    closed = held if _OPEN & held.keys() else {**held, "additionalProperties": False}
    return jsonschema.Draft202012Validator(closed, registry=Registry())  # fetches nothing


def a_function(value: object, path: str) -> Function:
    """A function as it stands in a row. Raises RequestError."""
    fields = Fields(value, path)
    name = fields.required("name", _name)
    parameters = fields.optional("parameters", an_object)
    if parameters is not None:
        check_parameters(parameters, owner=f"function '{name}'", param=fields.at("parameters"))
    return Function(name, fields.optional("description", a_string) or "", parameters)


def function_json(function: Function) -> Json:
    """As it stands in a row and in a request."""
    parameters = {} if function.parameters is None else {"parameters": function.parameters}
    return {"name": function.name, "description": function.description, **parameters}


def message_json(message: Message) -> Json:
    """As it stands in a row and in a request."""
    shown: Json = {"role": message.role, "content": message.content}
    if message.calls:
        shown["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "name": message.name, "content": message.content}
    return shown


def _items(fields: Fields, key: str, *, is_required: bool = False) -> Iterator[tuple[object, str]]:
    items = fields.required(key, an_array) if is_required else fields.optional(key, an_array) or []
    return ((item, f"{key}[{index}]") for index, item in enumerate(items))


def _name(value: object, path: str) -> str:
    name = a_string(value, path)
    if not _NAME.fullmatch(name) or name == _USER:
        raise RequestError(f"'{path}' is {name[:60]!r}; a function's name has letters, digits and _ . - $, and not all")
    return name


def _message(value: object, path: str) -> Message:
    fields = Fields(value, path)
    match fields.required("role", a_word, ("system", "user", "assistant", "tool")):
        case "assistant":
            content = fields.optional("content", a_string)
            items = fields.optional("tool_calls", an_array) or []
            calls = (_call(item, f"{path}.tool_calls[{index}]") for index, item in enumerate(items))
            return Message("assistant", content, tuple(calls))
        case "tool":
            name, call_id = fields.optional("name", a_string) or "", fields.required("tool_call_id", a_string)
            return Message("tool", fields.required("content", a_string), name=name, call_id=call_id)
        case role:
            return Message("system" if role == "system" else "user", fields.required("content", a_string))


def _call(value: object, path: str) -> Call:
    fields = Fields(value, path)
    function = Fields(fields.required("function", an_object), fields.at("function"))
    name, arguments = function.required("name", a_string), function.required("arguments", a_string)
    return Call(name, arguments, fields.required("id", a_string))


def _expected(value: object, path: str) -> Call:
    fields = Fields(value, path)
    name, arguments = fields.required("name", a_string), fields.required("arguments", an_object)
    return Call(name, json.dumps(arguments, ensure_ascii=False))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_STRICT = json.JSONDecoder(parse_constant=_no_constant)
