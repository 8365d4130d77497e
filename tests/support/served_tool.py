"""A tool of the server, for tests of requests that ask for one."""

from __future__ import annotations

from dataclasses import dataclass

from core.conversation import Function


@dataclass(frozen=True)
class ServedTool:
    """A tool that is never run."""

    function: Function
    source: str = "my_tools.py"
    needs_confirmation: bool = False
