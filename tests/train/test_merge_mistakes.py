"""The merge's messages for mistakes: broken mixtures, missing files, bad rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.merge_folder import MIX, make_folder, merge, said
from train.merging.mixture import MIXTURE, read_mixture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def test_bad_rows_are_skipped_with_file_and_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "sea.jsonl"
    (folder / "sea.jsonl.xz").unlink()
    good: dict[str, Any] = {"functions": [], "messages": [{"role": "user", "content": "Hi"}], "source": "sea"}
    answered = good | {"messages": [*good["messages"], {"role": "assistant", "content": "Hello."}]}
    path.write_text("\n".join(["{oops", json.dumps(good), json.dumps(answered)]) + "\n")
    assert sum(one.source == "sea" for one in merge(folder)) == 1
    error = capsys.readouterr().err
    assert f"left out: {path}:1: " in error
    assert f"left out: {path}:2: it must end with a message of the assistant" in error


def test_a_missing_file_is_an_error_and_an_optional_one_a_note(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sea.jsonl.xz").unlink()
    sentence = said(folder)
    assert (
        sentence
        == f"merge: sea.jsonl.xz is not in {folder}; make it with `python -m sea`, or leave it out with --exclude sea"
    )
    (folder / "mix.toml").write_text(MIX.replace('made_by = "python -m sea"', "optional = true"))
    assert {one.source for one in merge(folder)} == {"sky"}
    assert "without 'sea', which is optional" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("questions = 30", "questions = 0", "parts.0.questions: Input should be greater than 0"),
        ("questions = 30", 'question = "30"', "parts.0.questions: Field required"),
        ("share = 0.3", "share = 0.3\nshares = 2", "held_out.shares: Extra inputs are not permitted"),
        ('["sky/dialogue"]', '["sky/talk"]', "part 'sea' shares to 'sky/talk', which is no part"),
        ('kinds = ["dialogue"]', 'kinds = ["single"]', "two parts are 'sky/single'"),
        ("[files.sea]", "[files.lake]", "no part is of the file 'lake'"),
        ("parts = [", "parts = [[", "is no TOML: "),
    ],
)
def test_a_mistake_in_the_mixture_is_named(folder: Path, old: str, new: str, sentence: str) -> None:
    (folder / "mix.toml").write_text(MIX.replace(old, new))
    answer = said(folder)
    assert answer.startswith(f"merge: {folder / 'mix.toml'}")
    assert sentence in answer
    assert "\n" not in answer


def test_other_mistakes_are_sentences_too(folder: Path) -> None:
    assert "'lake' cannot be excluded: it is no file or source" in said(folder, "--exclude", "lake")
    assert "nothing is left" in said(folder, "--exclude", "sea", "sky")
    assert "nowhere.jsonl: cannot be read: No such file" in said(folder, "--not-in", str(folder / "nowhere.jsonl"))
    broken = folder / "broken.jsonl"
    broken.write_text('{"messages": []}\n')
    assert f"{broken}:1: no message of the user with text" in said(folder, "--not-in", str(broken))
    assert "x.jsonl: cannot be written: File exists" in said(
        folder, "--held-out", str(folder / "sky.jsonl" / "x.jsonl")
    )
    for name in ("sky.jsonl", "sea.jsonl"):
        (folder / name).write_text("")
    (folder / "sea.jsonl.xz").unlink()
    assert said(folder) == "merge: no row is left that could be taken"


def test_a_file_that_breaks_off_ends_the_run_and_keeps_the_old_set(folder: Path) -> None:
    merge(folder)
    before = (folder / "out.jsonl").read_bytes()
    whole = (folder / "sea.jsonl.xz").read_bytes()
    (folder / "sea.jsonl.xz").write_bytes(whole[:-30])
    assert "sea.jsonl.xz: cannot be read" in said(folder)
    assert (folder / "out.jsonl").read_bytes() == before


def test_the_shipped_mixture_can_do_without_the_share_alike_source() -> None:
    mixture = read_mixture(MIXTURE)
    (sgd,) = [part for part in mixture.parts if part.file == "sgd"]
    assert sgd.share_to == ["star/dialogue", "handwritten/multi_turn"]
    assert mixture.held_out.share == 0.05
    assert mixture.licence("snips+hwu64").count("CC") == 2
