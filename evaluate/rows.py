"""Reads questions: rows for evaluation, which have a conversation up to the answer and the right calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from apis.chat_completions import chat_request
from client.json_lines import FileError, LineError, read_lines
from client.rows import Row, call_fault, parse_arguments, parse_row
from core.errors import RequestError

MAX_SHOWN = 200  # the most characters of an error message that are shown


def read_questions(path: Path) -> tuple[list[Row], list[str]]:
    """Read the questions of a .jsonl or .jsonl.xz file, and a message "file:line: what is wrong" for each other line.

    Raises FileError for a file that cannot be read. A truncated file gives the rows before the point of truncation.
    """
    rows: list[Row] = []
    faults: list[str] = []
    try:
        for line, where in read_lines(path):
            try:
                rows.append(_question(parse_row(line, where)))
            except LineError as error:
                faults.append(" ".join(str(error).split())[: len(where) + MAX_SHOWN])
    except FileError as error:
        if not rows:
            raise
        faults.append(str(error))
    return rows, faults


def _question(row: Row) -> Row:
    """Turn a training row into a question. The calls of its last message become the expected calls.

    Raises LineError if our server would reject the request, or if an expected call does not fit the functions.
    """
    if not row.expected and row.messages and row.messages[-1].role == "assistant":
        row = replace(row, messages=row.messages[:-1], expected=row.messages[-1].calls)
    try:
        chat_request({"model": "any", **row.request()})
    except RequestError as error:
        raise LineError(f"{row.where}: {error.message}") from None
    for call in row.expected:
        try:
            fault = call_fault(row.functions, call.name, parse_arguments(call))
        except ValueError as error:
            fault = f"the arguments are no JSON object: {error}"
        if fault:
            raise LineError(f"{row.where}: expected call of '{call.name}': {fault}")
    return row
