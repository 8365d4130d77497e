"""Failures of a teacher step.

The teacher fails, stops answering or rejects the key, the disk is full, or files and options are wrong.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripted_teacher import Reply, teaching
from tests.support.teacher_rows import CALLED, USER, line, minutes, prompts, read, right, run, written
from train import calls, interpretations, results
from train import prompts as prompts_step
from train.rows import read_rows
from train.teacher import command_line as teacher
from train.teacher.files import StepOutput

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "FIRST_WAIT_S", 0.001)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "made" / "out.jsonl"


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(gone=True), Reply(after_s=1.0), Reply(raw="<html>")])
def test_a_teacher_that_fails_once_and_one_that_is_gone(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], reply: Reply
) -> None:
    """A teacher stops answering after three rows. The three rows are kept, and the run ends without trying all rows."""
    source = written(tmp_path / "in.jsonl", prompts(40))
    with teaching(lambda body: right(body) if minutes(body) <= 3 else reply) as server:
        status = run(calls.main, source, out, server.url, "--in-flight", "3", "--timeout", "0.1")
    assert status == 1
    assert len(read(out)) == 3
    said = capsys.readouterr().err
    assert "calls: stopped: 6 requests in a row got no answer; the last: " in said
    assert f"the same command resumes from {out}" in said
    assert "Traceback" not in said


def test_500_once_is_no_loss(tmp_path: Path, out: Path) -> None:
    source = written(tmp_path / "in.jsonl", prompts(4))
    with teaching(lambda body: Reply(status=500) if len(server.asked) == 2 else right(body)) as server:
        assert run(calls.main, source, out, server.url, "--in-flight", "1") == 0
    assert len(read(out)) == 4


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_key_or_model_ends_the_run_at_once(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    source = written(tmp_path / "in.jsonl", prompts(9))
    with teaching(lambda body: Reply("who are you?", status=status)) as server:
        assert run(calls.main, source, out, server.url, "--in-flight", "2") == 1
        assert len(server.asked) <= 2
    assert f"stopped: {server.url} answered {status}: who are you?" in capsys.readouterr().err


def test_a_teacher_that_is_not_running(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "in.jsonl", prompts(2))
    assert run(calls.main, source, out, "http://127.0.0.1:9/v1") == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert run(calls.main, source, out, "ftp://somewhere") == 1
    assert "ftp://somewhere" in capsys.readouterr().err


def test_a_full_disk(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit on file sizes stands for a full disk: writing fails in the middle of a line."""
    source = written(tmp_path / "in.jsonl", prompts(9))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with teaching(right) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, limits[1]))
        try:
            assert run(calls.main, source, out, server.url, "--in-flight", "1") == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        said = capsys.readouterr().err
        assert f"{out}: cannot be written: {os.strerror(27)}; finished rows are kept" in said
        num_kept = out.read_bytes().count(b"\n")
        assert 0 < num_kept < 9
        num_asked = len(server.asked)
        assert run(calls.main, source, out, server.url) == 0
        assert len(server.asked) - num_asked == 9 - num_kept
    assert len(list(read_rows(out))) == 9


# Wrong files and options


def test_rows_that_do_not_fit_are_left_out_with_file_and_line(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "in.jsonl", [*prompts(1), line(USER, CALLED), {"messages": []}])
    source.write_text(source.read_text() + "{no json\n")
    with teaching(right) as server:
        assert run(calls.main, source, out, server.url) == 0
    said = capsys.readouterr().err
    for number, words in ((2, "must end with a user's message"), (3, "source"), (4, "no JSON")):
        assert re.search(f"left out: {re.escape(str(source))}:{number}: .*{words}", said)


@pytest.mark.parametrize(
    ("held", "words"), [(None, "cannot be read: No such file"), ("", "no line that this step can use")]
)
def test_nothing_to_ask(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], held: str | None, words: str
) -> None:
    source = tmp_path / "in.jsonl"
    if held is not None:
        source.write_text(held)
    for main in (prompts_step.main, calls.main, results.main, interpretations.main):
        assert run(main, source, out, "http://127.0.0.1:9/v1") == 1
        assert f"{source}: {words}" in capsys.readouterr().err
    assert not out.exists()


def test_output_of_another_run_is_not_mixed(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, other = written(tmp_path / "a.jsonl", prompts(2)), written(tmp_path / "b.jsonl", prompts(9)[5:])
    with teaching(right) as server:
        assert run(calls.main, source, out, server.url) == 0
        held = out.read_bytes()
        assert run(calls.main, other, out, server.url) == 1
        assert f"{out}:1 was made of another input" in capsys.readouterr().err
        out.write_bytes(held + b"mine\n")
        assert run(calls.main, source, out, server.url) == 1
        assert f"{out}:3: no row that this step has written" in capsys.readouterr().err
    assert out.read_bytes() == held + b"mine\n"


def test_a_dry_run_shows_three_samples_and_asks_nobody(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "in.jsonl", prompts(5))
    with pytest.raises(SystemExit) as ended:
        calls.main(["--in", str(source), "--out", str(out), "--dry-run"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.count("# asks") == 3
    assert f"# {source}:3" in shown
    assert "Set a timer for 3 minutes" in shown
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "o.jsonl"], "--teacher-url and --teacher-model say whom to ask"),
        (["--out", "o.jsonl.xz", "--dry-run"], "must end with .jsonl"),
        (["--out", "in.jsonl", "--dry-run"], "the same file"),
        (["--out", "o.jsonl", "--in-flight", "0"], "a whole number above 0 was expected"),
        (["--out", "o.jsonl", "--retries", "-1"], "not a whole number, 0 or more"),
        (["--out", "o.jsonl", "--timeout", "nan"], "a number was expected, got 'nan'"),
        (["--out", "o.jsonl", "--api-key", "schlüssel"], "printable ASCII"),
        (["--out", "o.jsonl", "--body", "[1]"], "a JSON object such as"),
    ],
)
def test_options_that_do_not_fit(capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        calls.main(["--in", "in.jsonl", *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_two_runs_into_one_file(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run into the same file is an error, since the runs would overwrite each other's lines."""
    source = written(tmp_path / "in.jsonl", prompts(1))
    out.parent.mkdir()
    with StepOutput(out, ()):
        assert run(calls.main, source, out, "http://127.0.0.1:9/v1") == 1
    assert f"{out}: another run is writing it" in capsys.readouterr().err


def test_a_dry_run_into_a_closed_pipe(tmp_path: Path) -> None:
    """A closed pipe is no error. Regression test: with `| head -1` the command reported a disk that is not writable."""
    source = written(tmp_path / "in.jsonl", prompts(3))
    command = f"{sys.executable} -m train.calls --in {source} --out {tmp_path}/o.jsonl --dry-run"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command.split(), cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")
