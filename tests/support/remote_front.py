"""Our server over scripted peers, and requests to it whose errors are checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from checkpoints.model import Model
from core.generation import Sampling
from engines.remote.engine import RemoteEngine
from server import create_app
from tests.support.remote_model import engine_over
from tests.support.scripted_peer import Peer, When
from tests.support.serving import serving, shared

SILENCE_S = 0.6
SOON_S = 15.0  # many times the deadline, for a busy machine
PROMPT = [5, 6, 7]
WRITES = Sampling(max_tokens=40, temperature=0.0, stop_ids=frozenset({258}))
BEFORE: list[When] = ["before head", "in head", "after head"]


@dataclass
class Front:
    """Our server over the first `len(peers)` peers."""

    url: str
    engine: RemoteEngine
    peers: list[Peer]

    def reset(self) -> None:
        for peer in self.peers:
            peer.forget()
        for server in self.engine._servers:
            self.engine._servers.recover(server)


@contextmanager
def front_over(chatml: Model, peers: list[Peer]) -> Iterator[Front]:
    with engine_over(chatml, *peers, silence_s=SILENCE_S) as engine:
        close = engine.close
        model = shared(replace(chatml, engine=engine))
        with serving(create_app(lambda: model)) as url:
            yield Front(url, engine, peers)
        engine.close = close  # type: ignore[method-assign]


def chat(url: str, *, stream: bool = False, **others: Any) -> httpx2.Response:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 40, "temperature": 0}
    began = time.monotonic()
    answer = httpx2.post(f"{url}/v1/chat/completions", json={**body, "stream": stream, **others}, timeout=60)
    assert time.monotonic() - began < SOON_S
    return answer


def error_of(answer: httpx2.Response) -> str:
    """Return the message of an error, whose shape is checked."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "127.0.0.1" not in error["message"], "a client learns an address"
    return str(error["message"])


def events(answer: httpx2.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]


def said(answer: httpx2.Response) -> str:
    content = answer.json()["choices"][0]["message"]["content"]
    return str(content)


def is_idle(front: Front) -> bool:
    running_here = sum(server.num_running for server in front.engine._servers)
    return not running_here and not any(peer.num_running for peer in front.peers)


def soon(condition: Callable[[], bool]) -> bool:
    """Return whether the condition holds within ten seconds."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()
