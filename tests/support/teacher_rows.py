"""Make rows for the tests of the teacher steps, and run the steps by their commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from client.endpoints import Answer
from client.rows import Row
from core.conversation import Call
from tests.support.scripted_teacher import Reply, question
from train.teacher.files import parse_unfinished_row

Json = dict[str, Any]
Main = Callable[[list[str]], None]

SET_TIMER: Json = {
    "name": "set_timer",
    "description": "Set a timer",
    "parameters": {
        "type": "object",
        "properties": {
            "minutes": {"type": "integer", "description": "Minutes", "minimum": 1},
            "label": {"type": "string"},
            "sound": {"type": "string", "enum": ["bell", "bird"]},
        },
        "required": ["minutes"],
    },
}
RING: Json = {"name": "ring", "description": "Ring the bell", "parameters": {"type": "object", "properties": {}}}
USER: Json = {"role": "user", "content": "Set a tea timer for 5 minutes, please."}
CALLED: Json = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "call_0", "type": "function", "function": {"name": "set_timer", "arguments": '{"minutes": 5}'}}
    ],
}
RESULT: Json = {"role": "tool", "tool_call_id": "call_0", "name": "set_timer", "content": '{"ends": "10:05"}'}


def line(*messages: Json, **fields: object) -> Json:
    return {"functions": [SET_TIMER, RING], "messages": list(messages), "source": "test", **fields}


def row(*messages: Json, **fields: object) -> Row:
    return parse_unfinished_row(json.dumps(line(*messages, **fields)).encode(), "in.jsonl:1")


def answer(text: str = "", *calls: tuple[str, str]) -> Answer:
    return Answer(text=text, calls=tuple(Call(name, arguments) for name, arguments in calls))


def prompts(count: int) -> list[Json]:
    """Return `count` different rows as the second teacher step writes them."""
    return [line({"role": "user", "content": f"Set a timer for {n} minutes"}) for n in range(1, count + 1)]


def written(path: Path, lines: Iterable[Json]) -> Path:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[Json]:
    return [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()]


def run(main: Main, source: Path, out: Path, url: str, *options: str) -> int:
    """Run the command of a teacher step. Return its exit status."""
    whom = ["--teacher-url", url, "--teacher-model", "t"]
    with pytest.raises(SystemExit) as ended:
        main(["--in", str(source), "--out", str(out), *whom, *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def minutes(body: Json) -> int:
    """Return the number of minutes in a request's question. Each of `prompts` has a different number."""
    found = re.search(r"timer for (\d+) minutes", question(body))
    assert found
    return int(found[1])


def right(body: Json) -> Reply:
    """Return a reply with the call that the request's question needs."""
    return Reply(calls=(("set_timer", f'{{"minutes": {minutes(body)}}}'),))
