"""A server that plays vLLM or llama.cpp with a small model behind it, and breaks off at any byte.

It answers each request on a connection of its own, counts requests and those whose client left before the end, and
keeps the bodies of completions.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import threading
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tests.support.toy_model import LanguageModel
from text.tokenizer import Tokenizer

Json = dict[str, Any]
When = Literal["before head", "in head", "after head", "mid-chunk", "before end"]
How = Literal["reset", "close", "stall"]


@dataclass(frozen=True)
class Fault:
    """Where an answer breaks off, and how. "mid-chunk" is within the event after `num_events` events.

    The points are: before the first byte, within the head, after the head, within an event, and after the event of the
    last token. `times`: how many completions have the fault; None for all.
    """

    when: When
    how: How = "reset"
    num_events: int = 1
    times: int | None = None


@dataclass(frozen=True)
class Reply:
    """A fixed answer to all requests of one path, after `delay_s` seconds. `body` is JSON unless it is a text."""

    status: int
    body: object = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = ""
    delay_s: float = 0.0


class Refused(Exception):
    """The server refuses the request with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class PeerDialect(Protocol):
    """The API of one kind of server."""

    completions: str

    def answer(self, peer: Peer, path: str, body: Json) -> Json:
        """Return the answer of a route that is no completion. Raises Refused."""

    def events(self, peer: Peer, body: Json) -> AsyncIterator[Json | str]:
        """Yield the events of a completion, and "[DONE]" where the dialect has it. Raises Refused before the first."""

    async def whole(self, peer: Peer, body: Json) -> Json:
        """Return the answer of a completion without a stream. Raises Refused."""

    def error(self, status: int, message: str) -> Json: ...


@dataclass(eq=False)
class Peer:
    """A server that runs in a thread of its own. A test may change all fields while it runs.

    token_s: seconds for each token. change: edits the events before they are sent; None drops one. replies: fixed
    answers by path. flood: bytes without a line break that are sent after the first event. is_zipped: answers are gzip.
    refuses_grammars: requests with a grammar get 400. has_priorities: requests may have one.
    """

    dialect: PeerDialect
    model: LanguageModel
    tokenizer: Tokenizer
    vocab_size: int
    eos_id: int | None = None
    model_name: str = "peer"
    max_context: int = 512
    key: str | None = None
    token_s: float = 0.0
    fault: Fault | None = None
    change: Callable[[Any], Any] | None = None
    replies: dict[str, Reply] = field(default_factory=dict)
    flood: int = 0
    is_zipped: bool = False
    refuses_grammars: bool = False
    has_priorities: bool = False
    num_requests: Counter[str] = field(default_factory=Counter)
    num_aborted: int = 0
    num_running: int = 0
    num_faults: int = 0
    bodies: list[Json] = field(default_factory=list)
    cached: set[tuple[object, ...]] = field(default_factory=set)
    url: str = ""

    @property
    def num_completions(self) -> int:
        return self.num_requests[self.dialect.completions]

    def forget(self) -> None:
        """Begin a new test: no faults, no counts."""
        self.fault, self.change, self.flood, self.is_zipped, self.token_s = None, None, 0, False, 0.0
        self.num_aborted = self.num_faults = 0
        self.replies.clear()
        self.num_requests.clear()
        self.bodies.clear()
        self.cached.clear()

    async def serve(self, listener: socket.socket, is_over: asyncio.Event) -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            try:
                await _Exchange(self, reader, writer).run()
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the client has left, or the server ends
            finally:
                writer.close()

        async with await asyncio.start_server(connected, sock=listener, backlog=2048):
            await is_over.wait()
            for task in tuple(tasks):
                task.cancel()
            if tasks:
                await asyncio.wait(tuple(tasks), timeout=5)


