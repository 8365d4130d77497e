"""Run the converters by their command, and read the rows and rejects that they write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from client.rows import Row, parse_arguments
from train.convert.__main__ import main
from train.rows import read_rows

SAMPLES = Path(__file__).parents[1] / "data" / "convert"


def convert(source: str, folder: Path, *options: str, samples: Path | None = None) -> list[Row]:
    """Run the command of the converter `source`. Return the rows that it wrote."""
    main([source, str(samples or SAMPLES / source), "--out", str(folder / "out.jsonl"), *options])
    return list(read_rows(folder / "out.jsonl"))


def rejects(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.rejects.jsonl").read_text().splitlines()]


def reasons(folder: Path) -> dict[str, str]:
    """Return the reason of each reject by the position of its row.

    Paths in positions are shortened to the file's name.
    """
    return {re.sub(r"\S*/", "", reject["where"]): reject["reason"] for reject in rejects(folder)}


def spoken(row: Row) -> list[str | None]:
    return [message.content for message in row.messages if message.role != "tool"]


def called(row: Row) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, parse_arguments(call)) for call in row.calls]
