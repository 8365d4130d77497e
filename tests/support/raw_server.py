"""A server on the loopback address that sends whatever a test tells it to, also what is no HTTP."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Seen:
    """A request that the server got. The names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: str


Respond = bytes | Callable[[Seen], bytes | Iterable[bytes]]


@dataclass
class RawServer:
    """What a server got so far. num_connections counts those without a request too."""

    port: int
    num_connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    is_closed: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def response(body: str | bytes = "", status: str = "200 OK", kind: str = "application/json", **headers: str) -> bytes:
    """Return an HTTP response. Underscores in the names of `headers` are hyphens."""
    content = body.encode() if isinstance(body, str) else body
    fields = {"content-type": kind, "content-length": str(len(content)), "connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


@contextmanager
def raw_server(respond: Respond, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Serve on a free port. `respond` is the answer, or gets each request and returns the answer or its pieces."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1])
    accepting = threading.Thread(target=_accept, args=(listener, server, respond, tls))
    accepting.start()
    try:
        yield server
    finally:
        server.is_closed.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=5):
            pass  # wakes the thread that accepts
        for thread in (accepting, *server.threads):
            thread.join(20)
        listener.close()


def _accept(listener: socket.socket, server: RawServer, respond: Respond, tls: ssl.SSLContext | None) -> None:
    while True:
        connection, _ = listener.accept()
        if server.is_closed.is_set():
            connection.close()
            return
        server.num_connections += 1
        thread = threading.Thread(target=_answer, args=(connection, server, respond, tls))
        server.threads.append(thread)
        thread.start()


def _answer(connection: socket.socket, server: RawServer, respond: Respond, tls: ssl.SSLContext | None) -> None:
    connection.settimeout(20)
    with suppress(OSError, ValueError):
        if tls:
            connection = tls.wrap_socket(connection, server_side=True)
        with connection, connection.makefile("rb") as file:
            method, target, _ = file.readline().decode().split()
            headers: dict[str, str] = {}
            while line := file.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = file.read(int(headers.get("content-length", 0))).decode()
            server.seen.append(Seen(method, target, headers, body))
            said = respond if isinstance(respond, bytes) else respond(server.seen[-1])
            for piece in [said] if isinstance(said, bytes) else said:
                if server.is_closed.is_set():
                    return
                connection.sendall(piece)
    connection.close()
