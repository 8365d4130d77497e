"""Tools from what a command line names: Python files, OpenAPI documents, and a configuration of MCP servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.mcp import mcp_tools
from agent.python_file import tools_of
from agent.tools import Tool, by_name


@contextmanager
def opened(*, python: Sequence[Path] = (), mcp: Sequence[Path] = ()) -> Iterator[tuple[Tool, ...]]:
    """Open all sources, and close them at the end. Raises ToolSourceError for one that cannot be used."""
    with ExitStack() as stack:
        tools = [one for file in python for one in tools_of(file)]
        tools += stack.enter_context(mcp_tools(*mcp))
        yield tuple(by_name(tools).values())
