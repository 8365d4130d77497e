"""The tools of MCP servers, which run as child processes or are reached over streamable HTTP.

The sessions live in an event loop of their own thread, so that the tools work in any event loop. The `mcp` package is
loaded when it is used, since its import takes most of a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from agent.mcp.config import McpServer, mcp_servers
from agent.tools import Json, Tool, ToolError, ToolSourceError
from apis.rules.schemas import cleaned
from apis.rules.tool_names import own_names
from core.conversation import Function
from core.errors import RequestError
from json_schema.check import MAX_DESCRIPTION, check_parameters

if TYPE_CHECKING:
    import mcp_types

    from agent.mcp.session import Session

log = logging.getLogger("functionary")

Listed = tuple["Session", "mcp_types.Tool"]


@contextmanager
def mcp_tools(*configs: Path | str | Mapping[str, Any]) -> Iterator[tuple[Tool, ...]]:
    """Start the servers of configurations (agent/mcp/config.py), and end them at exit. Yields their tools.

    A tool has the server's name in front if two servers have a tool of this name. A tool whose schema cannot be used is
    left out, and the log says so. Later changes of a server's list are ignored. Raises ToolSourceError for a server
    that cannot be used.
    """
    servers = _by_name(configs)
    if not servers:
        yield ()
        return
    with start_blocking_portal(name="mcp") as portal:
        serving, (sessions, stop) = portal.start_task(_serve, servers)
        listed = portal.call(_listed, sessions)
        yield tuple(_tools(portal, listed))
        portal.call(stop.set)
        serving.result()


def _by_name(configs: Sequence[Path | str | Mapping[str, Any]]) -> list[McpServer]:
    servers: dict[str, McpServer] = {}
    for server in (one for config in configs for one in mcp_servers(config)):
        if server.name in servers:
            raise ToolSourceError(f"two MCP servers have the name '{server.name}'; rename one of them")
        servers[server.name] = server
    return list(servers.values())


async def _serve(servers: Sequence[McpServer], *, task_status: TaskStatus[tuple[list[Session], anyio.Event]]) -> None:
    """Hold sessions until the event is set."""
    from agent.mcp.session import Session

    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        sessions = [Session(server, tasks) for server in servers]
        task_status.started((sessions, stop))
        await stop.wait()
        for session in sessions:
            session.close()


async def _listed(sessions: Sequence[Session]) -> list[Listed]:
    """Open all sessions at the same time, and return the tools that are used. Raises ToolSourceError."""
    lists = await asyncio.gather(*(session.tools() for session in sessions))
    return [
        (session, tool) for session, tools in zip(sessions, lists, strict=True) for tool in _used(session.server, tools)
    ]


def _used(server: McpServer, tools: Sequence[mcp_types.Tool]) -> Iterator[mcp_types.Tool]:
    """Yield the tools that the configuration selects and whose schemas can be used. Raises ToolSourceError."""
    known = [tool.name for tool in tools]
    confirmed = server.confirm if isinstance(server.confirm, tuple) else ()
    for name in (*(server.tools or ()), *confirmed):
        if name not in known:
            has = ", ".join(known)[:300] or "none"
            raise ToolSourceError(f"MCP server '{server.name}' has no tool {name[:64]!r}; its tools are {has}")
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen or (server.tools is not None and tool.name not in server.tools):
            continue
        seen.add(tool.name)
        if tool.execution and tool.execution.task_support == "required":
            log.warning("MCP server '%s': left out: tool '%s' runs as a task only", server.name, tool.name[:64])
            continue
        try:
            check_parameters(cleaned(tool.input_schema), owner=f"tool '{tool.name[:64]}'", param="inputSchema")
        except RequestError as error:
            log.warning("MCP server '%s': left out: %s", server.name, server.without_secrets(error.message))
            continue
        yield tool


def _tools(portal: BlockingPortal, listed: Sequence[Listed]) -> Iterator[Tool]:
    names = unique_names([(session.server.name, tool.name) for session, tool in listed])
    for (session, tool), name in zip(listed, names, strict=True):
        yield _tool(portal, session, tool, name)


def unique_names(tools: Sequence[tuple[str, str]]) -> list[str]:
    """Return a name that a model can be shown for each tool, given as its server's name and its own name there.

    The pairs differ, and so do the names.
    """
    counts = Counter(own for _, own in tools)
    names = [own if counts[own] == 1 else f"{server}.{own}" for server, own in tools]
    aliases: defaultdict[str, list[str]] = defaultdict(list)  # two servers may give one name, as in a.b + c, a + b.c
    for alias, name in own_names(names).items():
        aliases[name].append(alias)
    return [aliases[name].pop(0) if aliases[name] else name for name in names]


def _tool(portal: BlockingPortal, session: Session, tool: mcp_types.Tool, name: str) -> Tool:
    async def run(arguments: Json) -> object:
        try:
            call = portal.start_task_soon(session.call, tool.name, arguments)
        except RuntimeError:
            raise ToolError(f"MCP server '{session.server.name}' is closed") from None
        return await asyncio.wrap_future(call)

    server = session.server
    description = (tool.description or tool.title or "")[:MAX_DESCRIPTION]
    return Tool(
        Function(name, server.without_secrets(description), cleaned(tool.input_schema)),
        run,
        source=server.name,
        own_name=tool.name if name != tool.name else "",
        needs_confirmation=_needs_confirmation(server, tool),
        timeout_s=server.timeout_s,
    )


def _needs_confirmation(server: McpServer, tool: mcp_types.Tool) -> bool:
    """The configuration decides. If it does not, a tool that its server calls destructive needs a confirmation."""
    if server.confirm is None:
        hints = tool.annotations
        return bool(hints and hints.destructive_hint and not hints.read_only_hint)
    return server.confirm if isinstance(server.confirm, bool) else tool.name in server.confirm