class _Exchange:
    """One request and its answer."""

    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer = peer
        self._reader = reader
        self._writer = writer
        self._fault: Fault | None = None
        self._has_left = asyncio.Event()

    async def run(self) -> None:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        path = path.partition("?")[0]
        lines = (line.partition(":") for line in head.split("\r\n")[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in lines}
        content = await self._reader.readexactly(int(headers.get("content-length", 0)))
        peer = self._peer
        peer.num_requests[path] += 1
        if reply := peer.replies.get(path):
            await self._reply(reply)
        elif peer.key and path != "/health" and headers.get("authorization") != f"Bearer {peer.key}":
            await self._reply(Reply(401, peer.dialect.error(401, "Invalid API key")))
        else:
            await self._answer(path, json.loads(content) if method == "POST" else {})

    async def _answer(self, path: str, body: Json) -> None:
        dialect = self._peer.dialect
        try:
            if path != dialect.completions:
                await self._reply(Reply(200, dialect.answer(self._peer, path, body)))
                return
            self._peer.bodies.append(body)
            if not body.get("stream"):
                await self._reply(Reply(200, await dialect.whole(self._peer, body)))
                return
            events = dialect.events(self._peer, body)
            first = await anext(events)
        except Refused as refused:
            await self._reply(Reply(refused.status, dialect.error(refused.status, refused.message)))
            return
        watch = asyncio.create_task(self._wait_for_leaving())
        self._peer.num_running += 1
        try:
            await self._stream(first, events)
        except (ConnectionError, asyncio.CancelledError):
            self._peer.num_aborted += 1
            raise
        finally:
            self._peer.num_running -= 1
            watch.cancel()

    async def _wait_for_leaving(self) -> None:
        """Break the answer off when the client closes the connection."""
        await self._reader.read()
        self._has_left.set()
        self._writer.transport.abort()

    async def _stream(self, first: Json | str, events: AsyncIterator[Json | str]) -> None:
        peer = self._peer
        if peer.fault and (peer.fault.times is None or peer.num_faults < peer.fault.times):
            self._fault = peer.fault
            peer.num_faults += 1
        zipped = zlib.compressobj(wbits=31) if peer.is_zipped else None
        kind = "Content-Type: text/event-stream; charset=utf-8\r\n" + "Content-Encoding: gzip\r\n" * peer.is_zipped
        head = f"HTTP/1.1 200 OK\r\n{kind}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        await self._break_off("before head")
        await self._break_off("in head", head[: len(head) // 2])
        self._writer.write(head)
        await self._break_off("after head")
        number = 0
        async for event in _with(first, events):
            for text in self._texts(event):
                data = f"data: {text}\n\n".encode()
                data = zipped.compress(data) + zipped.flush(zlib.Z_SYNC_FLUSH) if zipped else data
                chunk = f"{len(data):x}\r\n".encode() + data + b"\r\n"
                if self._fault and self._fault.num_events == number:
                    await self._break_off("mid-chunk", chunk[: len(chunk) // 2])
                await self._send(chunk)
            number += 1
            if number == 1 and peer.flood:
                await self._flood(peer.flood)
            if isinstance(event, dict) and _is_last(event):
                await self._break_off("before end")
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def _texts(self, event: Json | str) -> Iterator[str]:
        change = self._peer.change
        changed = change(event) if change and isinstance(event, dict) else event
        if changed is not None:
            yield changed if isinstance(changed, str) else json.dumps(changed)

    async def _send(self, data: bytes) -> None:
        if self._writer.transport.is_closing():
            raise ConnectionResetError
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def _flood(self, num_bytes: int) -> None:
        block = b"data: " + b"x" * 2**20
        for _ in range(num_bytes // len(block)):
            await self._send(f"{len(block):x}\r\n".encode() + block + b"\r\n")

    async def _break_off(self, when: When, data: bytes = b"") -> None:
        """Break the connection if the fault is here, after sending `data`."""
        if self._fault is None or self._fault.when != when:
            return
        self._writer.write(data)
        await self._writer.drain()
        if self._fault.how == "stall":
            await self._has_left.wait()
        elif self._fault.how == "reset":
            await asyncio.sleep(0.05)  # otherwise the reset overtakes what was sent
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        raise ConnectionResetError

    async def _reply(self, reply: Reply) -> None:
        await asyncio.sleep(reply.delay_s)
        is_text = isinstance(reply.body, str)
        content = str(reply.body).encode() if is_text else json.dumps(reply.body).encode()
        zipped = {"Content-Encoding": "gzip"} if self._peer.is_zipped else {}
        content = gzip.compress(content) if zipped else content
        headers = {
            "Content-Type": reply.content_type or ("text/html" if is_text else "application/json"),
            "Content-Length": str(len(content)),
            "Connection": "close",
            **zipped,
            **reply.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._writer.write(f"HTTP/1.1 {reply.status} Status\r\n{lines}\r\n".encode() + content)
        await self._writer.drain()


async def _with(first: Json | str, others: AsyncIterator[Json | str]) -> AsyncIterator[Json | str]:
    yield first
    async for event in others:
        yield event


def _is_last(event: Json) -> bool:
    """Whether the event has the last token, in vLLM's or llama.cpp's shape."""
    choices = event.get("choices") or [{}]
    return bool(choices[0].get("finish_reason") or event.get("stop"))


@contextmanager
def running(*peers: Peer) -> Iterator[None]:
    """Run the peers on free ports of the loopback address, all in one thread."""
    loop = asyncio.new_event_loop()
    is_over = asyncio.Event()
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=2048) for _ in peers]
    for peer, listener in zip(peers, listeners, strict=True):
        peer.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def serve() -> None:
        await asyncio.gather(*(peer.serve(listener, is_over) for peer, listener in zip(peers, listeners, strict=True)))

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(10)
        loop.close()
