"""A teacher with scripted answers: an OpenAI-compatible server with one endpoint, over a real socket."""

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
    """One answer of the teacher in OpenAI's shape: `text` and `calls`, which are pairs of name and arguments.

    `status` makes the answer an error, and `raw` replaces the body. `gone` closes the connection without an answer.
    `after_s` delays the answer.
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
    """A running teacher.

    `answer` returns the reply to a body, `asked` lists the bodies so far in order, and `peak` is the largest number of
    requests that ran at the same time.
    """

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
    """Return the text of the user's turn in a request."""
    return str(body["messages"][-1]["content"])


@contextmanager
def teaching(answer: Callable[[Json], Reply]) -> Iterator[Teacher]:
    """Serve a teacher on a free port of the loopback address until the context ends."""

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
                return  # the client did not wait for the answer

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: a test reads the requests in `asked`."""

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
