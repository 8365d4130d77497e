"""A session with one MCP server. It is opened again for the next call after it broke; no call is sent twice."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
from anyio.abc import TaskGroup, TaskStatus
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CONNECTION_CLOSED,
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    Implementation,
    ResourceLink,
    TextContent,
    Tool,
)

from agent.mcp_config import McpServer
from agent.mcp_process import MAX_MESSAGE, Output, child_process
from agent.tools import ToolError, ToolSourceError

log = logging.getLogger("functionary")

START_S = 30.0  # for a server to start and to list its tools
MAX_RESTARTS = 3
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
        self._num_opened = 0
        self._is_closed = False

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
        try:
            return _text(await connection.client.call_tool(name, arguments))
        except MCPError as error:
            if error.message in _ENDED:
                connection.over.set()
            if error.code != CONNECTION_CLOSED:
                raise ToolError(error.message) from None
            fault = connection.output.fault or f"the connection broke ({error.message})"
        except (ValueError, RuntimeError) as error:  # a result that is against the protocol or the tool's schema
            raise ToolError(f"the result is unusable: {error}") from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            connection.over.set()
            fault = "the connection is closed"
        said = f"MCP server '{self.server.name}' failed during the call: {fault}"
        log.warning("%s%s", said, self._shown(connection.output))
        raise ToolError(f"{said}; whether the call took effect is not known") from None

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
                if self._num_opened > MAX_RESTARTS:
                    ended = f"has ended {self._num_opened} times and is not started again"
                    raise ToolSourceError(f"MCP server '{self.server.name}' {ended}")
                self._num_opened += 1
                self._connection = await self._tasks.start(self._hold)
            return self._connection

    async def _hold(self, *, task_status: TaskStatus[_Connection]) -> None:
        """Open a connection, and hold it until it is over. Raises ToolSourceError if it cannot be opened."""
        over, output, is_open = anyio.Event(), Output(), False
        try:
            with anyio.fail_after(START_S) as limit:
                transport = self._transport(output, over.set)
                async with Client(transport, cache=None, client_info=_OURSELVES) as client:
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
        return _http(self.server)

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
                reason = f"{problem}: {str(first)[:_MAX_SHOWN] or type(first).__name__}"
        text = f"MCP server '{self.server.name}': {reason}"
        return ToolSourceError(self.server.without_secrets(text) + self._shown(output))

    def _shown(self, output: Output) -> str:
        """Return what the server wrote besides messages, in one line and without secrets, for an error."""
        stray, errors = (" ".join(self.server.without_secrets(text).split()) for text in (output.stray, output.errors))
        parts = [f"its output is no MCP message: {stray[:_MAX_SHOWN]}"] if stray else []
        parts += [f"its last errors: {errors[-_MAX_SHOWN:]}"] if errors else []
        return "".join(f"; {part}" for part in parts)


@dataclass(frozen=True)
class _Connection:
    """An open connection until `over` is set. `output` is what a child process wrote besides messages."""

    client: Client
    output: Output
    over: anyio.Event


_OURSELVES = Implementation(name="functionary", version="1")
_ENDED = ("Connection closed", "Session terminated")  # what `mcp` says when no further call can succeed


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


@asynccontextmanager
async def _http(server: McpServer) -> AsyncGenerator[Any]:
    """Connect to a server over streamable HTTP. Redirects are followed within the origin of its URL only."""
    timeout = httpx2.Timeout(START_S, read=None)  # a call has its own limit
    headers = {"accept-encoding": "identity", **server.headers}  # so that MAX_MESSAGE bounds the text too
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, transport=_BoundedTransport()) as client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_MESSAGE) as streams,
    ):
        yield streams


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """Ends an answer of more than MAX_MESSAGE bytes. Each event of a stream has that limit for itself."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            if not isinstance(response.stream, httpx2.AsyncByteStream):  # cannot happen: the transport is asynchronous
                raise TypeError("an asynchronous stream was expected")
            response.stream = _BoundedStream(response.stream)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for chunk in self._stream:
            num_bytes += len(chunk)
            if num_bytes > MAX_MESSAGE:
                raise httpx2.StreamError(f"it has more than {MAX_MESSAGE >> 20} MiB")  # ends the call only
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _text(result: CallToolResult) -> str:
    """Return a result's text, or its structured content as JSON if there is no text. Raises ToolError."""
    texts, left_out = _texts(result.content)
    if result.is_error:
        raise ToolError("\n".join(texts) or "the tool failed without a message")
    if not texts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    if not texts and left_out:
        raise ToolError(f"the result is {', '.join(left_out)}, and only text can be read")
    return "\n".join([*texts, *(f"[left out: {one}]" for one in left_out)])


def _texts(content: Iterable[object]) -> tuple[list[str], list[str]]:
    """Return the texts of a result, and the types of what is no text."""
    texts: list[str] = []
    left_out: list[str] = []
    for block in content:
        match block:
            case TextContent(text=text):
                texts.append(text)
            case ResourceLink():
                texts.append(" ".join(filter(None, (f"[resource] {block.uri}", block.title or block.name))))
            case EmbeddedResource(resource=BlobResourceContents() as blob):
                left_out.append(blob.mime_type or "binary data")
            case EmbeddedResource(resource=resource):
                texts.append(getattr(resource, "text", ""))
            case ImageContent(mime_type=kind) | AudioContent(mime_type=kind):
                left_out.append(kind)
    return texts, left_out
