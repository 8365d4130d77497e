"""Tools from what a command line names: Python files, OpenAPI documents, and a configuration of MCP servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.mcp import mcp_tools
from agent.openapi import openapi_tools
from agent.python_file import tools_of
from agent.tools import Tool, by_name


@contextmanager
def opened(
    *,
    python: Sequence[Path] = (),
    openapi: Sequence[str | Path] = (),
    mcp: Sequence[Path] = (),
    allow_hosts: Sequence[str] = (),
    allow_private: bool = False,
) -> Iterator[tuple[Tool, ...]]:
    """Open all sources, and close them at the end. Raises ToolSourceError for one that cannot be used.

    openapi: files and URLs. allow_hosts, allow_private: what their requests may reach (agent/openapi.py).
    """
    with ExitStack() as stack:
        tools = [one for file in python for one in tools_of(file)]
        for document in openapi:
            tools += openapi_tools(document, allow_hosts=allow_hosts, allow_private=allow_private)
        tools += stack.enter_context(mcp_tools(*mcp))
        yield tuple(by_name(tools).values())
