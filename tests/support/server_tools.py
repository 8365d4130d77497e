"""The tools of tests/support/my_tools.py as a server opens them, and the calls that ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.python.file import tools_of
from agent.tools import Tool
from core.conversation import Function

RAN: list[str] = []  # the calls that ran, in order
FILE = Path(__file__).with_name("my_tools.py")
SERVER_TOOLS = tools_of(FILE)


def served(name: str, *, parameters: dict[str, Any] | None = None) -> Tool:
    """Return a tool that returns its name."""

    async def run(_: dict[str, Any]) -> str:
        return name

    return Tool(Function(name, "", parameters), run)
