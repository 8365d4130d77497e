"""`python -m evaluate` from end to end: figures, files, exit statuses and error messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from client.json_lines import FileError, write_whole
from core.errors import ModelError
from evaluate.__main__ import main
from evaluate.command_line import KEY_VARIABLE
from evaluate.local import WEIGHTS, load
from inference import Model
from prompt_template import Arguments
from tests.support.evaluate_doubles import CITY, Json, Reply, a_line, a_set, completion, playing
from tests.support.scripted_engine import ScriptedEngine

ROOT = Path(__file__).parents[2]
OSLO: tuple[str, Json] = ("city_weather", {"city": "Oslo"})
LINES = [
    a_line("Oslo?", OSLO),
    a_line("Rome?", ("city_weather", {"city": "Rome"})),
    a_line("Both?", OSLO, ("city_weather", {"city": "Rome"})),
    a_line("Thanks"),
]


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    return a_set(tmp_path / "towns.jsonl", LINES)


def status(*argv: object) -> int | str | None:
    """Run the program. Return its exit status, or its message if it exits with a message and status 1."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in argv])
    return ended.value.code


def result(folder: Path) -> Json:
    found: Json = json.loads((folder / "result.json").read_text())
    return found


def test_the_scripted_server_is_measured_end_to_end(
    towns: Path,
    tmp_path: Path,
    play: Callable[..., ScriptedEngine],
    played_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The program measures a server that answers every row with a call for Oslo.

    This answer is right for the first row, one call too few for the second, and wrong for the third.
    """
    engine = play('city_weather\n{"city": "Oslo"}')
    out = tmp_path / "out"
    assert status("--set", towns, "--no-call", towns, "--base-url", f"{played_url}/v1", "--out", out) == 0
    sets = result(out)["sets"]
    values = {name: figure["value"] for name, figure in sets["towns"]["metrics"].items()}
    assert values == {
        "exact_match": pytest.approx(1 / 3, abs=1e-6),
        "name_f1": pytest.approx(6 / 7, abs=1e-6),
        "args_f1": pytest.approx(4 / 7, abs=1e-6),
        "call_count": pytest.approx(2 / 3, abs=1e-6),
        "call_rate": 1.0,
        "no_call": 0.0,
        "valid_json": 1.0,
        "schema_valid": 1.0,
    }
    assert sets["towns"]["faults"] == {"wrong value": 1, "too few calls": 1, "unwanted call": 1}
    assert sets["no_call"]["metrics"]["no_call"]["value"] == 0.0
    assert sets["no_call"]["metrics"]["schema_valid"]["value"] == 0.0
    printed = capsys.readouterr().out
    assert printed.strip() == (out / "table.md").read_text().strip()
    assert " 33.3 (6.1-79.2) |" in printed
    steps = engine.num_steps
    assert status("--set", towns, "--no-call", towns, "--base-url", f"{played_url}/v1", "--out", out) == 0
    assert engine.num_steps == steps  # all answers were in the file, so no request was repeated


def test_a_larger_limit_asks_only_what_is_new_and_fields_of_the_body_reach_the_server(
    towns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-7")
    with playing(lambda _: Reply(completion("Hm."))) as server:
        command = ["--set", towns, "--base-url", server.url, "--model", "m", "--out", tmp_path / "out"]
        command += ["--body", '{"tool_choice": "required", "max_tokens": 5}', "--in-flight", "1", "--limit"]
        assert status(*command, "1") == 0
        assert status(*command, "3") == 0
    assert len(server.bodies) == 3
    assert set(server.keys) == {"Bearer sk-7"}
    for body in server.bodies:
        assert body["tool_choice"] == "required"
        assert (body["max_tokens"], body["temperature"], body["seed"], body["model"]) == (5, 0, 0, "m")
        assert body["tools"][0] == {"type": "function", "function": CITY}


def test_rows_without_an_answer_are_named_and_cost_the_exit_status(
    towns: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(body: Json) -> Reply:
        return Reply(b"nonsense") if body["messages"][0]["content"] == "Rome?" else Reply(completion(None, OSLO))

    with playing(script) as server:
        assert status("--set", towns, "--base-url", server.url, "--out", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert f"evaluate: no answer: {towns}:2: {server.url} sent an unusable answer" in captured.err
    assert "**1 rows got no answer**" in captured.out
    assert result(tmp_path / "out")["sets"]["towns"]["num_rows"] == 3


def test_a_server_that_vanishes_leaves_what_was_measured(
    towns: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server rejects the key after the first set. The first set's figures are kept, the second set is not sent."""
    other = a_set(tmp_path / "other.jsonl", [a_line(f"{i}?", OSLO) for i in range(5)])

    def script(body: Json) -> Reply:
        return Reply(completion("?")) if body["messages"][0]["content"] != "0?" else Reply(status=401)

    with playing(script) as server:
        command = ["--set", towns, other, "--in-flight", "1", "--base-url", server.url, "--out", tmp_path / "out"]
        assert status(*command) == 1
    assert "evaluate: stopped: " in capsys.readouterr().err
    assert result(tmp_path / "out")["sets"]["towns"]["num_rows"] == 4


def test_broken_lines_are_named_and_the_others_asked(
    towns: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    towns.write_text(towns.read_text() + "{broken\n")
    assert status("--set", towns, "--baseline", "first-function", "--out", tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert f"evaluate: left out: {towns}:5: The line is no JSON." in captured.err
    assert "**1 rows cannot be read**" in captured.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "missing.jsonl"], "evaluate: missing.jsonl: cannot be read: No such file or directory"),
        (["--set", "empty.jsonl"], "evaluate: empty.jsonl: no row to ask"),
        (["--set", "towns.jsonl", "--base-url", "http://127.0.0.1:9/v1"], "cannot be reached"),
        (["--set", "towns.jsonl", "--model", "/no/such/folder"], "evaluate: --model /no/such/folder"),
        (["--set", "towns.jsonl", "sub/towns.jsonl"], "evaluate: two sets are called 'towns'"),
        (["--set", "towns.jsonl", "--model", "x", "--adapter", "none"], "--adapter belongs to the embedded model"),
        (["--set", "towns.jsonl", "--adapter", "/no/such"], f"evaluate: --adapter /no/such: no {WEIGHTS} in it"),
        (["--set", "towns.jsonl", "--baseline", "first-function", "--out", "empty.jsonl"], "evaluate: empty.jsonl: "),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_status_1(
    towns: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(towns.parent)
    monkeypatch.setattr("client.endpoints.MAX_WAIT_S", 0.01)
    (towns.parent / "empty.jsonl").touch()
    (towns.parent / "sub").mkdir()
    a_set(towns.parent / "sub" / "towns.jsonl", LINES)
    said = status("--out", "out", *options)
    assert isinstance(said, str)
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name at least one file with --set or --no-call"),
        (["--set", "x", "--limit", "0"], "a whole number above 0 was expected, got '0'"),
        (["--set", "x", "--limit", "some"], "a whole number above 0 was expected, got 'some'"),
        (["--set", "x", "--timeout", "nan"], "a number was expected, got 'nan'"),
        (["--set", "x", "--timeout", "-1"], "a number of seconds above 0 was expected, got '-1'"),
        (["--set", "x", "--body", "[1]"], "a JSON object such as"),
        (["--set", "x", "--body", "{"], "a JSON object such as"),
        (["--set", "x", "--base-url", "http://x/v1", "--adapter", "none"], "have nothing to do with the server"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("--out", "out", *options) == 2
    assert message in capsys.readouterr().err


def test_results_of_earlier_sets_stay_while_the_model_is_the_same(towns: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", a_set(tmp_path / "other.jsonl", LINES[:1])
    base = ["--baseline", "first-function", "--out", out]
    assert status(*base, "--set", towns) == 0
    assert status(*base, "--set", other) == 0
    assert set(result(out)["sets"]) == {"towns", "other"}
    with playing(lambda _: Reply(completion("?"))) as server:
        third = a_set(tmp_path / "third.jsonl", LINES[:1])
        assert status("--base-url", server.url, "--out", out, "--set", third) == 0
    assert set(result(out)["sets"]) == {"third"}


def test_a_folder_with_something_else_in_it_is_not_written_over(towns: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    base = ["--baseline", "first-function", "--out", out, "--set", towns]
    for text in ("{", "[]", '{"model": 1, "sets": {}}', '{"model": "m", "sets": {"a": {}}}'):
        out.mkdir(exist_ok=True)
        (out / "result.json").write_text(text)
        assert "no result of `python -m evaluate`" in str(status(*base))
        assert (out / "result.json").read_text() == text
    (out / "result.json").unlink()
    assert status(*base) == 0
    assert "holds answers of another run (body differ)" in str(status(*base, "--body", '{"top_p": 0.5}'))


def test_the_mean_over_unseen_functions_is_told_when_its_sets_were_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ping = a_line("Ping", ("ping", {}), functions=[{"name": "ping"}])
    names = ("sealtool", "toolalpaca", "apibank_l1")
    for name, lines in zip(names, ([ping], [ping], LINES[:1]), strict=True):
        a_set(tmp_path / f"{name}.jsonl", lines)
    base = ["--baseline", "first-function", "--out", tmp_path / "out"]
    assert status(*base, "--set", *(tmp_path / f"{name}.jsonl" for name in names)) == 0
    assert "Mean exact match of sealtool, toolalpaca, apibank_l1: 66.7" in capsys.readouterr().out


def test_a_file_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "table.md"
    write_whole(path, "old")

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileError, match="cannot be written: No space"):
        write_whole(path, "new")
    assert path.read_text() == "old"


def test_adapters_are_told_apart_by_their_content(
    tmp_path: Path, chatml: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters with different content are different models, even if they have the same path. So are ways of binding.

    If only paths were compared, answers of two checkpoints of a training run would be mixed in one folder.
    """
    seen: list[Path | None] = []

    def load_embedded(adapter: Path | None, arguments: Arguments | None) -> Model:
        seen.append(adapter)
        return replace(chatml, arguments=arguments or "free")

    monkeypatch.setattr("evaluate.local.embedded_model", load_embedded)
    names = [load(None, "none")[1]]
    for content in (b"one", b"two"):
        (tmp_path / WEIGHTS).write_bytes(content)
        names.append(load(None, str(tmp_path))[1])
    names.append(load(None, str(tmp_path), "schema")[1])
    assert names[0].endswith(", no adapter")
    assert names[3] == f"{names[2]}, arguments by the schema"
    assert len(set(names)) == 4
    assert seen == [None, tmp_path, tmp_path, tmp_path]
    with pytest.raises(ModelError, match="give the folder that training wrote"):
        load(None, str(tmp_path / "nothing"))


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_program_reports_what_it_has(
    towns: Path, tmp_path: Path, word: signal.Signals, in_background: bool
) -> None:
    """If the program is interrupted while its second request waits, the program reports the first answer.

    Regression test: started with a shell's `&`, the program ignored SIGINT.
    """
    out = tmp_path / "out"

    def script(_: Json) -> Reply:
        return Reply(completion(None, OSLO), delay_s=60.0 if len(server.bodies) > 1 else 0.0)

    with playing(script) as server:
        options = ["--set", str(towns), "--base-url", server.url, "--in-flight", "1", "--out", str(out)]
        process = subprocess.Popen(
            [sys.executable, "-m", "evaluate", *options],
            cwd=ROOT,
            env=os.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN) if in_background else None,
        )
        while len(server.bodies) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(word)
        printed, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "evaluate: stopped: interrupted; the same command resumes" in said
    assert "Traceback" not in said
    assert "**3 rows got no answer**" in printed
    assert result(out)["sets"]["towns"]["num_rows"] == 1


def test_the_program_says_what_it_is_for() -> None:
    command = [sys.executable, "-m", "evaluate", "--help"]
    message = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert "measures a model on sets of rows" in " ".join(message)
