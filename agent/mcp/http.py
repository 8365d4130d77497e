"""The connection to an MCP server over streamable HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from agent.mcp.config import McpServer
from agent.mcp.process import MAX_MESSAGE

CONNECT_S = 30.0


@asynccontextmanager
async def http_connection(server: McpServer) -> AsyncGenerator[Any]:
    """Connect to a server over streamable HTTP. Redirects are followed within the origin of its URL only."""
    timeout = httpx2.Timeout(CONNECT_S, read=None)  # a call has its own limit
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
