"""Tools from what a command line names: Python files, OpenAPI documents, and a configuration of MCP servers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from agent.mcp.tools import mcp_tools
from agent.openapi.tools import openapi_tools
from agent.python.file import tools_of
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

    openapi: files and URLs. allow_hosts, allow_private: what their requests may reach (agent/openapi/tools.py).
    """
    with ExitStack() as stack:
        tools = [one for file in python for one in tools_of(file)]
        for document in openapi:
            tools += openapi_tools(document, allow_hosts=allow_hosts, allow_private=allow_private)
        tools += stack.enter_context(mcp_tools(*mcp))
        yield tuple(by_name(tools).values())


def add_options(group: argparse._ArgumentGroup) -> None:
    """Add the options of a command line that name sources: --tools, --openapi, --mcp, and what plugins may reach."""

    def several(name: str, metavar: str, about: str, kind: type = Path) -> None:
        group.add_argument(name, action="extend", nargs="+", type=kind, default=[], metavar=metavar, help=about)

    several(
        "--tools", "FILE", "Python files, which are run: their functions that are marked with @tool, or all public ones"
    )
    several("--openapi", "FILE", "OpenAPI documents, files or URLs: their operations", str)
    several("--mcp", "FILE", "configurations of MCP servers: their tools")
    several(
        "--plugin-host", "HOST", "further hosts that --openapi may reach, beside those of its documents' servers", str
    )
    group.add_argument(
        "--allow-private", action="store_true", help="let --openapi reach servers on this machine and in its network"
    )


def opened_from(options: argparse.Namespace) -> AbstractContextManager[tuple[Tool, ...]]:
    """Open the sources that the options of `add_options` name, as `opened` does."""
    return opened(
        python=options.tools,
        openapi=options.openapi,
        mcp=options.mcp,
        allow_hosts=options.plugin_host,
        allow_private=options.allow_private,
    )
