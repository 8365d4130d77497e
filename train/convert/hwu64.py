"""Converts HWU64, requests to a home assistant (NLU-Data-Home-Domain-Annotated-All.csv).

hwu64.toml maps 52 intents to functions. Columns are separated by semicolons. `answer_annotation` marks values as
"[place_name : london]". Sentences that the annotators marked as irrelevant (status IRR...) are left out. Small talk is
left out too, since no function fits it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from train.convert.common import Item, Reject, is_broken, progress, read_csv, require_path
from train.convert.intents import Sentence, read_table, rows

TABLE = Path(__file__).with_name("hwu64.toml")
FILE = Path("AnnotatedData", "NLU-Data-Home-Domain-Annotated-All.csv")
COLUMNS = ("scenario", "intent", "answer_annotation")
_VALUE = re.compile(r"\[\s*(\w+)\s*:+\s*([^\[\]]*?)\s*\]")


def items(path: Path) -> Iterator[Item]:
    """Yield the rows and rejects of the source. Raises FileError."""
    file = require_path(path / FILE if path.is_dir() else path, f"the file {FILE}")
    yield from rows(_sentences(file), read_table(TABLE), "hwu64")


def _sentences(path: Path) -> Iterator[Sentence | Reject]:
    for line, where in progress(read_csv(path, COLUMNS, delimiter=";"), "sentences"):
        annotated = " ".join((line["answer_annotation"] or "").split())
        if (line.get("status") or "").upper().startswith("IRR"):
            yield Reject(where, "called irrelevant by the annotators")
        elif not annotated or annotated.casefold() == "null":
            yield Reject(where, "no sentence")
        else:
            yield _said(f"{line['scenario']}_{line['intent']}", annotated, where)


def _said(intent: str, annotated: str, where: str) -> Sentence | Reject:
    values = tuple((match[1], match[2]) for match in _VALUE.finditer(annotated))
    text = " ".join(_VALUE.sub(lambda match: match[2], annotated).split())
    if "[" in text or "]" in text or is_broken(text):
        return Reject(where, "broken annotation or characters")
    return Sentence(intent, text, values, where)
