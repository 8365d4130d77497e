"""A client for hostile requests, and the checks that every answer must pass."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHAT = "/v1/chat/completions"
RENDER = f"{CHAT}/render"
RAW = "/v1/completions"
HANG_S = 20
CANARY = "canary7f3a"  # part of every prompt; it must never appear in a log
USER = {"role": "user", "content": f"Weather in {CANARY}?"}
BODY: dict[str, Any] = {"model": "tiny", "messages": [USER], "max_tokens": 1}
PROMPT: dict[str, Any] = {"model": "tiny", "prompt": CANARY, "max_tokens": 1}
KINDS = {
    *("invalid_request_error", "permission_error", "rate_limit_error", "service_unavailable_error", "server_error"),
}
# A path, a memory address, a traceback, or the name of a library.
_LEAK = re.compile(
    rf"{re.escape(str(Path(__file__).parents[2]))}|/(?:home|usr|tmp|etc|root)/|traceback|file \"|\.py\b|0x[0-9a-f]{{6}}"
    r"|site-packages|llguidance|pydantic|starlette|fastapi|uvicorn|h11|torch|transformers|tokenizers|python",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error


class Client:
    """One connection, kept alive between requests unless the server closes it."""

    def __init__(self, url: str, key: str | None = None) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=HANG_S)
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request, and fail if no answer comes within HANG_S."""
        self._connection.request(method, path, body or None, {**self._headers, **(headers or {})})
        response = self._connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def post(self, path: str, document: object) -> Answer:
        return self.send("POST", path, as_json(document))

    def chat(self, **fields: Any) -> Answer:
        return self.post(CHAT, {**BODY, **fields})

    def check_health(self) -> None:
        """Check that an ordinary request is served."""
        answer = self.chat(temperature=0)
        assert answer.status == 200, answer
        assert answer.json["usage"]["completion_tokens"] == 1


def as_json(document: object) -> bytes:
    """Return bytes unchanged, and any other value encoded as JSON. Lone surrogates become escapes."""
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def check_answer(answer: Answer) -> None:
    """Check that the answer is no 500 and reveals nothing internal, and that an error is OpenAI's error object."""
    assert answer.status < 500, answer
    if answer.status >= 300:
        check_error(answer.body)
        assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", answer.headers["x-request-id"])


def check_error(body: bytes) -> None:
    """Check that the body is {"error": {message, type, param, code}} and nothing else."""
    document = json.loads(body)
    assert document.keys() == {"error"}
    error = document["error"]
    assert error.keys() == {"message", "type", "param", "code"}, error
    assert isinstance(error["message"], str) and 0 < len(error["message"].strip()) <= 500, error
    assert error["type"] in KINDS, error
    for key in ("param", "code"):
        assert error[key] is None or (isinstance(error[key], str) and error[key]), error
    assert not _LEAK.search(error["message"]), error


def raw(url: str, *parts: bytes, silence_s: float = 0.5) -> bytes:
    """Send bytes on a new connection. Return everything received until the server closes it or is silent."""
    with connect(url) as connection:
        connection.settimeout(silence_s)
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
            while data := connection.recv(65536):
                received += data
        except TimeoutError:
            pass
        except ConnectionError:  # the server closed it while bytes were still being sent
            pass
        return received


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=HANG_S)


def statuses(received: bytes) -> list[int]:
    """Return the HTTP statuses of the answers in `received`, except `100 Continue`."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", received)]


def head(method: str = "POST", path: str = CHAT, *lines: str) -> bytes:
    """Return the head of a request to the server's own host, with these header lines."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode("latin-1")
