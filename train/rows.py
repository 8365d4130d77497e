"""Checks training rows: a row must end with the assistant, and its calls and results must be consistent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from client.json_lines import LineError, read_lines
from client.rows import Row, parse_arguments, parse_row
from core.conversation import Call, Function
from schema import typescript

NUM_SAMPLES = 3  # number of rows that a dry run shows


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a .jsonl or .jsonl.xz file. Raises LineError for the first row that fails check_row."""
    return (parse_whole_row(line, where) for line, where in read_lines(path))


def parse_whole_row(line: bytes, where: str) -> Row:
    """Parse one line and check the row with check_row. Raises LineError."""
    row = parse_row(line, where)
    check_row(row)
    return row


def check_row(row: Row) -> None:
    """Raise LineError unless the row ends with the assistant and passes check_turns."""
    if [message.role for message in row.messages[-1:]] != ["assistant"]:
        raise _error(row, "it must end with a message of the assistant")
    check_turns(row)


def check_turns(row: Row) -> None:
    """Raise LineError unless the row has a source, and its functions, calls and results are consistent.

    Function names must differ, and so must call ids. Each call must name a listed function, with all required arguments
    and no unknown ones. Each result must answer a call right before it. Argument values are not checked against the
    schema.
    """
    if not row.source:
        raise _error(row, "it has no 'source'")
    functions = {function.name: function for function in row.functions}
    if len(functions) < len(row.functions):
        raise _error(row, "two functions have one name")
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


def _check_call(row: Row, call: Call, function: Function | None) -> None:
    if function is None:
        raise _error(row, f"it calls {call.name!r}, which it does not list")
    try:
        arguments = parse_arguments(call)
    except ValueError:
        raise _error(row, f"the arguments of {call.name!r} are no JSON object: {call.arguments[:60]!r}") from None
    schema = function.parameters or {}
    unknown = arguments.keys() - schema.get("properties", {}).keys()
    if unknown and not schema.get("additionalProperties"):
        raise _error(row, f"{call.name!r} has no parameter {min(unknown)!r}")
    if absent := set(schema.get("required", ())) - arguments.keys():
        raise _error(row, f"a call of {call.name!r} lacks the required {min(absent)!r}")


def _error(row: Row, what: str) -> LineError:
    return LineError(f"{row.where or row.source}: {what}")


def rejects_path(out: Path) -> Path:
    """Return the path of the rejects of FILE.jsonl or FILE.jsonl.xz, which is FILE.rejects.jsonl in the same folder."""
    return out.with_name(f"{out.name.removesuffix('.xz').removesuffix('.jsonl')}.rejects.jsonl")


def readable(row: Row) -> str:
    """Format a row for a person: the functions as the model sees them, then one line for each message and call."""
    lines = [f"--- {row.source} {row.kind} {row.where}".rstrip(), typescript(row.functions), ""]
    for message in row.messages:
        if message.content is not None:
            lines.append(f"{message.role}: {message.content}")
        lines += [f"{message.role} calls {call.name}({call.arguments})" for call in message.calls]
    return "\n".join(lines) + "\n"
