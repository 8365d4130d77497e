"""`python -m train.calls --in PROMPTS --out CALLS`: step 3 of the pipeline adds the calls that serve a request.

The teacher first gets the functions as tools. If its answer cannot be used, the next attempts ask for the calls as
JSON. Calls must fit the function's schema. `meta.ungrounded` lists argument values that the conversation does not
contain.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from apis.rules.json_text import JsonError, read_json
from client.endpoints import Answer
from client.json_lines import Json
from client.rows import Row, call_fault, function_json
from core.conversation import Call, Function, JsonSchema, Message
from train.teacher import command_line as teacher
from train.teacher.files import read_conversations
from train.teacher.grounding import ungrounded
from train.teacher.run import BadAnswer
from train.teacher.text import body, declared, json_values, transcript

MAX_CALLS = 10
MAX_TOKENS = 1_000

_SYSTEM = """You serve a user by calling functions. Make all calls that the last request needs, and no others. Take \
values from what the user has said, in the user's words; leave out optional arguments that were not mentioned."""
_AS_JSON = """Answer with a JSON list of the calls and nothing else: \
[{"name": "...", "arguments": {...}}]"""

_NO_PARAMETERS = {"parameters": {"type": "object", "properties": {}}}  # some servers require `parameters`


class Calls:
    """Step 3: adds the assistant's calls to a row that ends with a request."""

    name = "calls"

    def read(self, path: Path, seed: int) -> tuple[list[Row], list[str]]:
        return read_conversations(path, _fault)

    def request(self, row: Row, attempt: int) -> Json:
        """Return the request for one attempt. The first sends tools.

        Later attempts send the functions as text, for teachers without tool use.
        """
        if attempt:
            text = f"{declared(row.functions)}\n\n{transcript(row.messages)}\n\n{_AS_JSON}"
            return body(_SYSTEM, text, temperature=0.3, max_tokens=MAX_TOKENS)
        text = str(row.messages[0].content) if len(row.messages) == 1 else transcript(row.messages)
        tools = [{"type": "function", "function": {**_NO_PARAMETERS, **function_json(one)}} for one in row.functions]
        return {**body(_SYSTEM, text, temperature=0.3, max_tokens=MAX_TOKENS), "tools": tools}

    def made(self, row: Row, answer: Answer) -> Sequence[Row]:
        """Return the row with the answer's calls appended. Arguments are in the schema's order. Raises BadAnswer."""
        functions = {function.name: function for function in row.functions}
        found: dict[tuple[str, str], Json] = {}
        for name, arguments in _calls(answer):
            if name not in functions:
                raise BadAnswer(f"it calls {name[:60]!r}, which is not declared")
            fitting = _fitted(functions[name], arguments)
            found.setdefault((name, json.dumps(fitting, ensure_ascii=False)), fitting)
        if len(found) > MAX_CALLS:
            raise BadAnswer(f"{len(found)} calls are more than a request needs; at most {MAX_CALLS}")
        calls = tuple(Call(name, text, f"call_{place}") for place, (name, text) in enumerate(found))
        said = transcript(row.messages)
        unsaid = [
            f"call_{place}.{path}"
            for place, ((name, _), arguments) in enumerate(found.items())
            for path in ungrounded(arguments, functions[name].parameters or {}, said)
        ]
        meta = {**row.meta, "kind": _kind(calls), **({"ungrounded": unsaid} if unsaid else {})}
        return [replace(row, messages=(*row.messages, Message("assistant", None, calls)), meta=meta)]


def _fault(row: Row) -> str:
    if not row.functions:
        return "it lists no functions"
    if not row.messages or row.messages[-1].role != "user":
        return "it must end with a user's message; lines of step 2 do"
    return ""


def _calls(answer: Answer) -> Iterator[tuple[str, Json]]:
    """Yield the name and the arguments of each call. Raises BadAnswer if the answer has no call.

    Without tool calls, the calls are those that the text of the answer has as JSON.
    """
    if answer.calls:
        for call in answer.calls:
            try:
                yield call.name, read_json(call.arguments.encode("utf-8", "replace"))
            except JsonError:
                raise BadAnswer(f"the arguments of {call.name[:60]!r} are no JSON object") from None
        return
    for value in json_values(answer.text):
        items = value if isinstance(value, list) else [value]
        pairs = [_pair(item) for item in items]
        if pairs and all(pairs):
            yield from (pair for pair in pairs if pair)
            return
    raise BadAnswer('no call; a tool call or [{"name": "...", "arguments": {...}}] was expected')


def _pair(item: object) -> tuple[str, Json] | None:
    """Read the name and the arguments of `{"name", "arguments"}`, or return None for any other value.

    The arguments may be an object or a string of JSON.
    """
    if not isinstance(item, dict):
        return None
    held = item["function"] if isinstance(item.get("function"), dict) else item
    name, arguments = held.get("name"), held.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments.encode("utf-8", "replace"))
        except JsonError:
            return None
    return (name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else None


def _fitted(function: Function, arguments: Json) -> Json:
    """Sort the arguments by the schema and drop nulls of optional arguments. Raises BadAnswer if they do not fit it."""
    schema = function.parameters or {}
    ordered: Json = _ordered(arguments, schema)
    if fault := call_fault([function], function.name, ordered):
        raise BadAnswer(f"a call of {function.name!r} does not fit: {fault[:200]}")
    return ordered


def _ordered(value: Any, schema: object) -> Any:
    known: JsonSchema = schema if isinstance(schema, dict) else {}
    if isinstance(value, list):
        return [_ordered(item, known.get("items")) for item in value]
    if not isinstance(value, dict):
        return value
    properties, required = known.get("properties") or {}, known.get("required") or ()
    keys = [*(key for key in properties if key in value), *(key for key in value if key not in properties)]
    return {
        key: _ordered(value[key], properties.get(key))
        for key in keys
        if value[key] is not None or key in required or key not in properties
    }


def _kind(calls: Sequence[Call]) -> str:
    if len(calls) == 1:
        return "single"
    return "parallel" if len({call.name for call in calls}) == 1 else "parallel_multiple"


def main(argv: Sequence[str] | None = None) -> None:
    options = teacher.parse_options(teacher.parser("calls", __doc__), argv)
    sys.exit(teacher.main(Calls(), options))


if __name__ == "__main__":
    main()
