"""Tests of MCP servers as sources of tools, with a small server (tests/support/mcp_servers.py) that breaks rules."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import Agent, Tool, ToolError, ToolSourceError
from agent.calls import Confirmation, run_call
from agent.events import ToolResult
from agent.loop import answer
from agent.mcp import process as mcp_process
from agent.mcp import session as mcp_session
from agent.mcp.tools import mcp_tools, unique_names
from agent.sources import opened
from apis.rules.fields import LEGAL_NAME, MAX_NAME
from core.conversation import Call, Message
from tests.support.scripted_chat import ScriptedChat

ROOT = Path(__file__).parents[2]
SERVER = str(ROOT / "tests" / "support" / "mcp_servers.py")
KEY = "sk-0123456789abcdef"


def config(mode: str = "good", *more: str, **keys: object) -> dict[str, Any]:
    return {"mcpServers": {"notes": {"command": sys.executable, "args": [SERVER, mode, *more], **keys}}}


def called(tool: Tool, **arguments: object) -> object:
    """Call a tool in a new event loop, as `Agent.run` does."""
    return asyncio.run(_awaited(tool, arguments))


async def _awaited(tool: Tool, arguments: dict[str, Any]) -> object:
    return await tool.run(arguments)


def failure(use: Callable[[], object]) -> str:
    with pytest.raises((ToolError, ToolSourceError)) as caught:
        use()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def start_failure(wrong: dict[str, Any]) -> str:
    def start() -> None:
        with mcp_tools(wrong):
            pass

    return failure(start)


def is_running(pid: int) -> bool:
    """Whether a process runs. A killed child of a killed parent may be a zombie until init reaps it."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids(file: Path, word: str = "start") -> list[int]:
    return [int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(word)]


def test_tools_have_legal_names_and_work_in_any_event_loop() -> None:
    with mcp_tools(config()) as tools:
        named = {tool.name: tool for tool in tools}
        assert list(named)[:3] == ["echo", "notes_add_new", "remove"]
        assert [tool.own_name for tool in tools[:2]] == ["", "notes.add/new"]
        assert {tool.source for tool in tools} == {"notes"}
        assert named["echo"].function.description == "Return the text."
        for _ in range(2):
            assert called(named["echo"], text="héllo") == "héllo"
        assert called(named["notes_add_new"], text="a") == "a"

        async def at_the_same_time() -> list[object]:
            return list(await asyncio.gather(*(_awaited(named["echo"], {"text": str(i)}) for i in range(20))))

        assert asyncio.run(at_the_same_time()) == [str(i) for i in range(20)]
    assert "is closed" in failure(lambda: called(named["echo"], text="late"))


def test_results_become_text() -> None:
    """Text and resources are joined, structured content stands in for missing text, what is binary is named."""
    with mcp_tools(config()) as tools:
        named = {tool.name: tool for tool in tools}
        assert called(named["structured"]) == '{"sum": 5}'
        assert called(named["mixed"]) == (
            "two\n[resource] file:///a.txt a\ninside b\n[left out: image/png]\n[left out: binary data]"
        )
        assert failure(lambda: called(named["picture"])) == "the result is image/png, and only text can be read"
        assert failure(lambda: called(named["fail"])) == "there is no such note"
        assert len(str(called(named["big"]))) == 1_000_000
        result = asyncio.run(run_call(named, Call("big", "{}", "1"), Confirmation(None), 1_000))
        assert len(result.text) < 1_100 and "cut" in result.text


def test_a_tool_that_cannot_be_used_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with mcp_tools(config()) as tools:
        assert not {"broken", "later"} & {tool.name for tool in tools} and len(tools) == 12
    assert "'notes': left out: tool 'later' runs as a task only" in caplog.text
    assert "'notes': left out: Invalid schema for tool 'broken'" in caplog.text


