"""Function definitions are read from the signatures and docstrings of Python files."""

from __future__ import annotations

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


@given(st.text(max_size=200))
@settings(deadline=None)
def test_any_docstring_can_be_read(text: str) -> None:
    read_docstring(text)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True).map(lambda name: f"p_{name}"),
        st.tuples(
            st.sampled_from(["google", "numpy", "sphinx"]), st.from_regex(r"[A-Z][a-z ]{0,30}[a-z]\.", fullmatch=True)
        ),
        max_size=5,
    )
)
@settings(deadline=None)
def test_a_sentence_is_found_in_whatever_style_it_is_written(said: dict[str, tuple[str, str]]) -> None:
    by_style = {
        style: [(k, text) for k, (s, text) in said.items() if s == style] for style in ("google", "numpy", "sphinx")
    }
    lines = ["Do it.", "", *(f":param {name}: {text}" for name, text in by_style["sphinx"])]
    lines += ["", "Args:", *(f"    {name} (int): {text}" for name, text in by_style["google"])]
    lines += ["", "Parameters", "----------"]
    for name, text in by_style["numpy"]:
        lines += [f"{name} : int", f"    {text}"]
    found = read_docstring("\n".join(lines))
    assert found.summary == "Do it."
    assert found.parameters == {name: " ".join(text.split()) for name, (_, text) in said.items()}
