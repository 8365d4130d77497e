"""Check the boundaries between the packages, the rules for safe code, and the length of files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# A workshop may import any package. No package of the server imports a workshop.
WORKSHOPS = ("bench", "train", "evaluate")

# From top to bottom: a package imports only itself and packages in later lines.
ORDER: tuple[tuple[str, ...], ...] = (
    ("server",),
    ("web",),
    ("agent",),
    ("inference",),
    ("checkpoints",),
    ("engines",),
    ("guarantees", "drafting", "templates", "chat_templates", "client"),
    ("schema", "apis"),
    ("text",),
    ("prompt_template", "json_schema", "stores"),
    ("core",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

HTTP = {"fastapi", "starlette", "uvicorn"}
TORCH = {"torch", "transformers", "gguf", "accelerate", "safetensors", "sentencepiece"}
TOKENS = {"tokenizers", "llguidance"}

# For each package: lower packages that it must not import, and libraries that it must not import.
FORBIDDEN: dict[str, set[str]] = {
    "server": TORCH | TOKENS | {"engines", "guarantees", "drafting", "templates", "schema", "text", "prompt_template"},
    "web": TORCH | TOKENS | {"engines", "guarantees", "drafting", "templates", "schema", "text"},
    "agent": TORCH | TOKENS | {"fastapi", "engines", "guarantees", "drafting", "templates", "text", "prompt_template"},
    "client": TORCH | TOKENS | HTTP | {"schema", "text", "prompt_template", "core.generation"},
    "inference": TORCH | TOKENS | HTTP | {"engines", "templates", "schema"},
    "checkpoints": HTTP | {"apis", "guarantees", "drafting", "schema", "core.conversation"},
    "engines": HTTP | {"core.conversation", "prompt_template", "schema", "json_schema", "apis"},
    "guarantees": TORCH | HTTP | {"apis", "schema"},
    "drafting": TORCH | TOKENS | HTTP | {"apis", "schema"},
    "templates": TORCH | TOKENS | HTTP | {"text", "apis", "json_schema", "core.generation"},
    "chat_templates": (TORCH - {"transformers"})
    | TOKENS
    | HTTP
    | {"schema", "text", "apis", "json_schema", "core.generation"},
    "schema": TORCH | TOKENS | HTTP | {"prompt_template", "core.generation", "core.turn_format"},
    "text": TORCH | HTTP | {"json_schema"},
    "apis": TORCH | TOKENS | HTTP | {"prompt_template", "core.generation"},
    "prompt_template": TORCH | TOKENS | HTTP | {"core.generation"},
    "json_schema": TORCH | TOKENS | HTTP,
    "stores": TORCH | TOKENS | HTTP,
    "core": TORCH | TOKENS | HTTP,
}


def room_of(module: str) -> str:
    return module.split(".")[0]


def serving_files() -> list[Path]:
    """Return every file of the server: the modules at the top, and all folders but workshops, tests and examples."""
    others = (*WORKSHOPS, "tests", "examples")
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name.isidentifier()]
    folders = [path for path in folders if not (path / "pyvenv.cfg").exists()]  # a virtual environment of any name
    folders = [path for path in folders if path.name not in others]
    return sorted([*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))])


def sources() -> list[Path]:
    return [*serving_files(), *(path for shop in WORKSHOPS for path in sorted((ROOT / shop).rglob("*.py")))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, only_at_the_top: bool = False, but_main: bool = False) -> set[str]:
    """Return the modules that a file imports, and the packages that contain these modules.

    but_main: without those in the function `main`.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if but_main:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "main")]
    names: set[str] = set()
    for node in tree.body if only_at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count(".") + 1)}


def test_every_file_and_folder_of_the_server_has_a_place_in_the_order() -> None:
    found = {room_of(module_name(path)) for path in serving_files()}
    assert found == set(LEVEL), "name new rooms in ORDER"


def test_every_import_points_down() -> None:
    """A package imports only packages below it in the list of layers, and none of WORKSHOPS.

    The command line in inference.py, its function `main`, is an entry like the server and may import any package.
    """
    wrong: list[str] = []
    for path in serving_files():
        room = room_of(module_name(path))
        for name in imports(path, but_main=room == "inference"):
            other = room_of(name)
            is_above = other in LEVEL and other != room and LEVEL[other] <= LEVEL[room]
            if is_above or other in (*WORKSHOPS, "tests", "examples"):
                wrong.append(f"{module_name(path)} imports {name}")
    assert not wrong


def test_a_room_knows_only_what_it_may() -> None:
    """No package imports anything that FORBIDDEN lists for it.

    Imports inside functions count too. The exceptions are the packages that import torch only when they load a model.
    """
    wrong: dict[str, set[str]] = {}
    for path in serving_files():
        room = room_of(module_name(path))
        found = imports(path, only_at_the_top=room in ("server", "web", "inference", "checkpoints"))
        if known := found & FORBIDDEN[room]:
            wrong[module_name(path)] = known
    assert not wrong


def test_torch_is_not_loaded_by_importing_the_server() -> None:
    """Importing the server does not import torch, which takes seconds.

    Errors about options, folders and ports must appear at once.
    """
    program = "import server, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, check=False).returncode == 0


UNPICKLE = {"pickle", "marshal", "dill", "shelve"}
RUNS_CODE = {"eval", "exec", "torch.load", "pickle.load", "pickle.loads", "marshal.loads"}


def is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_nothing_that_could_run_a_strangers_code() -> None:
    """The code has no eval, pickle or torch.load, sets trust_remote_code only to False, and has no assert.

    `python -O` removes every assert.
    """
    wrong: list[str] = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_call = isinstance(node, ast.Call) and ast.unparse(node.func) in RUNS_CODE
            is_trust = isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and not is_false(node.value)
            if is_call or is_trust or isinstance(node, ast.Assert):
                wrong.append(f"{module_name(path)}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:60]}")
        wrong += [
            f"{module_name(path)} imports {name}" for name in imports(path) & {"pickle", "marshal", "dill", "shelve"}
        ]
    assert not wrong


def test_files_and_functions_stay_short() -> None:
    """A file has at most 400 lines and a function at most 60. A longer one should be split."""
    long: list[str] = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 400:
            long.append(module_name(path))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60:
                long.append(f"{module_name(path)}: {node.name}")
    assert not long
