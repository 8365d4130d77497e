"""The boundaries between the rooms, checked: a stated boundary that nothing checks leaks."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = (
    *("core", "json_schema", "apis", "text", "guarantees", "drafting", "engines", "checkpoints", "web"),
    *("templates", "bench", "train", "evaluate"),
)


def imports(path: Path) -> set[str]:
    """All modules that a file imports at its top, by their full names and each of their beginnings."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            names.add(node.module or "")
    return {".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count(".") + 1)}


def sources() -> list[Path]:
    return [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]


def test_torch_is_not_loaded_by_importing_the_server() -> None:
    """Bad options, a missing folder and a port in use are to be refused at once, and torch takes seconds."""
    program = "import server, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_nothing_that_could_run_a_strangers_code(path: Path) -> None:
    """No eval, no pickle, no torch.load; trust_remote_code only to say no."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("eval", "exec", "torch.load", "pickle.load", "pickle.loads", "marshal.loads")
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        if isinstance(node, ast.Assert):
            pytest.fail(f"{path.name}:{node.lineno}: python -O removes asserts; raise an exception")
    assert not imports(path) & {"pickle", "marshal", "dill", "shelve"}


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_files_and_functions_stay_short(path: Path) -> None:
    """250 and 60 lines: past that it is two things."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 250, path.name
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"
