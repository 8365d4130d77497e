"""Write and read sources of function definitions for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from train.definitions import collect

SOURCES = Path(__file__).parents[1] / "data" / "definitions"


def read(*paths: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the sources. Return the functions by name, and the reasons of the rejects by file name."""
    found = collect(paths)
    assert not found.faults
    functions: dict[str, Any] = {line["function"]["name"]: line["function"] for line in found.good}
    return functions, {Path(str(line["where"])).name: str(line["reason"]) for line in found.rejects}


def written(folder: Path, name: str, held: object) -> Path:
    path = folder / name
    path.write_text(held if isinstance(held, str) else json.dumps(held), encoding="utf-8")
    return path
