"""The tools of a Python file: what it defines, how it may fail, and in which loop its functions run."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from agent.calls import Confirmation, run_call
from agent.python.file import tools_of
from agent.sources import opened
from agent.tools import Tool, ToolSourceError
from core.conversation import Call


def written(folder: Path, text: str, name: str = "my_tools.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def names(path: Path) -> list[str]:
    return [one.name for one in tools_of(path)]


def result_of(made: Tool, **arguments: object) -> str:
    return asyncio.run(
        run_call({made.name: made}, Call(made.name, json.dumps(arguments), "1"), Confirmation(None), 1_000)
    ).text


PUBLIC = """
from __future__ import annotations
from dataclasses import dataclass
from json import dumps
from typing import TypedDict

@dataclass
class Place:
    name: str

class Way(TypedDict):
    stops: list[Place]

def plan(way: Way, start: Place | None = None) -> str:
    "Plan a way."
    return dumps([one.name for one in way["stops"]])

def _hidden() -> None: ...

again = plan
"""


def test_without_marked_functions_all_public_ones_are_tools(tmp_path: Path) -> None:
    """A dataclass needs its module in sys.modules, and neither an imported function nor a second name is a tool."""
    path = written(tmp_path, PUBLIC)
    (plan,) = tools_of(path)
    assert (plan.name, plan.function.description, plan.source) == ("plan", "Plan a way.", str(path))
    assert result_of(plan, way={"stops": [{"name": "Rome"}]}) == '["Rome"]'


def test_with_marked_functions_only_those_are_tools(tmp_path: Path) -> None:
    text = "from agent import tool\n\n@tool\ndef a() -> int:\n    return 1\n\n@tool(name='c')\ndef b(): ...\n"
    text += "def d(): ...\n"
    assert names(written(tmp_path, text)) == ["a", "c"]


def test_what_all_lists_are_the_tools(tmp_path: Path) -> None:
    text = "from math import sqrt\nfrom agent import tool\n__all__ = ['LIMIT', '_f', 'g']\nLIMIT = 3\n"
    text += "def _f(x: int): ...\n@tool\ndef g(): ...\ndef h(): ...\n"
    assert names(written(tmp_path, text)) == ["_f", "g"]
    with pytest.raises(ToolSourceError, match="'__all__' lists 'z', which the file does not define"):
        tools_of(written(tmp_path, "__all__ = ['z']\n"))


def test_a_file_may_import_a_file_of_its_folder(tmp_path: Path) -> None:
    written(tmp_path, "from agent import tool\n@tool\ndef shared() -> str:\n    return 'x'\n", "beside_my_tools.py")
    path = written(tmp_path, "import beside_my_tools\nfrom beside_my_tools import shared\n")
    assert names(path) == ["shared"]


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    text = "from dataclasses import dataclass\n@dataclass\nclass P:\n    {0}: int\n"
    text += "def {0}(p: P) -> str:\n    return f'{{p}}'\n"
    first, second = (written(tmp_path / name, text.format(name)) for name in "ab")
    with opened(python=[first, second]) as tools:
        assert [result_of(one, p={one.name: 1}) for one in tools] == ["P(a=1)", "P(b=1)"]


def test_two_tools_of_one_name_are_an_error_that_names_both_files(tmp_path: Path) -> None:
    files = [written(tmp_path, "def f(): ...\n", name) for name in ("one.py", "two.py")]
    with (
        pytest.raises(ToolSourceError, match=r"two tools have the name 'f' \(.*one.py and .*two.py\)"),
        opened(python=files),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", "my_tools.py:1: no Python: invalid syntax"),
        ("x = 1\n\nimport no_such_module\n", "my_tools.py:3: ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1\ny = x / 0\n", "my_tools.py:2: ZeroDivisionError: division by zero"),
        ("def f():\n    1 / 0\nf()\n", "my_tools.py:2: ZeroDivisionError"),
        ("import broken_neighbour\n", "my_tools.py:1: no Python: '(' was never closed (broken_neighbour.py:2)"),
        ("import sys\nsys.exit(3)\n", "my_tools.py:2: it called sys.exit(3) while it was loaded"),
        ("raise ValueError('two\\nlines')\n", "my_tools.py:1: ValueError: two lines"),
        ("", "my_tools.py: it has no tools; define a function with type hints, or mark some with @tool"),
        ("class C: ...\n_x = 1\n", "it has no tools"),
        ("def f(*cities): ...\n", "my_tools.py: f: '*cities' stands for any number of arguments"),
        ("from agent import tool\n@tool\ndef f(x: C): ...\n", "my_tools.py:3: NameError"),
        ("from agent import tool\n\n@tool\ndef f(x: object, **y): ...\n", "ToolSourceError: f: '**y'"),
        ("\0", "no Python"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    written(tmp_path, "x = 1\ny = (\n", "broken_neighbour.py")
    with pytest.raises(ToolSourceError) as raised:
        tools_of(written(tmp_path, text))
    message = str(raised.value)
    assert message.startswith(str(tmp_path)) and words in message and "\n" not in message


def test_a_path_that_is_no_python_file(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "absent.py", "there is no such file"),
        (tmp_path, "its name must end with .py"),
        (written(tmp_path, "x: 1", "a.yaml"), "its name must end with .py"),
    ):
        with pytest.raises(ToolSourceError, match=words):
            tools_of(path)


def test_async_functions_of_a_file_share_a_loop_of_their_own(tmp_path: Path) -> None:
    """A function of a server's operator that blocks its event loop would stop all requests."""
    text = "import asyncio, threading\nasync def where() -> list[int]:\n    await asyncio.sleep(0)\n"
    text += "    return [threading.get_ident(), id(asyncio.get_running_loop())]\n"
    text += "async def too():\n    return await where()\n"
    where, too = tools_of(written(tmp_path, text))
    first, second = result_of(where), result_of(too)
    assert first == second and json.loads(first)[0] != threading.get_ident()
