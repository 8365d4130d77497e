"""Write two small sources and a mixture of them, and run the command that merges them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.rows import Row, write_rows
from core.conversation import Call, Function, Message
from train.merge import main
from train.rows import read_rows

PLANETS = (
    "Mercury",
    "Venus",
    "Earth",
    "Mars",
    "Jupiter",
    "Saturn",
    "Uranus",
    "Neptune",
    "Pluto",
    "Ceres",
    "Eris",
    "Io",
)
MIX = """
parts = [
  {file = "sky", kinds = ["single"], questions = 30},
  {file = "sky", kinds = ["dialogue"], questions = 10},
  {file = "sea", questions = 20, share_to = ["sky/dialogue"]},
]
[files.sea]
made_by = "python -m sea"
[held_out]
share = 0.3
files = ["sky"]
[licences]
sky = "The sky, CC0 1.0"
sea = "The sea, CC BY 4.0"
"""


def row(
    text: str, name: str = "look_at", source: str = "sky", kind: str = "single", others: tuple[str, ...] = ()
) -> Row:
    """Return a row with one request and one call. The functions `others` are declared besides the called one."""
    functions = tuple(Function(one, f"Do {one}", {"type": "object", "properties": {}}) for one in (name, *others))
    call = Message("assistant", None, (Call(name, "{}", "call_0"),))
    return Row(functions, (Message("user", text), call), source, {"kind": kind})


def sky() -> list[Row]:
    singles = [
        row(f"Look at {planet} for {n} hours", f"look_{n}", others=(f"look_{n + 1}",))
        for n in range(8)
        for planet in PLANETS
    ]
    return singles + [row(f"Talk about {planet}, friend", kind="dialogue") for planet in PLANETS]


def make_folder(tmp_path: Path) -> Path:
    """Write the two sources and the mixture. Return their folder."""
    (tmp_path / "mix.toml").write_text(MIX)
    write_rows(tmp_path / "sky.jsonl", sky())
    write_rows(tmp_path / "sea.jsonl.xz", [row(f"Dive to {n} meters", "dive", "sea") for n in range(40)])
    return tmp_path


def merge(folder: Path, *options: str, out: str = "out.jsonl") -> list[Row]:
    """Run the command that merges the folder's sources. Return the rows that it wrote."""
    main(["--data", str(folder), "--mixture", str(folder / "mix.toml"), "--out", str(folder / out), *options])
    return list(read_rows(folder / out))


def said(folder: Path, *options: str) -> str:
    """Run the command that merges, which must end with status 1. Return its message without the progress bar."""
    with pytest.raises(SystemExit) as ended:
        merge(folder, *options)
    assert isinstance(ended.value.code, str)  # Python prints a text to stderr and exits with status 1
    return ended.value.code


def names(rows: list[Row]) -> set[str]:
    return {function.name for one in rows for function in one.functions}


def dev_set(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n" for text in texts))
    return path
