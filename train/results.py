"""`python -m train.results --in CALLS --out RESULTS`: step 4 of the pipeline adds what the functions might return."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from client.endpoints import Answer
from client.json_lines import Json
from client.rows import Row
from core.conversation import Message
from train.teacher import command_line as teacher
from train.teacher.files import read_conversations
from train.teacher.run import BadAnswer
from train.teacher.text import body, declared, json_values, transcript

MAX_RESULT = 3_000  # the most characters of a result; a whole row has to fit a small model's context

_SYSTEM = "You play the programs behind some functions, and invent what they return."
_RULES = """Invent what the calls of the last turn return. Results are realistic, agree with the arguments and \
with each other, hold all that the user wants to know, and are short: at most eight keys, lists of at most three.
Answer with one JSON object and nothing else: {{"results": [...]}}, in the order of the calls, {count} in all, \
each of them a JSON object."""


class Results:
    """Step 4: adds the results of the calls at the end of a row."""

    name = "results"

    def read(self, path: Path, seed: int) -> tuple[list[Row], list[str]]:
        return read_conversations(path, _fault)

    def request(self, row: Row, attempt: int) -> Json:
        rules = _RULES.format(count=len(row.messages[-1].calls))
        text = f"{declared(row.functions)}\n\n{transcript(row.messages)}\n\n{rules}"
        return body(_SYSTEM, text, temperature=0.8, max_tokens=1_500)

    def made(self, row: Row, answer: Answer) -> Sequence[Row]:
        calls = row.messages[-1].calls
        results = [json.dumps(result, ensure_ascii=False) for result in _results(answer, len(calls))]
        if (longest := max(map(len, results))) > MAX_RESULT:
            raise BadAnswer(f"a result of {longest} characters is too long; at most {MAX_RESULT}")
        turns = [
            Message("tool", text, name=call.name, call_id=call.id) for call, text in zip(calls, results, strict=True)
        ]
        return [replace(row, messages=(*row.messages, *turns))]


def _fault(row: Row) -> str:
    is_called = bool(row.messages) and row.messages[-1].role == "assistant" and bool(row.messages[-1].calls)
    return "" if is_called else "it must end with calls; lines of step 3 do"


def _results(answer: Answer, count: int) -> list[Json | list[object]]:
    """Return one object or list for each call. Raises BadAnswer if the answer does not have `count` results."""
    num_found = 0
    for value in json_values(answer.text):
        listed = value.get("results") if isinstance(value, dict) else value
        if not isinstance(listed, list):
            listed = [value]  # a teacher may write the result of a single call without the list
        if len(listed) == count and all(isinstance(item, dict | list) and item for item in listed):
            return listed
        num_found = num_found or len(listed)
    raise BadAnswer(f'{{"results": [...]}} with {count} objects was expected, got {num_found}')


def main(argv: Sequence[str] | None = None) -> None:
    options = teacher.parse_options(teacher.parser("results", __doc__), argv)
    sys.exit(teacher.main(Results(), options))


if __name__ == "__main__":
    main()
