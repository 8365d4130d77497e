"""The merge of sources into a training set.

The tests cover weights, duplicates, overlap with other sets, held-out functions and reports.
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.rows import Row, row_text, write_rows
from core.conversation import Call, Message
from tests.support.merge_folder import MIX, PLANETS, dev_set, make_folder, merge, names, row, sky
from train.merge import main
from train.merging.candidates import is_held_out_name, normal_name
from train.rows import read_rows

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def test_parts_have_the_mixtures_numbers(folder: Path) -> None:
    rows = merge(folder)
    assert sorted((one.source, one.kind) for one in rows) == sorted(
        [("sky", "single")] * 30 + [("sky", "dialogue")] * 10 + [("sea", "single")] * 20
    )


def test_rows_come_mixed(folder: Path) -> None:
    assert {one.source for one in merge(folder)[:12]} == {"sky", "sea"}


def test_a_part_that_runs_out_leaves_its_share_to_the_others(folder: Path) -> None:
    rows = merge(folder, "--questions", "90")
    assert sum(one.kind == "dialogue" for one in rows) == len(PLANETS)
    assert len(rows) == 90


def test_tokens_bound_the_set(folder: Path) -> None:
    merge(folder, "--tokens", "1500")
    report = (folder / "out.report.md").read_text()
    num_tokens = int(report.split(" tokens")[0].split()[-1].replace(",", ""))
    assert 1400 < num_tokens <= 1500


def test_a_larger_set_of_one_seed_holds_the_smaller(folder: Path) -> None:
    small = {one.messages for one in merge(folder, "--questions", "20")}
    assert small < {one.messages for one in merge(folder, "--questions", "60")}
    assert small != {one.messages for one in merge(folder, "--questions", "20", "--seed", "1")}


def test_the_same_command_makes_the_same_files_in_every_process(folder: Path) -> None:
    command = [sys.executable, "-m", "train.merge", "--data", str(folder), "--mixture", str(folder / "mix.toml")]
    made = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run(
            [*command, "--out", str(folder / "o.jsonl")], cwd=ROOT, env=environment, check=True, capture_output=True
        )
        made.append([(folder / name).read_bytes() for name in ("o.jsonl", "o.report.md")])
        made[-1].append(lzma.decompress((folder / "o.held_out.jsonl.xz").read_bytes()))
    assert made[0] == made[1]


def test_rows_with_the_same_messages_are_one(folder: Path) -> None:
    """Rows are duplicates if they differ only in call ids, distractors or the file that they come from."""
    first = row("Dive to 7 meters", "dive", "sea")
    again = Row(
        first.functions,
        (first.messages[0], Message("assistant", None, (Call("dive", "{}", "x9"),))),
        "sea",
        first.meta,
    )
    write_rows(folder / "sea.jsonl.xz", [first, again, first])
    assert sum(one.source == "sea" for one in merge(folder)) == 1
    assert "| sea | duplicate | 2 |" in (folder / "out.report.md").read_text()


def test_held_out_functions_stay_out_of_the_training_set(folder: Path) -> None:
    rows, held = merge(folder), list(read_rows(folder / "out.held_out.jsonl.xz"))
    called = {call.name for one in held for call in one.calls}
    assert called
    assert called == {name for name in names(sky()) if is_held_out_name(normal_name(name), 0.3)} - {"look_8"}
    assert not called & names(rows)


def test_other_files_do_not_call_held_out_functions(folder: Path) -> None:
    """A row that calls a held-out function is dropped, also if another file spells the function's name differently."""
    held = next(
        name for name in ("look_0", "look_1", "look_2", "look_3", "look_4") if is_held_out_name(normal_name(name), 0.3)
    )
    write_rows(
        folder / "sea.jsonl.xz",
        [row("Dive deep", f"boats.{held.replace('_', '').upper()}", "sea"), row("Dive now", "dive", "sea")],
    )
    assert [one.messages[0].content for one in merge(folder) if one.source == "sea"] == ["Dive now"]


def test_an_answer_in_text_is_dropped_if_it_lists_a_held_out_function(folder: Path) -> None:
    """A row with an answer in text is dropped if it declares a held-out function.

    The answer may mention the function, so removing only the declaration is not enough.
    """
    text = Message("assistant", "I can't sing.")
    made = [
        Row(row("x", name).functions, (Message("user", f"Sing {name}"), text), "sky", {"kind": "single"})
        for name in ("look_0", "look_1", "look_2", "look_3", "look_4", "look_5", "look_6")
    ]
    write_rows(folder / "sky.jsonl", [*sky(), *made])
    kept = {one.functions[0].name for one in merge(folder, "--questions", "300") if not one.calls}
    assert kept == {f"look_{n}" for n in range(7) if not is_held_out_name(normal_name(f"look_{n}"), 0.3)}


