"""Converts SNIPS, 2017-06-custom-intent-engines. snips.toml maps its seven intents to functions.

The validation files are never read, since they are a development set (snips_valid). Some files are in Latin-1, not
UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from client.json_lines import FileError, Json
from train.convert.common import Item, Reject, is_broken, member, progress, read_json, require_path
from train.convert.intents import Sentence, read_table, rows

TABLE = Path(__file__).with_name("snips.toml")
FOLDER = "2017-06-custom-intent-engines"


def items(folder: Path) -> Iterator[Item]:
    """Yield the rows and rejects of the source. Raises FileError."""
    table = read_table(TABLE)
    root = folder / FOLDER if (folder / FOLDER).is_dir() else require_path(folder, f"the folder {FOLDER}")
    paths = [_training_file(root / intent, intent) for intent in table.intents]
    yield from rows((said for path in progress(paths, "intents") for said in _sentences(path)), table, "snips")


def _training_file(folder: Path, intent: str) -> Path:
    names = [f"train_{intent}_full.json", f"train_{intent}.json"]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise FileError(f"{folder} holds neither {' nor '.join(names)}")
    return path


def _sentences(path: Path) -> Iterator[Sentence | Reject]:
    intent = path.parent.name
    for number, entry in enumerate(member(read_json(path, fallback="latin-1"), intent, list, str(path)), 1):
        where = f"{path}: sentence {number}"
        parts = member(entry, "data", list, where)
        text = " ".join("".join(member(part, "text", str, where) for part in parts).split())
        values = tuple(_value(part) for part in parts if "entity" in part)
        yield Reject(where, "broken characters") if is_broken(text) else Sentence(intent, text, values, where)


def _value(part: Json) -> tuple[str, str]:
    return str(part["entity"]), " ".join(part["text"].split())
