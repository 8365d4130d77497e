"""What an operator reads when the server of --engine-url is not what it should be: one line, soon."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from core.errors import ModelError
from engines.remote import connection, http
from engines.remote.connect import RemoteServers, connect
from inference import Model
from tests.support.remote_model import peer_of
from tests.support.scripted_peer import Peer, Reply, running
from tests.support.toy_model import fixed_model

CARD = {"id": "peer", "owned_by": "vllm", "max_model_len": 512}


@pytest.fixture(scope="module")
def started(chatml: Model) -> Iterator[Peer]:
    peer = peer_of(chatml, fixed_model([1 / 272] * 272))
    with running(peer):
        yield peer


@pytest.fixture
def peer(started: Peer) -> Peer:
    started.forget()
    started.key = None
    return started


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def line(model: Model, url: str, **fields: Any) -> str:
    """Connect, and return the message of the error."""
    with pytest.raises(ModelError) as caught:
        connect(RemoteServers((url,), **fields), model.tokenizer, model="peer", vocab_size=272)
    message = str(caught.value)
    assert "\n" not in message and "--engine-url" in message, message
    return message


@pytest.mark.parametrize(
    ("path", "reply", "words"),
    [
        ("/v1/models", Reply(200, "<html>\n<body>Welcome</body></html>"), "HTML"),
        ("/v1/models", Reply(404, "<html>\nno</html>"), "status 404"),
        ("/v1/models", Reply(200, "hello"), "no JSON"),
        ("/v1/models", Reply(200, {"object": "list", "data": []}), "lists no model"),
        ("/v1/models", Reply(200, [1, 2]), "lists no model"),
        ("/v1/models", Reply(200, {"data": ["peer"]}), "another shape"),
        ("/v1/models", Reply(200, {"data": [{"owned_by": "vllm"}]}), "another shape"),
        ("/v1/models", Reply(200, {"data": [{"id": "m", "owned_by": "library"}]}), "text only"),
        ("/v1/models", Reply(200, {"data": [{"id": "peer", "owned_by": "vllm"}]}), "--max-context"),
        *(
            ("/v1/models", Reply(200, {"data": [{**CARD, "max_model_len": size}]}), "no number of tokens")
            for size in ("512", -5, 512.0, True, [512], 10**30)
        ),
        ("/v1/models", Reply(301, "", {"Location": "https://elsewhere/"}), "redirects"),
        ("/v1/models", Reply(500, {"error": {"message": "CUDA\nerror"}}), "CUDA error"),
        ("/v1/models", Reply(503, {"error": {"message": "Loading model", "code": 503}}), "Loading model"),
        ("/v1/models", Reply(429, {"detail": "slow down"}), "slow down"),
        ("/tokenize", Reply(404, {"detail": "Not Found"}), "Not Found"),
        ("/tokenize", Reply(200, {"tokens": [1, 2]}), "tokenizer"),
        ("/tokenize", Reply(200, {"tokens": "x"}), "tokenizer"),
        ("/tokenize", Reply(200, {"count": 2}), "another shape"),
        ("/tokenize", Reply(200, None), "another shape"),
    ],
    ids=str,
)
def test_a_wrong_server_is_one_line(peer: Peer, chatml: Model, path: str, reply: Reply, words: str) -> None:
    """Regression test: a context that was a text, from a proxy that writes JSON loosely, ended with a traceback."""
    peer.replies[path] = reply
    assert words in line(chatml, peer.url)


def test_a_name_with_control_characters_is_not_printed(peer: Peer, chatml: Model) -> None:
    """A terminal obeyed the escape sequences of a model's name in the lines at start."""
    right, peer.model_name = peer.model_name, "a\x1b[2J\nb"
    try:
        assert "no name of a model" in line(chatml, peer.url)
    finally:
        peer.model_name = right


def test_another_kind_of_server_than_named_is_one_line(peer: Peer, chatml: Model) -> None:
    """`--engine llama.cpp` before a vLLM said only that /props does not exist."""
    assert "is a server of vllm, not of llama.cpp" in line(chatml, peer.url, dialect="llama.cpp")


def test_a_wrong_key_is_one_line(peer: Peer, chatml: Model) -> None:
    peer.key = "right"
    for key in (None, "wrong"):
        message = line(chatml, peer.url, key=key)
        assert "--engine-key" in message and "wrong" not in message


@pytest.mark.parametrize("key", ["sk\nx", "schlüssel-€"])
def test_a_key_that_no_header_can_hold_is_one_line(peer: Peer, chatml: Model, key: str) -> None:
    message = line(chatml, peer.url, key=key)
    assert "--engine-key" in message and key not in message


def test_another_tokenizer_is_one_line(peer: Peer, chatml: Model, llama: Model) -> None:
    peer.tokenizer, right = llama.tokenizer, peer.tokenizer
    try:
        assert "tokenizer" in line(chatml, peer.url)
    finally:
        peer.tokenizer = right


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "http://",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "ftp://127.0.0.1",
        "http://host.invalid",
        "unix:/run/engine.sock",
        "http://a b/",
        "http://:key@127.0.0.1",
        "http://a..b",
        "http://127.0.0.1/?",
        "",
    ],
)
def test_a_url_that_is_none_is_one_line(chatml: Model, url: str) -> None:
    assert url in line(chatml, url)


def test_a_closed_port_is_one_line(chatml: Model) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = url_of(listener)
    assert "cannot be reached" in line(chatml, url)


def test_a_connection_that_nobody_accepts_is_one_line(chatml: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue of connections: the system drops the packets, as a firewall does."""
    monkeypatch.setattr(connection, "CONNECT_S", 0.5)
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        began = time.monotonic()
        message = line(chatml, url_of(listener))
        for one in waiting:
            one.close()
    assert "0.5 s" in message and time.monotonic() - began < 10


@pytest.mark.parametrize("path", ["/v1/models", "/tokenize"])
def test_a_server_that_is_silent_is_one_line(
    peer: Peer, chatml: Model, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(http, "CHECK_S", 0.5)
    peer.replies[path] = Reply(200, {"data": [CARD]}, delay_s=30)
    began = time.monotonic()
    assert "0.5 s" in line(chatml, peer.url)
    assert time.monotonic() - began < 10


def test_a_server_that_speaks_no_http_is_one_line(chatml: Model) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            connection.recv(65_536)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            connection.close()

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        message = line(chatml, url_of(listener))
        thread.join(5)
    assert "HTTP" in message


def test_urls_may_end_in_v1(peer: Peer, chatml: Model) -> None:
    for url in (peer.url, f"{peer.url}/", f"{peer.url}/v1", f"{peer.url}/v1/"):
        engine = connect(RemoteServers((url,)), chatml.tokenizer, model="peer", vocab_size=272)
        assert engine.max_context == peer.max_context
        asyncio.run(engine.close())


def test_all_servers_must_fit(peer: Peer, chatml: Model) -> None:
    """The second server of two is checked too, and the message names it."""
    where = RemoteServers((peer.url, "http://127.0.0.1:9"))
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9"):
        connect(where, chatml.tokenizer, model="peer", vocab_size=272)
