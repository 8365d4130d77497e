"""Converts Seal-Tools: functions from tool.jsonl, requests from dev.jsonl and test_in_domain.jsonl.

Only the difficult half of test_in_domain.jsonl is used. The easy half and the other test files are development sets,
and no row comes from them. Each request becomes one row (kinds real_*), with other functions of the same field as
distractors. Values are cast to the declared types. An optional argument that the request does not contain is left out.
If the request does not contain a required argument, it is rejected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

from agent.definitions.candidates import object_schema
from client.json_lines import FileError, Json, read_objects
from client.rows import Row
from core.conversation import Function, JsonSchema, Message
from train.convert.common import (
    Item,
    Reject,
    checked,
    function_call,
    is_grounded,
    progress,
    reject_malformed,
    require_path,
    with_distractors,
)

TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
MAX_OTHERS = 4
REQUESTS = {"dev.jsonl": "", "test_in_domain.jsonl": "difficult"}  # file -> a word in each request's id


class Tools:
    """The functions of tool.jsonl, by name and by field. A field is written "domain/field"."""

    def __init__(self, path: Path) -> None:
        """Read tool.jsonl. Lines with an unexpected structure go to `faults`. Raises FileError."""
        self.by_name: dict[str, Function] = {}
        self.faults: list[Reject] = []
        self._field: dict[str, str] = {}
        self._by_field: dict[str, list[Function]] = defaultdict(list)
        for tool, where in read_objects(path):
            try:
                function = _function(tool)
            except (KeyError, TypeError, AttributeError) as error:
                self.faults.append(Reject(where, f"not of the expected format: {type(error).__name__} {error}"))
                continue
            self.by_name[function.name] = function
            self._field[function.name] = tool.get("field", "")
            self._by_field[tool.get("field", "")].append(function)
        if not self.by_name:
            raise FileError(f"{path}: no function; lines with api_name and parameters were expected")

    def neighbours(self, name: str) -> list[Function]:
        return self._by_field[self._field[name]]


def items(folder: Path) -> Iterator[Item]:
    """Yield the rows and rejects of the source. Raises FileError."""
    tools = Tools(require_path(folder / "tool.jsonl", "the functions of Seal-Tools"))
    yield from tools.faults
    for name, wanted in REQUESTS.items():
        requests = list(read_objects(require_path(folder / name, "requests of Seal-Tools")))
        for request, where in progress(requests, name):
            if wanted in str(request.get("id", "")):
                yield from reject_malformed(_rows(request, tools, where), where)


def _function(tool: Json) -> Function:
    properties: dict[str, JsonSchema] = {}
    for name, parameter in tool["parameters"].items():
        properties[name] = {"type": TYPES[parameter["type"]], "description": parameter.get("description", "")}
    return Function(tool["api_name"], tool["api_description"], object_schema(properties, tool["required"]))


def _rows(request: Json, tools: Tools, where: str) -> Iterator[Item]:
    calls, names = [], []
    text = " ".join(request["query"].split())
    for index, called in enumerate(request["calling"]):
        function = tools.by_name.get(called["api"])
        if function is None:
            yield Reject(where, f"it calls a function that tool.jsonl lacks: {called['api']}")
            return
        arguments = _arguments(function, called["parameters"], text)
        if isinstance(arguments, str):
            yield Reject(where, arguments)
            return
        names.append(function.name)
        calls.append(function_call(function, arguments, index))
    if len({(call.name, call.arguments) for call in calls}) < len(calls) or not calls:
        yield Reject(where, "no call, or the same call twice")
        return
    random = Random(f"sealtools {request['id']}")
    neighbours = [other for name in names for other in tools.neighbours(name)]
    functions = with_distractors([tools.by_name[name] for name in dict.fromkeys(names)], neighbours, random, MAX_OTHERS)
    kind = "real_single" if len(calls) == 1 else "real_parallel_multiple" if len(set(names)) > 1 else "real_parallel"
    messages = (Message("user", text), Message("assistant", None, tuple(calls)))
    yield checked(Row(functions, messages, "sealtools", {"kind": kind}, where))


def _arguments(function: Function, given: Json, text: str) -> Json | str:
    """Return the arguments that the text contains, or the reason for a reject."""
    schema = function.parameters or {}
    arguments: Json = {}
    for name, value in given.items():
        if name not in schema["properties"]:
            return f"an unknown parameter: {name} of {function.name}"
        typed = _typed(value, schema["properties"][name]["type"])
        if typed is not None and is_grounded(typed, text):
            arguments[name] = typed
        elif name in schema["required"]:
            return f"the request does not say a required value: {name} = {value!r}"
    return arguments


def _typed(value: object, word: str) -> object:
    """Convert the value to the JSON Schema type `word`. Returns None if that is impossible, and for every boolean."""
    try:
        match word:
            case "integer":
                return int(str(value).replace(",", ""))
            case "number":
                return float(str(value).replace(",", ""))
            case "boolean":
                return None  # no request contains the word "true", so a boolean is never grounded
            case _:
                return str(value)
    except ValueError:
        return None
