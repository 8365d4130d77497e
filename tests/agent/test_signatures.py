"""Function definitions are read from the signatures and docstrings of Python files."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.definitions.docstrings import read_docstring
from tests.support.definition_sources import SOURCES, read, written


def test_signatures_give_types_defaults_and_sentences_of_three_docstring_styles() -> None:
    functions, _ = read(SOURCES / "house.py")
    assert functions["set_heating"] == {
        "name": "set_heating",
        "description": "Heat a room.",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string", "description": "The room, as it is written on its door."},
                "degrees": {"type": "number", "description": "Wanted temperature in Celsius.", "default": 20.5},
                "mode": {"type": "string", "enum": ["eco", "comfort"]},
                "until": {"type": "string", "format": "date-time"},
            },
            "required": ["room"],
        },
    }
    lamp = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What people call it."},
            "brightness": {"type": "integer"},
        },
        "required": ["name"],
    }
    assert functions["switch_lamps"]["parameters"] == {
        "type": "object",
        "properties": {
            "lamps": {"type": "array", "items": lamp, "description": "All lamps that are meant."},
            "state": {"type": "string", "enum": ["on", "off"], "description": "What they shall be."},
        },
        "required": ["lamps", "state"],
    }
    shutter = functions["open_shutter"]["parameters"]["properties"]
    assert shutter["window"] == {"type": "string", "description": "Which window."}
    assert shutter["percent"] == {"type": "integer", "description": "How far, 0 is closed.", "default": 100}


def test_functions_that_cannot_be_defined_are_rejected_with_file_and_line() -> None:
    functions, rejects = read(SOURCES / "house.py")
    assert set(functions) == {"set_heating", "switch_lamps", "open_shutter"}
    lines = (SOURCES / "house.py").read_text().splitlines()
    for start, words in (("def log(", "'*lines'"), ("def untold(", "no description"), ("def swap(", "'complex'")):
        (number,) = (number for number, line in enumerate(lines, 1) if line.startswith(start))
        assert words in rejects[f"house.py:{number}"]


def test_a_python_file_is_read_and_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = f'import pathlib\npathlib.Path({str(mark)!r}).touch()\ndef f(x: int = pathlib.sep):\n    """Do."""\n'
    functions, _ = read(written(tmp_path, "a.py", text))
    assert functions["f"]["parameters"]["properties"] == {"x": {"type": "integer"}}
    assert not mark.exists()


def test_classes_inside_each_other_end(tmp_path: Path) -> None:
    text = "class Node(BaseModel):\n    next: 'Node | None' = None\n\ndef f(n: Node):\n    '''Walk.'''\n"
    functions, _ = read(written(tmp_path, "a.py", text))
    node = functions["f"]["parameters"]["properties"]["n"]
    assert node["properties"] == {"next": {"type": "object"}}


FRAGMENTS = ["Args:", "\n", "    ", "a (int)", ":", ":param", "Parameters\n----------\n", "x : int", ":type a: int"]
FRAGMENTS += ["Examples\n--------\n", "\t", ">>> f()", "Returns:", "@param a:", "\x0c", ", optional", "Default is 3"]


@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(FRAGMENTS),
        max_size=14,
    ).map("".join)
)
@settings(deadline=None, max_examples=500)
def test_any_docstring_can_be_read(text: str) -> None:
    read_docstring(text)


def test_a_docstring_on_which_the_library_fails_is_text() -> None:
    """docstring_parser raises an IndexError for a reST field with a type but without a name."""
    text = "\t:\x0c:paramx : intReturns\n-------\n\t:type a: int    Examples\n--------\n>>> f()x : int"
    assert read_docstring(text).text


def test_a_hostile_docstring_takes_no_time() -> None:
    """A regular expression of docstring_parser took 4 s for each parameter with 1,000 opening brackets."""
    started = time.monotonic()
    read_docstring("Do it.\n\nArgs:\n" + f"    {'(' * 3000}: x\n" * 6)
    assert time.monotonic() - started < 5


STYLES = {
    "google": ("\nArgs:\n", "    {name} (int, optional): {text}\n", "\nReturns:\n    x: Nothing.\n"),
    "numpy": ("\nParameters\n----------\n", "{name} : int\n    {text}\n", "\nReturns\n-------\nx\n    Nothing.\n"),
    "rest": ("\n", ":param int {name}: {text}\n", ":returns: Nothing.\n"),
    "epydoc": ("\n", "@param {name}: {text}\n", "@return: Nothing.\n"),
}


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True).map(lambda name: f"p_{name}"),
        st.from_regex(r"[A-Z][a-z(): ]{0,30}[a-z]\.", fullmatch=True),
        max_size=5,
    ),
    st.sampled_from(sorted(STYLES)),
)
@settings(deadline=None)
def test_a_sentence_is_found_in_every_style(said: dict[str, str], style: str) -> None:
    head, item, end = STYLES[style]
    items = "".join(item.format(name=name, text=text) for name, text in said.items())
    found = read_docstring(f"Do it\n(all of it).\n\nIt takes\na second.\n{head if said else ''}{items}{end}")
    assert found.summary == "Do it (all of it)."
    assert found.text == "Do it (all of it). It takes a second."
    assert found.parameters == {name: " ".join(text.split()) for name, text in said.items()}