def test_requests_of_other_sets_are_left_out_however_they_are_written(folder: Path) -> None:
    """Requests that occur in other sets are left out, no matter how they are written.

    A short request is found only as a whole message. A long one is found also within a message, as in joined requests.
    """
    made = [
        "Dive!",
        "dive",
        "First, DIVE to the old wreck! Then dive up.",
        "Dive to the old reef",
        "dive?? to the old   wreck",
    ]
    write_rows(folder / "sea.jsonl.xz", [row(text, "dive", "sea") for text in made])
    apart = dev_set(folder / "dev.jsonl", "dive", "Dive to the old wreck.")
    rows = [one for one in merge(folder, "--not-in", str(apart)) if one.source == "sea"]
    assert [one.messages[0].content for one in rows] == ["Dive to the old reef"]


def test_excluding_a_file_gives_its_share_to_the_parts_of_share_to(folder: Path) -> None:
    mixture = folder / "mix.toml"
    mixture.write_text(MIX.replace("questions = 20", "questions = 2"))
    rows = merge(folder, "--exclude", "sea")
    assert len(rows) == 42
    assert sum(one.kind == "dialogue" for one in rows) == 12


def test_excluding_a_source_leaves_out_its_rows_in_other_files(folder: Path) -> None:
    write_rows(
        folder / "sky.jsonl", [*sky(), row("Look at the waves", "dive", "sky+sea"), row("Look at it", "look", "sky")]
    )
    (folder / "sea.jsonl.xz").unlink()
    assert {one.source for one in merge(folder, "--exclude", "sea", "--questions", "500")} == {"sky"}


def test_a_file_may_be_made_of_others(folder: Path) -> None:
    (folder / "mix.toml").write_text(MIX.replace('made_by = "python -m sea"', 'made_of = ["north", "south"]'))
    (folder / "sea.jsonl.xz").unlink()
    write_rows(folder / "north.jsonl", [row("Swim north", "swim", "sea")])
    write_rows(folder / "south.jsonl.xz", [row("Swim south", "swim", "sea")])
    swum = {one.messages[0].content for one in merge(folder) if one.source == "sea"}
    assert swum == {"Swim north", "Swim south"}


def test_unchanged_rows_are_written_as_they_stand_and_packed_files_are_opened_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchanged rows are copied from their file. Only rows that lose a held-out function are written anew."""
    spaced = json.dumps(json.loads(row_text(row("Dive now", "dive", "sea"))), separators=(" , ", " : ")).encode()
    (folder / "sea.jsonl.xz").write_bytes(lzma.compress(spaced + b"\n"))
    opened: list[str] = []
    unpack = lzma.open

    def counted(path: Path, *mode: str) -> object:
        opened.append(path.name)
        return unpack(path, *mode)

    monkeypatch.setattr(lzma, "open", counted)
    merge(folder)
    assert opened.count("sea.jsonl.xz") == 1
    assert spaced in (folder / "out.jsonl").read_bytes().splitlines()


def test_the_report_counts_and_names_licences(folder: Path) -> None:
    merge(folder)
    report = (folder / "out.report.md").read_text()
    assert "60 rows, 60 calls" in report
    assert "`python -m train.merge --data " in report
    assert str(folder) not in report  # the report may be published
    assert "| sea | 20 | 40 | 20 | 20 |" in report
    assert "- sea: The sea, CC BY 4.0\n- sky: The sky, CC0 1.0" in report


def test_a_source_without_a_licence_line_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(folder / "sea.jsonl.xz", [row("Dive now", "dive", "ocean")])
    merge(folder)
    assert "no licence line for the source 'ocean'" in capsys.readouterr().err
    assert "- ocean: NO LICENCE LINE" in (folder / "out.report.md").read_text()


def test_a_dry_run_shows_three_rows_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    main(
        ["--data", str(folder), "--mixture", str(folder / "mix.toml"), "--out", str(folder / "out.jsonl"), "--dry-run"]
    )
    shown = capsys.readouterr().out
    assert shown.count("\n--- ") + shown.startswith("--- ") == 3
    assert "# Training set" in shown
    assert sorted(folder.iterdir()) == before
