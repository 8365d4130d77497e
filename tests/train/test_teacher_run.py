"""A run of a teacher step: rows are processed in parallel, runs resume, and bad answers lead to rejects."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.scripted_teacher import Json, Reply, teaching
from tests.support.teacher_rows import CALLED, RESULT, USER, line, minutes, prompts, read, right, row, run, written
from train import calls, interpretations
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


def test_rows_are_asked_at_once_and_kept(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "in.jsonl", prompts(12))
    with teaching(lambda body: Reply(calls=right(body).calls, after_s=0.05)) as server:
        assert run(calls.main, source, out, server.url, "--in-flight", "4", "--api-key", "k") == 0
    assert server.peak == 4
    assert server.keys == {"Bearer k"}
    assert {body["model"] for body in server.asked} == {"t"}
    assert len({body["seed"] for body in server.asked}) == 12
    rows = list(read_rows(out))
    assert sorted(json.loads(row.calls[0].arguments)["minutes"] for row in rows) == list(range(1, 13))
    assert all(row.meta["teacher"] == "t" and row.kind == "single" for row in rows)
    assert "calls: 12 rows in" in capsys.readouterr().err


def test_the_same_command_resumes_and_asks_nothing_twice(tmp_path: Path, out: Path) -> None:
    source = written(tmp_path / "in.jsonl", prompts(6))
    with teaching(right) as server:
        assert run(calls.main, source, out, server.url, "--rows", "4") == 0
        torn = out.read_bytes()[:-7]  # as after a power failure while the fourth line was written
        out.write_bytes(torn)
        assert run(calls.main, source, out, server.url) == 0
        assert run(calls.main, source, out, server.url) == 0
    asked = [minutes(body) for body in server.asked]
    assert sorted(asked[:4]) == [1, 2, 3, 4]
    assert len(asked) == 7  # the incomplete row again, and the two remaining rows
    assert len(list(read_rows(out))) == 6


def test_a_killed_run_resumes(tmp_path: Path, out: Path) -> None:
    """SIGINT, as sent by Ctrl-C, gives a message and status 1. Rows that were finished before it are kept."""
    source = written(tmp_path / "in.jsonl", prompts(6))

    def slow_after_two(body: Json) -> Reply:
        return Reply(calls=right(body).calls, after_s=0 if minutes(body) <= 2 else 20 * is_slow)

    is_slow = True
    with teaching(slow_after_two) as server:
        whom = ["--teacher-url", server.url, "--teacher-model", "t", "--in-flight", "1"]
        command = [sys.executable, "-m", "train.calls", "--in", str(source), "--out", str(out), *whom]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        while len(server.asked) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=10)[1]
        assert process.returncode == 1
        assert f"interrupted; the same command resumes from {out}" in said
        assert "Traceback" not in said
        assert len(read(out)) == 2
        is_slow = False
        assert run(calls.main, source, out, server.url) == 0
    assert sorted(minutes(body) for body in server.asked) == [1, 2, 3, 3, 4, 5, 6]


def test_a_bad_answer_is_retried_with_another_seed_and_then_rejected(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "in.jsonl", prompts(3))

    def answers(body: Json) -> Reply:
        num_before = sum(minutes(other) == minutes(body) for other in server.asked)
        if minutes(body) == 1 or (minutes(body) == 2 and num_before == 1):
            return Reply("Beep!")
        return right(body)

    with teaching(answers) as server:
        assert run(calls.main, source, out, server.url, "--retries", "3", "--in-flight", "1") == 0
        asked = [(minutes(body), body["seed"]) for body in server.asked]
        assert [number for number, _ in asked] == [1, 1, 1, 1, 2, 2, 3]
        assert len(set(asked)) == 7
        assert run(calls.main, source, out, server.url) == 0
        assert len(server.asked) == 7  # rejected rows are not asked again
    (reject,) = read(out.with_name("out.rejects.jsonl"))
    assert reject["where"] == f"{source}:1"
    assert reject["reason"].startswith("no call")
    assert reject["answer"] == "Beep!"
    assert reject["row"]["messages"] == prompts(1)[0]["messages"]
    assert f"2 rows in {out}, 1 rejected ({out.with_name('out.rejects.jsonl')})" in capsys.readouterr().err


def test_only_bad_answers_give_status_1(tmp_path: Path, out: Path) -> None:
    source = written(tmp_path / "in.jsonl", prompts(2))
    with teaching(lambda body: Reply("", finish_reason="length")) as server:
        assert run(calls.main, source, out, server.url, "--retries", "0") == 1
    assert {reject["reason"] for reject in read(out.with_name("out.rejects.jsonl"))} == {"the answer is cut off"}


def test_a_lone_surrogate_is_a_bad_answer(tmp_path: Path, out: Path) -> None:
    """An answer with a lone surrogate is rejected: JSON can hold one as an escape, but UTF-8 cannot encode it."""
    source = written(tmp_path / "in.jsonl", [line(USER, CALLED, RESULT)])
    raw = '{"choices": [{"message": {"content": "Tea \\ud83c is ready"}, "finish_reason": "stop"}]}'
    with teaching(lambda body: Reply(raw=raw)) as server:
        assert run(interpretations.main, source, out, server.url, "--retries", "0") == 1
    assert "surrogate" in read(out.with_name("out.rejects.jsonl"))[0]["reason"]


def test_a_teacher_without_tools_is_asked_for_json(tmp_path: Path, out: Path) -> None:
    source = written(tmp_path / "in.jsonl", prompts(2))

    def answers(body: Json) -> Reply:
        if "tools" in body:
            return Reply("tools are not supported", status=400)
        return Reply(f'[{{"name": "set_timer", "arguments": {{"minutes": {minutes(body)}}}}}]')

    with teaching(answers) as server:
        assert run(calls.main, source, out, server.url) == 0
    assert len(read(out)) == 2


def test_an_error_of_the_teacher_is_reported_and_the_next_run_asks_again(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "in.jsonl", prompts(3))
    refused = {2}
    with teaching(lambda body: Reply("too long", status=400) if minutes(body) in refused else right(body)) as server:
        assert run(calls.main, source, out, server.url) == 1
        assert f"no answer: {source}:2: {server.url} answered 400: too long" in capsys.readouterr().err
        assert len(read(out)) == 2
        refused.clear()
        assert run(calls.main, source, out, server.url) == 0
    assert len(read(out)) == 3


def test_fields_of_every_request_take_the_place_of_the_steps(tmp_path: Path, out: Path) -> None:
    """The user may give fields for every request. They replace the step's own fields.

    Some servers reject temperature or max_tokens.
    """
    source = written(tmp_path / "in.jsonl", prompts(1))
    with teaching(right) as server:
        fields = '{"temperature": null, "max_tokens": null, "max_completion_tokens": 99}'
        assert run(calls.main, source, out, server.url, "--body", fields) == 0
    (body,) = server.asked
    assert body["max_completion_tokens"] == 99
    assert not body.keys() & {"temperature", "max_tokens"}


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_wherever_a_file_is_cut_off_its_whole_lines_are_kept(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "cut.jsonl"
    path.unlink(missing_ok=True)
    rows = [row(USER, {"role": "assistant", "content": f"{'é' * n}\u2028{n}"}) for n in range(4)]
    keys = [one.key for one in rows]
    with StepOutput(path, keys) as kept:
        for key, one in zip(keys, rows, strict=True):
            kept.keep(key, [one, one])
    held = path.read_bytes()
    cut = data.draw(st.integers(0, len(held)))
    path.write_bytes(held[:cut])
    with StepOutput(path, keys) as kept:
        assert kept.num_rows == held[:cut].count(b"\n")
        assert kept.done == set(keys[: (kept.num_rows + 1) // 2])
        todo = [(key, one) for key, one in zip(keys, rows, strict=True) if key not in kept.done]
        for key, one in todo:
            kept.keep(key, [one])
    assert {one.messages for one in read_rows(path)} == {one.messages for one in rows}
