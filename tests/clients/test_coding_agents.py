"""Codex CLI and Claude Code, unmodified: the model calls one of their tools, gets its output and answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import Conversing
from tests.support.client_environments import Environments, run_client
from tests.support.started_server import ROOT

Run = Callable[..., str]


def last_turn(server: Conversing) -> str:
    """Return the end of the last prompt: what the model was told last."""
    return server.engine.prompts[-1][-400:]


@pytest.fixture
def codex(environments: Environments, conversing_server: Conversing, tmp_path: Path) -> Run:
    """A function that runs `codex exec` with the settings of examples/codex.toml, in an empty folder."""
    home, work = tmp_path / "codex", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    settings = (ROOT / "examples" / "codex.toml").read_text()
    (home / "config.toml").write_text(settings.replace("http://localhost:8000", conversing_server.url))
    program = str(environments.folder("codex") / "node_modules" / ".bin" / "codex")

    def run(*arguments: str) -> str:
        options = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
        return run_client(
            conversing_server.url, program, "exec", *options, *arguments, home=tmp_path, cwd=work, CODEX_HOME=str(home)
        )

    return run


@pytest.mark.parametrize("environment", ["codex"])
def test_codex_runs_a_command(environment: str, codex: Run, conversing_server: Conversing) -> None:
    """Codex offers built-in tools and a namespace of tools besides its functions, and sends no `instructions`."""
    conversing_server.forget()
    assert codex("Run echo hi").strip() == "The command printed hi."
    assert conversing_server.paths == ["/v1/responses"] * 2
    assert "Process exited with code 0" in last_turn(conversing_server)


@pytest.mark.parametrize("environment", ["codex"])
def test_codex_applies_a_patch(environment: str, codex: Run, conversing_server: Conversing, tmp_path: Path) -> None:
    """For models that Codex knows, `apply_patch` is a custom tool with a Lark grammar."""
    conversing_server.forget()
    assert codex("--model", "gpt-5.5", "Add hello.txt").strip() == "The file is written."
    assert (tmp_path / "work" / "hello.txt").read_text() == "hi\n"
    assert "Success. Updated the following files" in last_turn(conversing_server)


@pytest.mark.parametrize("environment", ["claude-code"])
def test_claude_code_runs_a_command(
    environment: str, environments: Environments, conversing_server: Conversing, tmp_path: Path
) -> None:
    """Claude Code sends a message of the system after the user's, and asks for 32,000 tokens."""
    (program,) = (environments.folder(environment) / "node_modules").glob("@anthropic-ai/claude-code-*/claude")
    path = tmp_path / "bin"
    path.mkdir()
    (path / "claude").symlink_to(program)
    conversing_server.forget()
    script = str(ROOT / "examples" / "claude_code.sh")
    options = ("--print", "Run echo hi", "--allowedTools", "Bash", "--output-format", "json")
    answer = json.loads(
        run_client(conversing_server.url, script, *options, home=tmp_path, PATH=f"{path}:{os.environ['PATH']}")
    )
    assert (answer["result"], answer["is_error"], answer["num_turns"]) == ("The command printed hi.", False, 2)
    assert conversing_server.paths == ["/v1/messages"] * 2
    assert "hi" in last_turn(conversing_server)
