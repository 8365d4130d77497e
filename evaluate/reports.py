"""Results as files, read back with a sentence where they are none."""

from __future__ import annotations

import json
from pathlib import Path

from client.json_lines import FileError, Json, write_whole
from evaluate.table import summary

RESULT = "result.json"


def read_result(folder: Path) -> Json:
    """What `python -m evaluate --out FOLDER` measured: {"model", "sets": {name: report}}. Raises FileError."""
    path = folder / RESULT
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found["model"], str) and all(isinstance(of["rows"], dict) for of in found["sets"].values()):
            return dict(found)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; name a folder that `python -m evaluate --out` wrote") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise FileError(f"{path}: no result of `python -m evaluate`; delete it, or choose another --out")


def write_result(folder: Path, model: str, reports: Json) -> str:
    """result.json and table.md, whose text is returned; sets measured earlier with the same model stay in both."""
    result: Json = {"model": model, "sets": reports}
    if (folder / RESULT).exists() and (earlier := read_result(folder))["model"] == model:
        result["sets"] = {**earlier["sets"], **reports}
    write_whole(folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    text = summary(result)
    write_whole(folder / "table.md", text)
    return text
