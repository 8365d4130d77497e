"""The boundaries between the rooms, checked: a stated boundary that nothing checks leaks."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("engines", "templates", "rules", "bench", "train", "evaluate")
HEAVY = {"torch", "transformers", "tokenizers", "llguidance", "gguf", "accelerate", "safetensors", "sentencepiece"}
HTTP = {"fastapi", "starlette", "uvicorn", "http_edge", "http_errors", "event_stream", "lifecycle", "server"}

# What a room must not import, directly. `engines` is the contract alone; `engines.files` looks at files only.
FORBIDDEN: dict[str, set[str]] = {
    "conversation": HEAVY | HTTP | {"engines", "inference", "prompt_template"},
    "schema": HEAVY | HTTP | {"engines", "inference", "prompt_template", "output_parser", "openai_types"},
    "output_parser": HEAVY | HTTP | {"engines", "conversation", "openai_types", "tokenizer", "inference", "json"},
    "prompt_template": HEAVY | HTTP | {"engines", "tokenizer", "inference", "openai_types"},
    "guarantees": HEAVY | HTTP | {"tokenizer", "inference", "openai_types"},
    "openai_types": HEAVY | HTTP | {"engines", "tokenizer", "inference", "prompt_template", "output_parser"},
    "openai_answer": HEAVY | HTTP | {"engines", "tokenizer", "inference", "prompt_template"},
    "tokenizer": (HEAVY - {"tokenizers"}) | HTTP | {"engines", "inference", "conversation"},
    "inference": HEAVY | HTTP | {"choices"},
    "choices": HEAVY | HTTP | {"engines", "prompt_template", "tokenizer"},
    "server": HEAVY | {"engines", "prompt_template", "tokenizer", "output_parser", "guarantees", "schema", "templates"},
    "engines": HEAVY | HTTP | {"tokenizer", "inference", "prompt_template", "openai_types"},
    "engines.files": {"torch", "transformers", "tokenizers", "gguf"}
    | HTTP
    | {"tokenizer", "inference", "prompt_template", "conversation"},
    "engines.hf": HTTP | {"conversation", "prompt_template", "output_parser", "openai_types", "inference", "tokenizer"},
    "engines.sampling": HTTP | {"conversation", "prompt_template", "output_parser", "openai_types", "tokenizer"},
}
TEMPLATES_MAY = {
    *("__future__", "collections", "re", "typing"),
    *("conversation", "output_parser", "prompt_template", "schema", "templates"),
}


def module_path(name: str) -> Path:
    path = ROOT / Path(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


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


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_room_knows_only_what_it_may(name: str) -> None:
    found = imports(module_path(name))
    allowed_inside = {"engines.files"} if name == "inference" else set()
    assert not (found - allowed_inside) & FORBIDDEN[name]


@pytest.mark.parametrize("path", sorted((ROOT / "templates").glob("*.py")), ids=lambda path: path.stem)
def test_a_template_knows_messages_and_schemas_only(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} <= TEMPLATES_MAY


def test_every_module_in_the_list_exists() -> None:
    """Else the list would guard nothing."""
    assert all(module_path(name).is_file() for name in FORBIDDEN)


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
    """400 and 60 lines: past that it is two things."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, path.name
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"
