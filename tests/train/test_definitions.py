"""Step 1 of the dataset pipeline: function definitions from files."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.definitions.candidates import Candidate, Unfit
from client.rows import parse_row
from tests.support.definition_sources import SOURCES, read, written
from train.definitions import checked, main

ROOM = {
    "name": "clean_room",
    "description": "Clean a room",
    "parameters": {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]},
}


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("one.json", ROOM),
        ("list.json", [ROOM]),
        ("tools.json", {"tools": [{"type": "function", "function": ROOM}]}),
        ("functions.json", {"functions": [ROOM]}),
        ("lines.jsonl", json.dumps({"function": ROOM, "source": "x"}) + "\n\n"),
        ("lines.json", json.dumps(ROOM) + "\n" + json.dumps({**ROOM, "name": "other"})),
    ],
)
def test_functions_are_found_in_every_shape_of_file(tmp_path: Path, name: str, held: object) -> None:
    functions, rejects = read(written(tmp_path, name, held))
    assert functions["clean_room"] == ROOM
    assert not rejects


def test_compressed_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.xz"
    path.write_bytes(lzma.compress(json.dumps(ROOM).encode()))
    assert read(path)[0]["clean_room"] == ROOM


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "all"}, "not all"),
        ({"name": "a b"}, "name"),
        ({"name": 3}, "string"),
        ({"description": " "}, "no description"),
        ({"description": "x" * 9_000}, "characters once printed"),
        ({"parameters": {"type": "array"}}, "object"),
        ({"parameters": {"type": "object", "properties": {"x": {"type": "strin"}}}}, "one of string"),
        ({"parameters": {"type": "object", "properties": {"x": {"$ref": "http://h/x"}}}}, "not local"),
        ({"parameters": {"type": "object", "properties": {}, "required": ["x"]}}, "'x', which is no property"),
        ({"parameters": {"type": "object", "properties": {"x": {"default": float("nan")}}}}, "JSON"),
    ],
)
def test_a_definition_that_cannot_be_taught_is_rejected_with_its_reason(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    functions, rejects = read(written(tmp_path, "a.json", [{**ROOM, **change}, {**ROOM, "name": "good"}]))
    assert list(functions) == ["good"]
    assert words in rejects["a.json#[0]"]


def test_the_same_definition_twice_is_one(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", f"{json.dumps(ROOM)}\n{json.dumps(ROOM)}\nno json\n[]\n")
    functions, rejects = read(path)
    assert list(functions) == ["clean_room"]
    assert "a.jsonl#1" in rejects["a.jsonl:2"]
    assert "no JSON" in rejects["a.jsonl:3"]
    assert "must be a JSON object" in rejects["a.jsonl:4"]


_KEYS = st.sampled_from(
    ["type", "properties", "required", "items", "$ref", "allOf", "enum", "#/properties/x", "x", "y"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=15,
)


@given(JSON)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_file_says_is_a_definition_or_a_reason(parameters: object) -> None:
    function = {**ROOM, "parameters": parameters}
    try:
        result = checked(Candidate("1", function))
    except Unfit as error:
        assert str(error)
    else:
        row = {"functions": [{**ROOM, "parameters": result.parameters}], "source": "s"}
        row["messages"] = [{"role": "assistant", "content": "-"}]
        assert parse_row(json.dumps(row).encode(), "").functions == (result,)


# The command


def test_the_command_writes_both_files_and_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "functions.jsonl"
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(out), *(str(SOURCES / name) for name in ("house.py", "library.json", "ferry.yaml"))])
    assert ended.value.code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0].keys() == {"function", "source", "typescript"}
    assert lines[0]["source"] == "house.py#set_heating"
    assert "type set_heating = (_: {" in lines[0]["typescript"]
    rejects = (tmp_path / "made" / "functions.rejects.jsonl").read_text().splitlines()
    assert f"{len(lines)} functions, {len(rejects)} rejected" in capsys.readouterr().err
    assert sorted(path.name for path in out.parent.iterdir()) == ["functions.jsonl", "functions.rejects.jsonl"]


def test_a_dry_run_shows_three_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "o.jsonl"), "--dry-run", str(SOURCES / "library.json")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.count("namespace functions {") == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "held", "words"),
    [
        ("a.py", "def f(:\n", "a.py:1: no Python"),
        ("a.json", "{", "no JSON"),
        ("a.json", "3", "functions are objects"),
        ("a.yaml", "a: [1\nb: {", "a.yaml:2: no YAML"),
        ("a.json", "[" * 100_000, "too deep"),
        ("a.json", {"openapi": "3.0.0"}, "0 functions, 1 rejected"),
        ("a.jsonl", "", "0 functions"),
    ],
)
def test_nothing_useful_is_a_sentence_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, held: object, words: str
) -> None:
    path = written(tmp_path, name, held)
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "o.jsonl"), str(path)])
    assert ended.value.code == 1
    assert words in capsys.readouterr().err


def test_files_that_cannot_be_read_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    sources = [str(tmp_path / name) for name in ("absent.json", "latin.json")]
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "o.jsonl"), *sources])
    said = capsys.readouterr().err
    assert "absent.json: cannot be read: No such file" in said
    assert "latin.json: it is not UTF-8" in said
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "latin.json" / "o.jsonl"), str(SOURCES / "house.py")])
    assert "cannot be written" in str(ended.value.code)