def test_half_a_surrogate_pair_does_not_end_the_session() -> None:
    """A model may write `"\\ud800"`. The `mcp` package's writer would fail on it, and with it the whole session."""
    with mcp_tools(config()) as (echo, *_):
        assert "surrogate" in failure(lambda: called(echo, text="\ud800"))
        assert called(echo, text="after") == "after"


def test_an_agent_asks_and_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mcp.json"
    server = {"type": "stdio", "command": "${env:PY}", "args": ["${SCRIPT}", "good"]}
    file.write_text(json.dumps({"servers": {"notes": server}}))
    monkeypatch.setenv("PY", sys.executable)
    monkeypatch.setenv("SCRIPT", SERVER)
    with opened(mcp=[file]) as tools:
        assert Agent(tools).tools == tools
        model = ScriptedChat([("echo", {"text": "one"}), ("echo", {"text": 2})], "It says one.")

        async def results() -> list[ToolResult]:
            events = answer(model, [Message("user", "?")], tools)
            return [event async for event in events if isinstance(event, ToolResult)]

        first, second = sorted(asyncio.run(results()), key=lambda one: one.is_error)
        assert first.text == "one" and "do not fit" in second.text and not second.has_run


def test_two_servers_with_a_tool_of_one_name() -> None:
    one, two = config(tools=["echo", "remove"])["mcpServers"]["notes"], config(tools=["echo"])["mcpServers"]["notes"]
    with mcp_tools({"mcpServers": {"a": one, "b.c": two}}) as tools:
        assert [tool.name for tool in tools] == ["a_echo", "remove", "b_c_echo"]
        assert [tool.own_name for tool in tools] == ["echo", "", "echo"]
        assert [called(tool, text=tool.source) for tool in (tools[0], tools[2])] == ["a", "b.c"]
    with pytest.raises(ToolSourceError, match="two MCP servers have the name 'notes'"), mcp_tools(config(), config()):
        pass


NAMES = st.sampled_from(["a", "b", "a.b", "b.c", "c", "a_b", "ü", "x" * 70, "a/b", ""])


@given(st.lists(st.tuples(NAMES, NAMES), unique=True))
def test_every_tool_has_a_legal_name_of_its_own(tools: list[tuple[str, str]]) -> None:
    """The tool `c` of the server `a.b` and the tool `b.c` of `a` would both be `a.b.c`."""
    names = unique_names(tools)
    assert len(set(names)) == len(names) == len(tools)
    assert all(LEGAL_NAME.fullmatch(name) and len(name) <= MAX_NAME for name in names)


@pytest.mark.parametrize(
    ("confirm", "confirmed"),
    [(None, ["remove"]), (False, []), (True, ["echo", "remove"]), (["echo"], ["echo"])],
)
def test_confirmations(confirm: object, confirmed: list[str]) -> None:
    with mcp_tools(config(tools=["echo", "remove"], confirm=confirm)) as tools:
        assert [tool.name for tool in tools if tool.needs_confirmation] == confirmed


