"""A teacher that answers as a test tells it, over a real socket: an OpenAI-compatible server of one endpoint."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """`text` and `calls` (name and arguments) in OpenAI's shape, unless `status` or `raw` say otherwise.

    `gone` closes the connection without a word; `after_s` lets the asker wait.
    """

    text: str | None = None
    calls: tuple[tuple[str, str], ...] = ()
    status: int = 200
    raw: str | None = None
    gone: bool = False
    after_s: float = 0.0
    finish_reason: str = "stop"

    def body(self) -> str:
        if self.raw is not None:
            return self.raw
        if self.status != 200:
            return json.dumps({"error": {"message": self.text or "no reason"}})
        message: Json = {"role": "assistant", "content": self.text}
        if self.calls:
            message["tool_calls"] = [
                {"id": f"x{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for n, (name, arguments) in enumerate(self.calls)
            ]
        return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}]})


@dataclass
class Teacher:
    """`answer` decides each reply; `asked` are all bodies so far, in order; `peak` requests were there at once."""

    url: str
    answer: Callable[[Json], Reply]
    asked: list[Json] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    peak: int = 0
    _num_active: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: Json, key: str) -> Reply:
        with self._lock:
            self.asked.append(body)
            self.keys.add(key)
            self._num_active += 1
            self.peak = max(self.peak, self._num_active)
        try:
            reply = self.answer(body)
            time.sleep(reply.after_s)
            return reply
        finally:
            with self._lock:
                self._num_active -= 1


def question(body: Json) -> str:
    """The user's turn of a request."""
    return str(body["messages"][-1]["content"])


@contextmanager
def teaching(answer: Callable[[Json], Reply]) -> Iterator[Teacher]:
    """A teacher on a free port of loopback, until the test is over."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            reply = teacher.reply(body, self.headers.get("authorization", ""))
            self.close_connection = True
            if reply.gone:
                return
            text = reply.body().encode()
            try:
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:
                return  # the asker did not wait

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test looks at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    teacher = Teacher(f"http://127.0.0.1:{server.server_address[1]}/v1", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield teacher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
