"""The whole pipeline from a Python file to rows with a scripted teacher, and one step against our own server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.definition_sources import SOURCES
from tests.support.scripted_engine import ScriptedEngine
from tests.support.scripted_teacher import Json, Reply, question, teaching
from tests.support.teacher_rows import USER, line, read, run, written
from train import calls, definitions, interpretations, prompts, results
from train.rows import read_rows


def teacher(body: Json) -> Reply:
    """Answer requests about the functions of tests/data/definitions/house.py.

    The text of a request tells which step of the pipeline has sent it.
    """
    asked = question(body)
    if "Write 2 requests" in asked:
        rooms = {"set_heating": "Heat the {} to 21 degrees", "open_shutter": "Open the {} shutter half way"}
        wish = next((text for name, text in rooms.items() if f"call of {name}" in asked), "Lamps on in {} please")
        return Reply(f"Here they are:\n{json.dumps([wish.format(room) for room in ('kitchen', 'attic')])}")
    if "tools" in body:
        name = {"Heat": "set_heating", "Open": "open_shutter", "Lamp": "switch_lamps"}[asked[:4]]
        known = {tool["function"]["name"] for tool in body["tools"]}
        return Reply(calls=((name if name in known else min(known), json.dumps(ARGUMENTS[name])),))
    if '"results"' in asked:
        return Reply('{"results": [{"done": true, "at": "10:15"}]}')
    return Reply("That is done since 10:15.")


ARGUMENTS: dict[str, Json] = {
    "set_heating": {"degrees": 21, "room": "kitchen"},
    "open_shutter": {"window": "kitchen", "percent": 50},
    "switch_lamps": {"state": "on", "lamps": [{"name": "kitchen"}]},
}


def test_from_a_python_file_to_rows(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.jsonl" for number in range(1, 6)]
    with pytest.raises(SystemExit) as ended:
        definitions.main(["--out", str(files[0]), str(SOURCES / "house.py")])
    assert ended.value.code == 0
    with teaching(teacher) as server:
        assert run(prompts.main, files[0], files[1], server.url, "--batch", "2", "--seed", "5") == 0
        assert run(calls.main, files[1], files[2], server.url) == 0
        assert run(results.main, files[2], files[3], server.url) == 0
        assert run(interpretations.main, files[3], files[4], server.url) == 0
        num_asked = len(server.asked)
        for step, source, out in zip((prompts, calls, results, interpretations), files, files[1:], strict=False):
            options = ("--batch", "2", "--seed", "5") if step is prompts else ()
            assert run(step.main, source, out, server.url, *options) == 0
        assert len(server.asked) == num_asked
    rows = list(read_rows(files[4]))
    assert len(rows) >= 3
    for row in rows:
        assert [message.role for message in row.messages] == ["user", "assistant", "tool", "assistant"]
        assert row.source.startswith("house.py#")
        assert row.kind == "single"
        assert row.meta.keys() >= {"persona", "style", "teacher", "from"}
        assert json.loads(row.calls[0].arguments) == ARGUMENTS[row.calls[0].name]


def test_our_own_server_teaches_through_its_tool_calls(
    tmp_path: Path, played_url: str, play: Callable[..., ScriptedEngine]
) -> None:
    """Our own server can be the teacher of a step. Its scripted engine answers in the embedded model's turn format.

    A call becomes a row. An answer in plain text is rejected as a bad answer, and the run ends with status 1.
    """
    play('set_timer\n{"minutes": 5}')
    source = written(tmp_path / "in.jsonl", [line(USER)])
    whom = ["--teacher-url", f"{played_url}/v1", "--teacher-model", "tiny"]
    out = tmp_path / "out.jsonl"
    with pytest.raises(SystemExit) as ended:
        calls.main(["--in", str(source), "--out", str(out), *whom])
    assert ended.value.code == 0
    (row,) = read_rows(out)
    assert [(call.name, call.arguments) for call in row.calls] == [("set_timer", '{"minutes": 5}')]
    play("all\nI would rather not.")
    unwilling = tmp_path / "unwilling.jsonl"
    with pytest.raises(SystemExit) as ended:
        calls.main(["--in", str(source), "--out", str(unwilling), *whom])
    assert ended.value.code == 1
    (reject,) = read(tmp_path / "unwilling.rejects.jsonl")
    assert reject["answer"].endswith("I would rather not.")