def test_a_server_that_ends_in_a_call_is_started_again_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that ended it is not sent again, since it may have had an effect. After four starts it has to wait."""
    seen = tmp_path / "seen"
    with mcp_tools(config("good", str(seen))) as tools:
        named = {tool.name: tool for tool in tools}
        for _ in range(3):
            assert "whether the call took effect is not known" in failure(lambda: called(named["die"]))
            assert called(named["echo"], text="again") == "again"
        failure(lambda: called(named["die"]))
        assert "has ended 4 times within 60 s" in failure(lambda: called(named["echo"], text="x"))
        monkeypatch.setattr(mcp_session, "WINDOW_S", 0.0)
        assert called(named["echo"], text="later") == "later"
    lines = [line.split()[0] + line.split()[1] * line.startswith("call") for line in seen.read_text().splitlines()]
    assert lines == ["start", *["calldie", "start", "callecho"] * 3, "calldie", "start", "callecho"]


def test_a_huge_message_ends_the_server_and_not_the_memory() -> None:
    """A result without an end, 64 KiB at a time, would fill the memory of a client that reads whole lines."""
    with mcp_tools(config()) as tools:
        named = {tool.name: tool for tool in tools}
        assert "it sent a message of more than 8 MiB" in failure(lambda: called(named["huge"]))
        assert called(named["echo"], text="next") == "next"


def test_a_call_that_hangs_has_its_time() -> None:
    with mcp_tools(config(timeout_s=0.3)) as tools:
        hang = next(tool for tool in tools if tool.name == "hang")
        result = asyncio.run(run_call({"hang": hang}, Call("hang", "{}", "1"), Confirmation(None), 100))
        assert result.text == "Error: hang took longer than 0.3 s and was stopped" and result.seconds < 10


def test_a_server_that_hangs_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one call that hung, all later calls of the server took too long too, until the program ended."""
    monkeypatch.setattr("agent.mcp.session.PROBE_S", 0.2)
    with mcp_tools(config(timeout_s=2)) as tools:
        tool = {one.name: one for one in tools}
        ran = [ran_within(tool["hang"]), ran_within(tool["hang"])]
        assert all("took longer than 2 s" in text for text in ran)
        time.sleep(2)
        assert ran_within(tool["echo"], text="hi") == "hi"


def ran_within(tool: Tool, **arguments: object) -> str:
    call = Call(tool.name, json.dumps(arguments), "call_1")
    return asyncio.run(run_call({tool.name: tool}, call, Confirmation(None), 1_000)).text


def test_lines_that_are_no_messages_are_skipped() -> None:
    with mcp_tools(config("rubbish")) as (echo, *_):
        assert called(echo, text="fine") == "fine"


def test_a_server_that_ends_if_the_first_message_is_not_initialize() -> None:
    """The newest protocol begins with `server/discover`. Servers of some older libraries end at that."""
    with mcp_tools(config("initialize first")) as (echo, *_):
        assert called(echo, text="fine") == "fine"


def test_a_server_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nothing = {"mcpServers": {"notes": {"command": "no-such-command"}}}
    no_folder = config(cwd=str(tmp_path / "none"))
    text_file = tmp_path / "text"
    text_file.write_text("hello")
    unusable = {"mcpServers": {"notes": {"command": str(text_file)}}}
    assert "the command 'no-such-command' does not exist" in start_failure(nothing)
    assert "the folder" in start_failure(no_folder) and "does not exist" in start_failure(no_folder)
    assert "Permission denied" in start_failure(unusable)
    assert "it does not list its tools: it ended" in start_failure(config("dies after initialize"))
    assert "its list of tools has more than 100 pages" in start_failure(config("endless"))
    for module, name in ((mcp_session, "START_S"), (mcp_process, "GRACE_S")):
        monkeypatch.setattr(module, name, 0.5)
    assert "within 0.5 s" in start_failure(config("mute"))
    assert "it cannot be used within 0.5 s" in start_failure(config("silent"))


def test_the_last_errors_of_a_server_are_shown_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    failed = start_failure(config("dies", env={"API_KEY": KEY}))
    assert failed == (
        "MCP server 'notes': it cannot be used: it ended; its last errors: cannot start: bad key [secret]"
    )
    with mcp_tools(config(env={"API_KEY": KEY})) as tools:
        assert called(next(tool for tool in tools if tool.name == "secret")) == "the key is [secret]"
        assert KEY not in repr(tools)
    assert KEY not in caplog.text


