"""`python -m train.everyday` as a user runs it: its output, resuming, and its error messages."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.rows import Row, row_text
from train.everyday import __main__ as everyday
from train.everyday import generator as generator_module
from train.everyday.generator import Generator
from train.everyday.part_file import PartFile
from train.rows import read_rows

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "train.everyday", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def part_of(path: Path, seed: int = 0) -> Path:
    return path.with_name(f".{path.name}.{seed}.part.jsonl")


def test_the_same_rows_in_every_process_packed_or_not(tmp_path: Path) -> None:
    """Every process writes the same rows, although the order of sets and the hashes of strings differ."""
    plain, packed = tmp_path / "a.jsonl", tmp_path / "sub" / "b.jsonl.xz"
    done = run("--out", str(plain), "--rows", "40", "--seed", "5", PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    everyday.main(["--out", str(packed), "--rows", "40", "--seed", "5"])
    assert plain.read_bytes() == lzma.decompress(packed.read_bytes())
    assert len(plain.read_bytes().splitlines()) == 40
    assert "40 rows" in done.stdout
    assert "rows: 100%" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "sub"], "no part is left"


def test_a_dry_run_shows_three_rows_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everyday.main(["--out", str(tmp_path / "x.jsonl"), "--dry-run"])
    shown = capsys.readouterr().out
    assert shown.count("--- ") == 3
    assert shown.count("namespace functions {") == 3
    assert shown.count("\nuser: ") >= 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "x.jsonl", "--rows", "0"], "--rows is 0; at least 1 row is needed"),
        (["--out", "x.jsonl", "--rows", "many"], "--rows"),
        (["--rows", "5"], "--out is missing"),
        (["--out", "x.json"], "has to end in .jsonl or .jsonl.xz"),
        (["--out", "/dev/null/x.jsonl", "--rows", "5"], "cannot be written"),
        (["--out", "x.jsonl", "--seed", "many"], "--seed"),
    ],
)
def test_bad_options_get_a_sentence_and_status_1(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        everyday.main(arguments)
    assert isinstance(ended.value.code, str), "a text as the code means status 1 and the text on stderr"
    assert ended.value.code.startswith("everyday: ")
    assert sentence in ended.value.code
    assert "\n" not in ended.value.code
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_told_and_the_rows_are_kept(tmp_path: Path) -> None:
    """If the output path is a folder, the error says so and the finished rows are kept."""
    out = tmp_path / "rows.jsonl"
    out.mkdir()
    with pytest.raises(SystemExit, match="cannot be written"):
        everyday.main(["--out", str(out), "--rows", "10"])
    assert len(part_of(out).read_bytes().splitlines()) == 10


@pytest.mark.parametrize("tail", [b"", b'{"functions": [{"na'])
def test_an_interrupted_run_resumes_and_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: bytes
) -> None:
    """An interrupted run resumes, even after an incomplete last line, and gives the same rows."""
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    everyday.generate(whole, 120, 3)
    interrupt_after(monkeypatch, 70)
    with pytest.raises(SystemExit, match="interrupted; the same command resumes"):
        everyday.main(["--out", str(out), "--rows", "120", "--seed", "3"])
    monkeypatch.undo()
    assert not out.exists()
    with part_of(out, 3).open("ab") as part:
        part.write(tail)
    made = count_draws(monkeypatch)
    everyday.generate(out, 120, 3)
    assert out.read_bytes() == whole.read_bytes()
    assert len(made) < 80, "the first 70 rows were read, not made again"


def interrupt_after(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    rows = Generator.rows

    def interrupted(self: Generator, start: int, stop: int) -> Iterator[Row]:
        yield from rows(self, start, num_rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "rows", interrupted)


def count_draws(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    row = Generator.row

    def counted(self: Generator, number: int) -> Row:
        made.append(number)
        return row(self, number)

    monkeypatch.setattr(Generator, "row", counted)
    return made


def test_rows_of_other_templates_are_not_resumed(tmp_path: Path) -> None:
    """Rows of other templates are not resumed: a file with rows of old and new templates could not be reproduced."""
    out, expected = tmp_path / "out.jsonl", tmp_path / "expected.jsonl"
    everyday.generate(expected, 30, 3)
    foreign = "".join(row_text(row) + "\n" for row in Generator(4).rows(0, 20))
    part_of(out, 3).write_text(foreign, encoding="utf-8")
    everyday.generate(out, 30, 3)
    assert out.read_bytes() == expected.read_bytes()


def test_a_part_of_more_rows_serves_a_run_of_fewer(tmp_path: Path) -> None:
    out, expected = tmp_path / "out.jsonl", tmp_path / "expected.jsonl"
    everyday.generate(expected, 10, 3)
    with PartFile(out, Generator(3), 20) as part:
        for row in Generator(3).rows(0, 20):
            part.write(row)
    assert everyday.generate(out, 10, 3) == 10
    assert out.read_bytes() == expected.read_bytes()


def test_fewer_rows_are_the_first_of_more(tmp_path: Path) -> None:
    few, many = (list(Generator(8).rows(0, count)) for count in (20, 60))
    assert few == many[:20]
    everyday.generate(tmp_path / "few.jsonl", 20, 8)
    assert list(read_rows(tmp_path / "few.jsonl")) == few


def test_templates_that_are_used_up_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error says when the templates give no more new rows.

    Without this error, the search for new rows would never end.
    """
    one = next(Generator(1).rows(0, 1))
    monkeypatch.setattr(generator_module, "MIXTURE", {"single": (1, lambda random: one)})
    with pytest.raises(SystemExit, match="no more than about 1 different rows"):
        everyday.main(["--out", str(tmp_path / "x.jsonl"), "--rows", "2"])
