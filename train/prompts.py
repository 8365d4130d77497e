"""`python -m train.prompts --in DEFINITIONS --out PROMPTS`: step 2 of the pipeline writes what users might ask.

A teacher gets each definition with up to two others, and writes a batch of requests in the style of one persona. Each
request becomes a row with one user message.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from client.endpoints import Answer
from client.json_lines import Json, LineError, parse_object, read_lines
from client.rows import Row, parse_function
from core.conversation import Message
from core.errors import RequestError
from train.teacher import command_line as teacher
from train.teacher.run import BadAnswer
from train.teacher.text import body, declared, json_values

NUM_PROMPTS = 5
MAX_PROMPT = 1_500  # the most characters of a request
MAX_OTHERS = 2

PERSONAS = (
    "a nurse on a night shift",
    "a retired teacher who is new to computers",
    "a student in a hurry",
    "a father of three, with one hand free",
    "a software developer",
    "the owner of a small bakery",
    "a lawyer who weighs every word",
    "a tourist whose first language is not English",
    "a truck driver who dictates while driving",
    "a farmer",
    "a scientist preparing a talk",
    "an office assistant who books and writes for others",
    "a teenager",
    "a musician on tour",
    "an accountant at the end of the year",
    "a carpenter in a noisy workshop",
)
STYLES = (
    "short commands",
    "polite questions",
    "chatty, with a sentence of background first",
    "spoken language, in lower case and without punctuation",
    "businesslike and complete",
    "a wish instead of an order",
    "keywords rather than sentences",
    "with a typing mistake here and there, never in names or numbers",
    "the most important thing last",
)
_WANTED = {
    "single": "Each request must need exactly one call of {first}.",
    "parallel": "Each request must need two or three calls of {first}, with different values.",
    "parallel_multiple": "Each request must need calls of at least two different functions out of these.",
}
_WEIGHTS = {1: (75, 25, 0), 2: (50, 15, 35), 3: (50, 15, 35)}  # number of functions -> weights in _WANTED's order

_SYSTEM = "You write realistic requests of users to an assistant which can call functions."
_RULES = """Write {count} requests. They come from {persona}; manner: {style}.
{wanted}
The values of all required parameters stand in the request, as a person would say them: real-looking names, numbers, \
places and dates, no placeholders. Mention optional things only now and then. Never name a function or a parameter, \
and write no code. The {count} requests differ in what they are about and in how they begin.
Answer with a JSON list of {count} strings and nothing else."""

_PLACEHOLDER = re.compile(r"\[[A-Za-z][\w ]*\]|<[A-Za-z][\w ]*>|\{[^{}]*\}|\bX{2,}\b|\blorem ipsum\b", re.IGNORECASE)
_CODE_NAME = re.compile(r"\w+_\w+|[a-z]+[A-Z]\w*")  # snake_case or camelCase, which no user writes


class Prompts:
    """Step 2: turns a row that has only functions into rows with one request each."""

    name = "prompts"

    def __init__(self, num_prompts: int = NUM_PROMPTS) -> None:
        self.num_prompts = num_prompts

    def read(self, path: Path, seed: int) -> tuple[list[Row], list[str]]:
        """Read one row without messages for each definition. `seed` decides which other functions each row gets."""
        alone: dict[str, Row] = {}
        faults: list[str] = []
        for line, where in read_lines(path):
            try:
                row = _definition(line, where)
                alone.setdefault(row.key, row)
            except LineError as error:
                faults.append(str(error))
        rows = list(alone.values())
        grouped = (_grouped(row, rows, Random(f"{seed}:{place}")) for place, row in enumerate(rows))
        return list({row.key: row for row in grouped}.values()), faults

    def request(self, row: Row, attempt: int) -> Json:
        wanted = _WANTED[str(row.meta["wanted"])].format(first=row.functions[0].name)
        rules = _RULES.format(
            count=self.num_prompts, persona=row.meta["persona"], style=row.meta["style"], wanted=wanted
        )
        text = f"{declared(row.functions)}\n\n{rules}"
        return body(_SYSTEM, text, temperature=1.0, max_tokens=200 + 120 * self.num_prompts)

    def made(self, row: Row, answer: Answer) -> Sequence[Row]:
        """Return one row for each usable request of the batch. Raises BadAnswer if there is none."""
        names = [function.name for function in row.functions]
        faults: list[str] = []
        texts: dict[str, str] = {}
        for prompt in _listed(answer):
            text = " ".join(prompt.split())
            if fault := _fault(text, names):
                faults.append(fault)
            else:
                texts.setdefault(re.sub(r"\W+", " ", text).casefold().strip(), text)
        if not texts:
            raise BadAnswer(f"no request can be used: {faults[0] if faults else 'the list is empty'}")
        return [replace(row, messages=(Message("user", text),)) for text in texts.values()]


def _definition(line: bytes, where: str) -> Row:
    """Parse a line of step 1 into a row without messages. Raises LineError."""
    held = parse_object(line, where)
    if not isinstance(held.get("function"), dict):
        raise LineError(f'{where}: no definition; expected {{"function": {{...}}, "source": "..."}}')
    try:
        return Row(
            (parse_function(held["function"], "function"),), (), str(held.get("source") or "unknown"), where=where
        )
    except RequestError as error:
        raise LineError(f"{where}: {error.message}") from None


def _grouped(row: Row, rows: Sequence[Row], rng: random.Random) -> Row:
    """Add up to two other functions to a definition, and sample the persona, the style and the kind of calls.

    In half of the rows the other functions come from the same source file.
    """
    num_others = rng.choices(range(MAX_OTHERS + 1), (55, 25, 20))[0]
    file = row.source.partition("#")[0]
    others = [one for one in rows if one.source.partition("#")[0] == file] if rng.random() < 0.5 else rows
    functions, sources = list(row.functions), [row.source]
    for other in rng.sample(others, min(len(others), num_others + 1)):
        if len(functions) <= num_others and other.functions[0].name not in {one.name for one in functions}:
            functions += other.functions
            sources.append(other.source)
    single, parallel, multiple = _WEIGHTS[len(functions)]
    if not (row.functions[0].parameters or {}).get("properties"):
        parallel = 0  # without parameters, all calls are the same
    meta = {
        "wanted": rng.choices(list(_WANTED), (single, parallel, multiple))[0],
        "persona": rng.choice(PERSONAS),
        "style": rng.choice(STYLES),
    }
    return replace(row, functions=tuple(functions), source=" + ".join(sources), meta=meta)


def _listed(answer: Answer) -> list[str]:
    """Return the requests: the first JSON list of strings in the answer. Raises BadAnswer if there is no such list."""
    for value in json_values(answer.text):
        listed = next(iter(value.values()), None) if isinstance(value, dict) and len(value) == 1 else value
        if isinstance(listed, list) and listed and all(isinstance(item, str) for item in listed):
            return listed
    raise BadAnswer("a JSON list of strings was expected")


def _fault(text: str, names: Sequence[str]) -> str:
    """Return the reason why a request cannot come from a user, or ""."""
    if len(text) < 3 or len(text) > MAX_PROMPT:
        return f"{len(text)} characters are too few or too many"
    if found := _PLACEHOLDER.search(text):
        return f"it holds the placeholder {found[0][:40]!r}"
    if named := [name for name in names if _CODE_NAME.fullmatch(name) and name in text]:
        return f"it names the function {named[0]!r}"
    return ""


def main(argv: Sequence[str] | None = None) -> None:
    options = teacher.parser("prompts", __doc__)
    options.add_argument(
        "--batch",
        type=int,
        choices=range(1, 21),
        default=NUM_PROMPTS,
        help="requests that the teacher writes at a time (default: 5)",
    )
    found = teacher.parse_options(options, argv)
    sys.exit(teacher.main(Prompts(found.batch), found))


if __name__ == "__main__":
    main()
