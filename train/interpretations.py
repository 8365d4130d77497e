"""`python -m train.interpretations --in RESULTS --out ROWS`: step 5 of the pipeline adds the answer to the user.

Each output line is a complete row, ready for `python -m train.merge`.
"""

from __future__ import annotations

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
from train.teacher.grounding import ungrounded_numbers
from train.teacher.run import BadAnswer
from train.teacher.text import answer_text, body, transcript

MAX_ANSWER = 1_200  # the most characters of an answer

_SYSTEM = "You are an assistant who tells users what came out of the functions that were called for them."
_RULES = """Write the assistant's next message: one to three friendly sentences that answer the user's request. \
Say only what the results say, with their names and numbers as they are. Mention neither functions, calls nor JSON. \
Answer with the message alone."""
_QUOTES = (('"', '"'), ("“", "”"))


class Interpretations:
    """Step 5: adds the assistant's answer to a row that ends with results."""

    name = "interpretations"

    def read(self, path: Path, seed: int) -> tuple[list[Row], list[str]]:
        return read_conversations(path, _fault)

    def request(self, row: Row, attempt: int) -> Json:
        return body(_SYSTEM, f"{transcript(row.messages)}\n\n{_RULES}", temperature=0.7, max_tokens=400)

    def made(self, row: Row, answer: Answer) -> Sequence[Row]:
        """Return the finished row. `meta.ungrounded_numbers` lists numbers that the conversation does not contain."""
        text = _sentences(answer)
        if named := [function.name for function in row.functions if "_" in function.name and function.name in text]:
            raise BadAnswer(f"it names the function {named[0]!r}")
        invented = ungrounded_numbers(text, transcript(row.messages))
        meta = {**row.meta, **({"ungrounded_numbers": invented} if invented else {})}
        return [replace(row, messages=(*row.messages, Message("assistant", text)), meta=meta)]


def _fault(row: Row) -> str:
    calls = next((message.calls for message in reversed(row.messages) if message.role != "tool"), ())
    results = row.messages[len(row.messages) - len(calls) :]
    is_whole = bool(calls) and all(message.role == "tool" for message in results)
    return "" if is_whole else "it must end with the results of all calls; lines of step 4 do"


def _sentences(answer: Answer) -> str:
    """Return the answer's text without surrounding quotes. Raises BadAnswer if the text is not fit for a user."""
    if answer.calls:
        raise BadAnswer("it calls a function where an answer to the user was expected")
    text = answer_text(answer.text).removeprefix("Assistant:").strip()
    for opening, closing in _QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            text = text[1:-1].strip()
    if not any(map(str.isalpha, text)):
        raise BadAnswer("it says nothing")
    if text.startswith(("{", "[", "```")):
        raise BadAnswer("it is JSON or code where sentences were expected")
    if len(text) > MAX_ANSWER:
        raise BadAnswer(f"{len(text)} characters are too many for an answer; at most {MAX_ANSWER}")
    return text


def main(argv: Sequence[str] | None = None) -> None:
    options = teacher.parse_options(teacher.parser("interpretations", __doc__), argv)
    sys.exit(teacher.main(Interpretations(), options))


if __name__ == "__main__":
    main()