@pytest.mark.parametrize("mode", ["child", "stubborn"])
def test_no_process_is_left(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`uvx` and `npx` start the server as a child of their own, which may outlive them."""
    monkeypatch.setattr(mcp_process, "GRACE_S", 0.5)
    seen = tmp_path / "seen"
    with pytest.raises(KeyboardInterrupt), mcp_tools(config(mode, str(seen))) as (echo, *_):
        assert called(echo, text="x") == "x"
        raise KeyboardInterrupt
    started = [*pids(seen), *pids(seen, "child")]
    assert len(started) == (2 if mode == "child" else 1) and not any(map(is_running, started))


def test_ctrl_c_in_a_call_ends_the_program_and_the_server(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = f"""
import asyncio, signal
from agent.mcp.tools import mcp_tools
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores SIGINT in background jobs
with mcp_tools({config("good", str(seen), tools=["hang"])!r}) as (hang,):
    print(flush=True)
    asyncio.run(hang.run({{}}))
"""
    with started(program) as process:
        while process.poll() is None and "call hang" not in seen.read_text():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    assert not is_running(pids(seen)[0])


@contextmanager
def started(program: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program until it prints a line."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "\n"
            yield process
        finally:
            process.kill()  # after a failure too, else the end of `with` waits for ever


def test_no_process_is_left_after_a_killed_program(tmp_path: Path) -> None:
    """SIGKILL ends the program without any cleaning up. The server's input closes, so that it exits by itself."""
    seen = tmp_path / "seen"
    used = config("good", str(seen))
    program = f"from agent.mcp.tools import mcp_tools\nwith mcp_tools({used!r}): print(flush=True), input()"
    with started(program) as process:
        process.kill()
    deadline = time.monotonic() + 20
    while is_running(pids(seen)[0]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pids(seen)[0])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "it has no servers"),
        ({"mcpServers": []}, "it has no servers"),
        ({"mcpServers": {"s": 1}}, "'mcpServers.s'"),
        ({"mcpServers": {"s": {}}}, "it needs a 'command' or a 'url'"),
        ({"mcpServers": {"s": {"command": "a", "url": "http://b"}}}, "and not both"),
        ({"mcpServers": {"s": {"command": "a", "args": "b"}}}, "mcpServers.s.args"),
        ({"servers": {"s": {"command": "a", "env": {"A": 1}}}}, "servers.s.env.A"),
        ({"mcpServers": {"s": {"command": "a", "type": "http"}}}, "the type 'http' needs a 'url'"),
        ({"mcpServers": {"s": {"url": "http://a", "type": "sse"}}}, "use streamable HTTP"),
        ({"mcpServers": {"s": {"url": "http://a", "type": "ws"}}}, "the type is 'ws'"),
        ({"mcpServers": {"s": {"url": "file:///etc/passwd"}}}, "must begin with http"),
        ({"mcpServers": {"s": {"command": "a", "timeout_s": 0}}}, "must be above 0"),
        ({"mcpServers": {"s": {"command": "${env:NOT_SET_AT_ALL}"}}}, "'NOT_SET_AT_ALL' is not set"),
        (config(tools=["ecko"]), "has no tool 'ecko'; its tools are echo, notes.add/new"),
        (config(confirm=["ecko"]), "has no tool 'ecko'"),
    ],
)
def test_a_wrong_configuration(wrong: dict[str, Any], said: str) -> None:
    assert said in start_failure(wrong)


def test_a_configuration_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "mcp.json"
    for content, said in ((None, "No such file"), ("{", "not JSON"), ("[" * 100_000, "not JSON"), ("[]", "object")):
        if content is not None:
            file.write_text(content)
        with pytest.raises(ToolSourceError, match=said) as caught, mcp_tools(file):
            pass
        assert str(caught.value).startswith(str(file))
    file.write_text('{"mcpServers": {"s": {"command": "nothing", "disabled": true}}}')
    with mcp_tools(str(file)) as tools:
        assert tools == ()
    file.write_text('{"mcpServers": {"s": {"command": "${NO_SUCH:-no-such}", "autoApprove": []}}}')
    caplog.set_level(logging.WARNING)
    with pytest.raises(ToolSourceError, match="'no-such' does not exist"), mcp_tools(file):
        pass
    assert "MCP server 's': ignored: autoApprove" in caplog.text


def test_the_package_is_not_imported_unless_it_is_used() -> None:
    """`import mcp` takes most of a second."""
    program = "import agent.sources, sys; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
