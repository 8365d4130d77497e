"""An MCP server as a child process: it reads messages from its standard input and writes them to its standard output.

The `mcp` package has such a transport too. This one bounds the length of a message, keeps what the server writes to its
standard error for error messages, and ends the whole process group every time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.os.posix.utilities import terminate_posix_process_tree
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from agent.mcp.config import McpServer

MAX_MESSAGE = 8 << 20  # bytes of one message; a server that sends a longer one is ended
GRACE_S = 2.0  # for a server to exit after its input is closed, and again after SIGTERM
_MAX_KEPT = 2_000  # characters of standard error, and of a line that is no message

Received = MemoryObjectReceiveStream[SessionMessage | Exception]
Sent = MemoryObjectSendStream[SessionMessage]
_CLOSED = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, OSError)


class Output:
    """What a server wrote besides messages.

    stray: its first line that is no message. fault: why its output is not read any more.
    """

    def __init__(self) -> None:
        self.stray = ""
        self.fault = ""
        self._errors: deque[str] = deque(maxlen=20)

    @property
    def errors(self) -> str:
        """The end of its standard error."""
        return "".join(self._errors)[-_MAX_KEPT:].strip()

    async def keep_errors(self, stream: ByteReceiveStream) -> None:
        with suppress(*_CLOSED):
            async for chunk in stream:
                self._errors.append(chunk[-_MAX_KEPT:].decode(errors="replace"))


@asynccontextmanager
async def child_process(
    server: McpServer, output: Output, on_end: Callable[[], None]
) -> AsyncGenerator[tuple[Received, Sent]]:
    """Start a server, and end it and its children at exit. Yields the streams of a session.

    on_end: called when the server's output ends. Raises OSError if the command cannot be started.
    """
    process = await anyio.open_process(
        server.command,
        env=get_default_environment() | dict(server.env),
        cwd=server.cwd,
        start_new_session=True,
    )
    if not (process.stdin and process.stdout and process.stderr):  # cannot happen: all three are pipes
        raise RuntimeError("a child process has no pipes")
    to_session, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    sent, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        with to_session, received, sent, from_session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_read, process.stdout, to_session, output, on_end)
                tasks.start_soon(_write, from_session, process.stdin)
                tasks.start_soon(output.keep_errors, process.stderr)
                try:
                    yield received, sent
                finally:
                    tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process, output)


async def _read(
    stream: ByteReceiveStream,
    to_session: MemoryObjectSendStream[SessionMessage | Exception],
    output: Output,
    on_end: Callable[[], None],
) -> None:
    """Read messages, one a line, until the output ends or a line is too long."""
    lines = BufferedByteReceiveStream(stream)
    try:
        while True:
            line = await lines.receive_until(b"\n", MAX_MESSAGE)
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                output.stray = output.stray or line[:_MAX_KEPT].decode(errors="replace").strip()
                continue
            await to_session.send(SessionMessage(message))
    except anyio.DelimiterNotFound:
        output.fault = f"it sent a message of more than {MAX_MESSAGE >> 20} MiB"
    except (anyio.IncompleteRead, *_CLOSED):
        output.fault = "it ended"
    finally:
        on_end()  # before the session learns it, so that a failed call finds the connection ended
        to_session.close()


async def _write(from_session: MemoryObjectReceiveStream[SessionMessage], stream: ByteSendStream) -> None:
    with suppress(*_CLOSED):  # the end of the output tells the session
        async for sent in from_session:
            text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
            await stream.send(text.encode() + b"\n")


async def _end(process: Process, output: Output) -> None:
    """Close the server's input, and end its process group if it does not exit by itself."""
    async with anyio.create_task_group() as tasks:  # a full pipe would keep the server, and then the pipe, from closing
        for pipe, read in ((process.stdout, _drain), (process.stderr, output.keep_errors)):
            if pipe:
                tasks.start_soon(read, pipe)
        if process.stdin:
            with suppress(*_CLOSED):
                await process.stdin.aclose()
        with anyio.move_on_after(GRACE_S):
            await process.wait()  # for the pipes too, which its children may hold open
        await terminate_posix_process_tree(process, GRACE_S)
        with anyio.move_on_after(GRACE_S):
            await process.wait()
        tasks.cancel_scope.cancel()


async def _drain(stream: ByteReceiveStream) -> None:
    with suppress(*_CLOSED):
        async for _ in stream:
            pass
