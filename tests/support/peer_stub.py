"""A server that answers as vLLM does when a front starts: its models, and texts as token ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from text.tokenizer import Tokenizer


@contextmanager
def peer_stub(tokenizer: Tokenizer, model: str, *, max_context: int = 2048) -> Iterator[str]:
    """Serve `model`, which has this tokenizer. Every answer is one token: the end of the text. Yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"data": [{"id": model, "owned_by": "vllm", "max_model_len": max_context}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/tokenize":
                self._answer({"tokens": tokenizer.encode_raw(body["prompt"], may_add_bos=False)})
                return
            choice = {"index": 0, "token_ids": [tokenizer.eos_id], "finish_reason": "stop"}
            events = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"
            self._send("text/event-stream", events.encode())

        def _answer(self, content: Any) -> None:
            self._send("application/json", json.dumps(content).encode())

        def _send(self, kind: str, content: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
