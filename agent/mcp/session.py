"""A session with one MCP server. It is opened again for the next call after it broke; no call is sent twice."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import httpx2
from anyio.abc import TaskGroup, TaskStatus
from mcp import Client, MCPError
from mcp_types import CONNECTION_CLOSED, Implementation, Tool

from agent.mcp.config import McpServer
from agent.mcp.http import http_connection
from agent.mcp.process import Output, child_process
from agent.mcp.results import result_text
from agent.tools import ToolError, ToolSourceError

log = logging.getLogger("functionary")

START_S = 30.0  # for a server to start and to list its tools
MAX_STARTS = 4  # within WINDOW_S, so that a server that always fails is not started for each call
WINDOW_S = 60.0
PROBE_S = 5.0  # for a server to answer after a call that took too long
_CLOSE_S = 5.0  # to say goodbye to a server over HTTP
_MAX_PAGES = 100
_MAX_SHOWN = 300  # characters of what a server wrote, in a message


class Session:
    """A session with one MCP server, which belongs to the event loop of `tasks`."""

    def __init__(self, server: McpServer, tasks: TaskGroup) -> None:
        self.server = server
        self._tasks = tasks
        self._opening = anyio.Lock()
        self._connection: _Connection | None = None
        self._mode: Literal["auto", "legacy"] = "auto"  # some servers end if the first message is not `initialize`
        self._started: list[float] = []  # when, within the last WINDOW_S
        self._is_closed = False
        self._num_calls = 0  # that run now

    async def tools(self) -> list[Tool]:
        """Return the tools that the server lists, which opens the session. Raises ToolSourceError."""
        connection = await self._opened()
        found: list[Tool] = []
        cursor: str | None = None
        try:
            with anyio.fail_after(START_S):
                for _ in range(_MAX_PAGES):
                    page = await connection.client.list_tools(cursor=cursor)
                    found += page.tools
                    cursor = page.next_cursor
                    if cursor is None:
                        return found
        except Exception as error:
            raise self._unusable(error, "it does not list its tools", connection.output) from None
        raise ToolSourceError(f"MCP server '{self.server.name}': its list of tools has more than {_MAX_PAGES} pages")

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Call a tool, and return its result. The call is sent once. Raises ToolError."""
        try:
            return self.server.without_secrets(await self._called(name, arguments))
        except ToolError as error:
            raise ToolError(self.server.without_secrets(str(error))) from None

    async def _called(self, name: str, arguments: dict[str, Any]) -> str:
        _check_text(arguments)
        try:
            connection = await self._opened()
        except ToolSourceError as error:
            raise ToolError(f"not run: {error}") from None
        self._num_calls += 1
        try:
            return result_text(await connection.client.call_tool(name, arguments))
        except anyio.get_cancelled_exc_class():
            if not self._is_closed:
                self._tasks.start_soon(self._end_if_hung, connection)
            raise
        except MCPError as error:
            if error.message in _ENDED:
                connection.over.set()
            if error.code != CONNECTION_CLOSED:
                raise ToolError(error.message) from None
            fault = connection.output.fault or f"the connection broke ({error.message})"
        except (ValueError, RuntimeError) as error:  # a result that is against the protocol or the tool's schema
            raise ToolError(f"the result is unusable: {_one_line(error)}") from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            connection.over.set()
            fault = "the connection is closed"
        finally:
            self._num_calls -= 1
        said = f"MCP server '{self.server.name}' failed during the call: {fault}"
        log.warning("%s%s", said, self._shown(connection.output))
        raise ToolError(f"{said}; whether the call took effect is not known") from None

    async def _end_if_hung(self, connection: _Connection) -> None:
        """End a connection whose server does not react, so that the next call finds a new one.

        Other calls that run may be what it is busy with.
        """
        try:
            with anyio.fail_after(PROBE_S):
                await connection.client.list_tools()  # `ping` is not in every version of the protocol
        except TimeoutError:
            if not self._num_calls:
                log.warning("MCP server '%s' does not react after a call that took too long", self.server.name)
                connection.over.set()
        except Exception as error:  # an error is a reaction too
            log.debug("MCP server '%s': %s", self.server.name, type(_first(error)).__name__)

    def close(self) -> None:
        """End the session, for good."""
        self._is_closed = True
        if self._connection:
            self._connection.over.set()

    async def _opened(self) -> _Connection:
        """Return an open connection. Raises ToolSourceError."""
        async with self._opening:
            if self._connection is None or self._connection.over.is_set():
                if self._is_closed:
                    raise ToolSourceError(f"MCP server '{self.server.name}' is closed")
                now = anyio.current_time()
                self._started = [when for when in self._started if when > now - WINDOW_S]
                if len(self._started) == MAX_STARTS:
                    often = f"has ended {MAX_STARTS} times within {WINDOW_S:g} s and is not started for now"
                    raise ToolSourceError(f"MCP server '{self.server.name}' {often}")
                self._started.append(now)
                try:
                    self._connection = await self._tasks.start(self._hold)
                except _EndedAtStart:
                    if self._mode == "legacy":
                        raise
                    self._mode = "legacy"
                    self._connection = await self._tasks.start(self._hold)
            return self._connection

    async def _hold(self, *, task_status: TaskStatus[_Connection]) -> None:
        """Open a connection, and hold it until it is over. Raises ToolSourceError if it cannot be opened."""
        over, output, is_open = anyio.Event(), Output(), False
        try:
            with anyio.fail_after(START_S) as limit:
                transport = self._transport(output, over.set)
                async with Client(transport, mode=self._mode, cache=None, client_info=_OURSELVES) as client:
                    is_open, limit.deadline = True, math.inf
                    task_status.started(_Connection(client, output, over))
                    await over.wait()
                    limit.deadline = anyio.current_time() + _CLOSE_S
        except Exception as error:
            if not is_open:
                raise self._unusable(error, "it cannot be used", output) from None
            log.debug("MCP server '%s': %s", self.server.name, type(_first(error)).__name__)
        finally:
            over.set()

    def _transport(self, output: Output, on_end: Callable[[], None]) -> AbstractAsyncContextManager[Any]:
        if self.server.command:
            return child_process(self.server, output, on_end)
        return http_connection(self.server)

    def _unusable(self, error: Exception, problem: str, output: Output) -> ToolSourceError:
        """Return the error for a server that does not start, or does not list its tools."""
        first = _first(error)
        command = self.server.command[0] if self.server.command else ""
        match first:
            case FileNotFoundError() if self.server.cwd and first.filename == self.server.cwd:
                reason = f"the folder {self.server.cwd!r} does not exist"
            case FileNotFoundError():
                reason = f"the command {command!r} does not exist; install it, or give its whole path"
            case TimeoutError():
                reason = f"{problem} within {START_S:g} s"
            case MCPError() if first.code == CONNECTION_CLOSED and output.fault:
                reason = f"{problem}: {output.fault}"
            case httpx2.TransportError():
                reason = f"{httpx2.URL(self.server.url).host} cannot be reached: {str(first) or type(first).__name__}"
            case _:
                reason = f"{problem}: {_one_line(first)[:_MAX_SHOWN] or type(first).__name__}"
        text = self.server.without_secrets(f"MCP server '{self.server.name}': {reason}") + self._shown(output)
        return _EndedAtStart(text) if output.fault else ToolSourceError(text)

    def _shown(self, output: Output) -> str:
        """Return what the server wrote besides messages, in one line and without secrets, for an error."""
        stray, errors = (" ".join(self.server.without_secrets(text).split()) for text in (output.stray, output.errors))
        parts = [f"its output is no MCP message: {stray[:_MAX_SHOWN]}"] if stray else []
        parts += [f"its last errors: {errors[-_MAX_SHOWN:]}"] if errors else []
        return "".join(f"; {part}" for part in parts)


class _EndedAtStart(ToolSourceError):
    """A child process ended before the session was open."""


@dataclass(frozen=True)
class _Connection:
    """An open connection until `over` is set. `output` is what a child process wrote besides messages."""

    client: Client
    output: Output
    over: anyio.Event


_OURSELVES = Implementation(name="functionary", version="1")
_ENDED = ("Connection closed", "Session terminated")  # what `mcp` says when no further call can succeed


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _first(error: BaseException) -> BaseException:
    """Return the first exception of nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _check_text(arguments: object) -> None:
    """Raise ToolError for half a surrogate pair, which JSON can express and UTF-8 cannot."""
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ToolError("not run: the arguments have half of a surrogate pair, which is no character") from None
