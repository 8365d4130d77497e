"""The neutral chat format, in which every source of training rows is kept: one JSON object a line, OpenAI's shapes.

{"functions": [{"name", "description", "parameters"}], "messages": [...], "source": "...", "meta": {"kind": "..."}}
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from apis.rules.fields import Fields, a_string, a_word, an_array, an_object
from apis.rules.json_text import parse_json
from core.conversation import Call, Function, Message
from core.errors import RequestError
from json_schema.check import check_parameters

# Dots are common in names of real functions; no format has room for blanks, line breaks or `>` in one.
_NAME = re.compile(r"[\w$.-]{1,128}")
_USER = "all"  # stands for the user where a function's name could


class RowError(Exception):
    """A row or a file of rows that cannot be used: "file:line: what is wrong"."""


@dataclass(frozen=True)
class Row:
    """A conversation that ends with the assistant, and the functions it may call. `meta` is free but for "kind".

    `where` is "file:line" for errors; it is not written and makes no difference between rows.
    """

    functions: tuple[Function, ...]
    messages: tuple[Message, ...]
    source: str
    meta: dict[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)

    @property
    def kind(self) -> str:
        return str(self.meta.get("kind", ""))

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls, in order."""
        return tuple(call for message in self.messages for call in message.calls)


def read_rows(path: Path, on_bad: Callable[[RowError], None] | None = None) -> Iterator[Row]:
    """The rows of a .jsonl or .jsonl.xz file, checked as check_row does; blank lines are skipped.

    The first bad row raises RowError, or is given to `on_bad` and left out. A file that cannot be read, or ends within
    its compressed data, always raises.
    """
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            yield parse_row(line, f"{path}:{number}")
        except RowError as error:
            if on_bad is None:
                raise
            on_bad(error)


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, unpacked. Raises RowError for one that cannot be read."""
    try:
        with _open(path, "rb") as file:
            yield from file
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise RowError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write .jsonl or .jsonl.xz, whole or not at all: a temporary file is renamed at the end. Gives their number.

    Raises RowError when the disk does not take it, and lets through what `rows` itself raises.
    """
    temporary = path.with_name(f".{path.name}.tmp{path.suffix}")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open(temporary, "wb") as file:
            for row in rows:
                file.write(row_text(row).encode() + b"\n")
                count += 1
        temporary.replace(path)
    except OSError as error:
        raise RowError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # else it would stand before the reason
            temporary.unlink(missing_ok=True)
    return count


def parse_row(line: bytes, where: str) -> Row:
    """One line. Raises RowError, which begins with `where`."""
    try:
        fields = Fields(parse_json(line))
        row = Row(
            functions=tuple(a_function(item, path) for item, path in _items(fields, "functions")),
            messages=tuple(_message(item, path) for item, path in _items(fields, "messages")),
            source=fields.required("source", a_string),
            meta=fields.optional("meta", an_object) or {},
            where=where,
        )
    except RequestError as error:
        message = error.message.replace("We could not parse the JSON body of your request.", "The line is no JSON.")
        raise RowError(f"{where}: {message}") from None
    check_row(row)
    return row


def row_text(row: Row) -> str:
    """The row as one line of JSON, without the line break."""
    return json.dumps(
        {
            "functions": [_function_json(function) for function in row.functions],
            "messages": [_message_json(message) for message in row.messages],
            "source": row.source,
            "meta": row.meta,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def check_row(row: Row) -> None:
    """Raise RowError unless the row can be learned from: it ends with the assistant, function names differ, calls name
    listed functions with known arguments and all required ones, and results answer the calls right before them.

    Values are not held against the schema; schemas are (parse_row).
    """
    functions = {function.name: function for function in row.functions}
    if len(functions) < len(row.functions):
        raise _error(row, "two functions have one name")
    if [message.role for message in row.messages[-1:]] != ["assistant"]:
        raise _error(row, "it must end with a message of the assistant")
    waiting: list[str] = []
    for number, message in enumerate(row.messages):
        if message.role == "tool":
            if message.call_id not in waiting:
                raise _error(row, f"messages[{number}] answers no call right before it: {message.call_id!r}")
            waiting.remove(message.call_id)
            continue
        if message.role == "assistant" and message.content is None and not message.calls:
            raise _error(row, f"messages[{number}] has neither content nor tool_calls")
        waiting = [call.id for call in message.calls]
        for call in message.calls:
            _check_call(row, call, functions.get(call.name))
    if len({call.id for call in row.calls} - {""}) < len(row.calls):
        raise _error(row, "two calls have one id, or a call has none")


def arguments_of(call: Call) -> dict[str, Any]:
    """A call's arguments as an object; raises ValueError for other JSON and for no JSON."""
    arguments = json.loads(call.arguments)
    if not isinstance(arguments, dict):
        raise ValueError("not an object")
    return arguments


def _check_call(row: Row, call: Call, function: Function | None) -> None:
    if function is None:
        raise _error(row, f"it calls {call.name!r}, which it does not list")
    try:
        arguments = arguments_of(call)
    except ValueError:
        raise _error(row, f"the arguments of {call.name!r} are no JSON object: {call.arguments[:60]!r}") from None
    schema = function.parameters or {}
    unknown = arguments.keys() - schema.get("properties", {}).keys()
    if unknown and not schema.get("additionalProperties"):
        raise _error(row, f"{call.name!r} has no parameter {min(unknown)!r}")
    if absent := set(schema.get("required", ())) - arguments.keys():
        raise _error(row, f"a call of {call.name!r} lacks the required {min(absent)!r}")


def _error(row: Row, what: str) -> RowError:
    return RowError(f"{row.where or row.source}: {what}")


def _open(path: Path, mode: str) -> IO[bytes]:
    return lzma.open(path, mode) if path.suffix == ".xz" else path.open(mode)  # type: ignore[return-value]


def _items(fields: Fields, key: str) -> Iterator[tuple[object, str]]:
    return ((item, f"{key}[{index}]") for index, item in enumerate(fields.required(key, an_array)))


def a_function(value: object, path: str) -> Function:
    """A function as it stands in a row. Raises RequestError."""
    fields = Fields(value, path)
    name = fields.required("name", _name)
    parameters = fields.optional("parameters", an_object)
    if parameters is not None:
        check_parameters(parameters, owner=f"function '{name}'", param=fields.at("parameters"))
    return Function(name, fields.optional("description", a_string) or "", parameters)


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


def _function_json(function: Function) -> dict[str, Any]:
    parameters = {} if function.parameters is None else {"parameters": function.parameters}
    return {"name": function.name, "description": function.description, **parameters}


def _message_json(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        shown["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "name": message.name, "content": message.content}
    return shown
