"""Defines a tool: a function that the model may call, and what runs when it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from core.conversation import Function

Json = dict[str, Any]

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Tool:
    """A function that the model may call, and what runs when it does.

    run: gets the decoded arguments, which fit `function.parameters`, and returns any value (agent/results.py makes it a
    text for the model). Its exceptions become results too.
    source: where the tool comes from: a file or the name of an MCP server.
    own_name: its name there; empty if it is the function's.
    needs_confirmation: it runs only after somebody has confirmed the call.
    timeout_s: how long a call may take.
    """

    function: Function
    run: Callable[[Json], Awaitable[object]]
    source: str = ""
    own_name: str = ""
    needs_confirmation: bool = False
    timeout_s: float = TIMEOUT_S

    @property
    def name(self) -> str:
        return self.function.name


class ToolError(Exception):
    """A call failed. The model reads the message as the result of the call, without the name of this class."""


class ToolSourceError(Exception):
    """A source of tools cannot be used. The message is one line that says what is wrong and what would be right."""


def by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    """Return the tools by name. Raises ToolSourceError for two tools of one name."""
    found: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in found:
            sources = " and ".join(f"{one.source or 'no file'}" for one in (found[tool.name], tool))
            raise ToolSourceError(f"two tools have the name {tool.name!r} ({sources}); rename one of them")
        found[tool.name] = tool
    return found
