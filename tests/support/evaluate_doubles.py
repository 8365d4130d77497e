"""Doubles for tests of evaluate/: small rows, data sets of them, and a real server with scripted answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from client.endpoints import Answer
from core.conversation import Call, Function

Json = dict[str, Any]

CITY = {
    "name": "city_weather",
    "description": "",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
PING = {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}}
CITY_FUNCTION, PING_FUNCTION = (Function(**one) for one in (CITY, PING))  # type: ignore[arg-type]


def a_line(question: str, *expected: tuple[str, Json], functions: Sequence[Json] = (CITY, PING), **more: Any) -> Json:
    """Return one row of a data set, as a dictionary."""
    calls = [{"name": name, "arguments": arguments} for name, arguments in expected]
    return {
        "functions": list(functions),
        "messages": [{"role": "user", "content": question}],
        "expected": calls,
        **more,
    }


def a_set(path: Path, lines: Sequence[Json]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def calling(*calls: tuple[str, Json | str], **more: Any) -> Answer:
    """Return an answer with these calls.

    Arguments that are given as text are taken unchanged. All other arguments are written as JSON.
    """
    written = [(name, given if isinstance(given, str) else json.dumps(given)) for name, given in calls]
    return Answer(calls=tuple(Call(name, arguments) for name, arguments in written), **more)


def completion(text: str | None = None, *calls: tuple[str, Json]) -> bytes:
    """Return the body of an OpenAI chat completion whose message has this text and these calls."""
    tool_calls = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for place, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": text, "tool_calls": tool_calls}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


@dataclass(frozen=True)
class Reply:
    """One answer of the server, sent after `delay_s`.

    If `vanishes` is set, the server only closes the connection.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    vanishes: bool = False


Script = Callable[[Json], Reply]


@dataclass
class Played:
    """A running double: its URL, and the bodies and API keys of the requests so far."""

    url: str
    bodies: list[Json] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@contextmanager
def playing(script: Script) -> Iterator[Played]:
    """Serve /v1/chat/completions with the answers of `script`, and a list of one model, on a free port."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply(Reply(b'{"data": [{"id": "scripted"}]}'))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            played.bodies.append(body)
            played.keys.append(self.headers.get("authorization", ""))
            self.reply(script(body))

        def reply(self, reply: Reply) -> None:
            over.wait(reply.delay_s)
            if reply.vanishes or over.is_set():
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the client has closed the connection
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    played = Played(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield played
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def one_after_another(*replies: Reply) -> Script:
    """Return a script that plays the replies in order. After the last reply, the script repeats the last reply."""
    waiting = list(replies)
    lock = threading.Lock()

    def script(_: Json) -> Reply:
        with lock:
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return script
