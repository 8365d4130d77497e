"""Defines rows: conversations in OpenAI's format, one JSON object per line, for training or for evaluation.

{"functions": [{"name", "description", "parameters"}], "messages": [...], "source": "...", "meta": {"kind": "..."}}

Only "messages" is required. A training row ends with a message of the assistant. An evaluation row, called a question,
ends before that message and may list the right calls in "expected": [{"name": "...", "arguments": {...}}].
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isinf
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, Tag

from apis.rules.fields import Shape, Size, by, read, tag, unfit
from client.json_lines import Json, LineError, parse_object, write_lines
from client.schemas import schema_fault
from core.conversation import Call, Function, Message
from core.errors import RequestError
from json_schema.check import check_parameters

# Names of real functions often have dots. Blanks, line breaks and `>` would break the turn formats.
_NAME = re.compile(r"[\w$.-]{1,128}")
_USER = "all"  # the v3 turn formats use this name for text to the user


@dataclass(frozen=True)
class Row:
    """A conversation and the functions that it may call.

    meta: any notes; the programs read only its "kind". expected: the right calls of a question. where: "file:line" for
    error messages. `where` is not written to files and is ignored when rows are compared.
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
        """All calls of the conversation, in order."""
        return tuple(call for message in self.messages for call in message.calls)

    @property
    def key(self) -> str:
        """Return a hexadecimal hash of messages and functions. It does not depend on the file, `meta` or `source`."""
        content = [[message_json(one) for one in self.messages], [function_json(one) for one in self.functions]]
        text = json.dumps(content, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

    def request(self) -> Json:
        """Return the `messages` and `tools` of a chat request for the next message."""
        tools = [{"type": "function", "function": function_json(function)} for function in self.functions]
        return {"messages": [message_json(message) for message in self.messages], **({"tools": tools} if tools else {})}


def parse_row(line: bytes, where: str) -> Row:
    """Parse one line as a row. Raises LineError, whose message begins with `where`."""
    value = parse_object(line, where)
    try:
        shape = read(_Row, value)
        functions = tuple(_checked(item, f"functions[{index}]") for index, item in enumerate(shape.functions or ()))
    except RequestError as error:
        raise LineError(f"{where}: {error.message}") from None
    return Row(
        functions=functions,
        messages=tuple(map(_message, shape.messages)),
        source=shape.source or "",
        meta=shape.meta or {},
        where=where,
        expected=tuple(Call(one.name, json.dumps(one.arguments, ensure_ascii=False)) for one in shape.expected or ()),
    )


def row_text(row: Row) -> str:
    """Encode a row as one line of JSON, without the line break."""
    whole: Json = {
        "functions": [function_json(function) for function in row.functions],
        "messages": [message_json(message) for message in row.messages],
        "source": row.source,
        "meta": row.meta,
    }
    if row.expected:
        whole["expected"] = [{"name": call.name, "arguments": parse_arguments(call)} for call in row.expected]
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write rows to a .jsonl or .jsonl.xz file with `write_lines`. Returns the number of rows."""
    return write_lines(path, (row_text(row).encode() for row in rows))


def parse_arguments(call: Call) -> Json:
    """Parse a call's arguments as a JSON object. Raises ValueError for anything else."""
    try:
        arguments = _STRICT.decode(call.arguments)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(arguments, dict):
        raise ValueError("not an object")
    return arguments


def call_fault(functions: Sequence[Function], name: str, arguments: Json) -> str:
    """Return why a call does not fit the functions, or "" if it fits.

    An argument that the schema does not declare is a fault, even if the schema does not set `additionalProperties` to
    false.
    """
    declared = {function.name: function.parameters or {} for function in functions}
    if name not in declared:
        return "the function is not declared"
    return schema_fault(declared[name], arguments)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name == _USER:
        message = f"'{{path}}' is {name[:60]!r}; a function's name has letters, digits and _ . - $, and not all"
        raise unfit(message, None)
    return name


class _Function(Shape):
    name: Annotated[str, AfterValidator(_check_name)]
    parameters: dict[str, Any] | None = None
    description: str | None = None


class _Text(Shape):
    role: Literal["system", "user"]
    content: str


class _CalledFunction(Shape):
    name: str
    arguments: str


class _Call(Shape):
    function: _CalledFunction
    id: str


class _Answer(Shape):
    role: Literal["assistant"]
    content: str | None = None
    tool_calls: Annotated[list[_Call], Size()] | None = None


class _Result(Shape):
    role: Literal["tool"]
    name: str | None = None
    tool_call_id: str
    content: str


_Message = Annotated[
    Annotated[_Text, Tag(tag("system"))]
    | Annotated[_Text, Tag(tag("user"))]
    | Annotated[_Answer, Tag(tag("assistant"))]
    | Annotated[_Result, Tag(tag("tool"))],
    by("role", "system", "user", "assistant", "tool"),
]


class _Expected(Shape):
    name: str
    arguments: dict[str, Any]


class _Row(Shape):
    functions: Annotated[list[_Function], Size()] | None = None
    messages: Annotated[list[_Message], Size()]
    source: str | None = None
    meta: dict[str, Any] | None = None
    expected: Annotated[list[_Expected], Size()] | None = None


def parse_function(value: object, path: str) -> Function:
    """Parse a function of a row. `path` is the function's position for error messages. Raises RequestError."""
    return _checked(read(_Function, value, path=path), path)


def _checked(function: _Function, path: str) -> Function:
    if function.parameters is not None:
        check_parameters(function.parameters, owner=f"function '{function.name}'", param=f"{path}.parameters")
    return Function(function.name, function.description or "", function.parameters)


def _message(message: _Text | _Answer | _Result) -> Message:
    match message:
        case _Answer():
            calls = (Call(call.function.name, call.function.arguments, call.id) for call in message.tool_calls or ())
            return Message("assistant", message.content, tuple(calls))
        case _Result():
            return Message("tool", message.content, name=message.name or "", call_id=message.tool_call_id)
        case _Text():
            return Message(message.role, message.content)


def function_json(function: Function) -> Json:
    """Write a function as JSON, for rows and requests."""
    parameters = {} if function.parameters is None else {"parameters": function.parameters}
    strict = {"strict": True} if function.strict else {}
    return {"name": function.name, "description": function.description, **parameters, **strict}


def message_json(message: Message) -> Json:
    """Write a message as JSON, for rows and requests."""
    shown: Json = {"role": message.role, "content": message.content}
    if message.calls:
        shown["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "name": message.name, "content": message.content}
    return shown


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(f"{text[:60]} is too large")
    return value


_STRICT = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
