"""Converts CLINC150: prompts that are out of scope become rows without a call.

The file is data_full.json or another data_*.json. It maps oos_train, oos_val and oos_test to lists of [text, "oos"].
The other lists have prompts in scope and are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from client.json_lines import FileError
from train.convert.common import Item, member, progress, read_json, require_path
from train.convert.no_call import rows

FILE = Path("data", "data_full.json")
LISTS = ("oos_train", "oos_val", "oos_test")


def items(path: Path) -> Iterator[Item]:
    """Yield the rows and rejects of the source. Raises FileError."""
    file = require_path(path / FILE if path.is_dir() else path, f"the file {FILE}")
    yield from rows(progress(_prompts(file), "prompts"), "clinc150")


def _prompts(path: Path) -> list[tuple[str, str]]:
    document = read_json(path)
    prompts = []
    for name in LISTS:
        for number, entry in enumerate(member(document, name, list, str(path)), 1):
            where = f"{path}: {name} {number}"
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
                raise FileError(f'{where}: a pair [text, "oos"] was expected')
            prompts.append((" ".join(entry[0].split()), where))
    return prompts
