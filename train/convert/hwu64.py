"""HWU64 home assistant sentences (NLU-Data-Home-Domain-Annotated-All.csv): 52 intents as functions, hwu64.toml.

Columns are separated by semicolons; `answer_annotation` marks values as "[place_name : london]". Sentences that the
annotators called irrelevant (status IRR...) are left out, and so is small talk, which has no function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from train.convert.common import Item, Reject, bar, existing, is_broken, read_csv
from train.convert.intents import Said, read_table, rows

TABLE = Path(__file__).with_name("hwu64.toml")
FILE = Path("AnnotatedData", "NLU-Data-Home-Domain-Annotated-All.csv")
COLUMNS = ("scenario", "intent", "answer_annotation")
_VALUE = re.compile(r"\[\s*(\w+)\s*:+\s*([^\[\]]*?)\s*\]")


def items(path: Path) -> Iterator[Item]:
    """Raises FileError."""
    file = existing(path / FILE if path.is_dir() else path, f"the file {FILE}")
    yield from rows(_sentences(file), read_table(TABLE), "hwu64")


def _sentences(path: Path) -> Iterator[Said | Reject]:
    for line, where in bar(read_csv(path, COLUMNS, delimiter=";"), "sentences"):
        annotated = " ".join((line["answer_annotation"] or "").split())
        if (line.get("status") or "").upper().startswith("IRR"):
            yield Reject(where, "called irrelevant by the annotators")
        elif not annotated or annotated.casefold() == "null":
            yield Reject(where, "no sentence")
        else:
            yield _said(f"{line['scenario']}_{line['intent']}", annotated, where)


def _said(intent: str, annotated: str, where: str) -> Said | Reject:
    values = tuple((match[1], match[2]) for match in _VALUE.finditer(annotated))
    text = " ".join(_VALUE.sub(lambda match: match[2], annotated).split())
    if "[" in text or "]" in text or is_broken(text):
        return Reject(where, "broken annotation or characters")
    return Said(intent, text, values, where)
