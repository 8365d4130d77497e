"""Group F of the hostile requests: clients that disconnect or read slowly, and failures in the middle of a stream."""

from __future__ import annotations

import json
import logging
import socket
import struct
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import openai
import pytest
from prometheus_client import CollectorRegistry

from core.generation import Sampling, Step
from engines.local.engine import LocalEngine
from inference import Model, load_model
from prompt_template import Piece
from server import create_app
from tests.support.abuse_bytes import post
from tests.support.abuse_client import BODY, CHAT, RAW, USER, Client, as_json, check_error, connect
from tests.support.scripted_engine import ScriptedEngine
from tests.support.serving import serving
from tests.support.small_engine import num_requests
from tests.support.streamed import events

FREED_S = 1.0


@pytest.fixture(autouse=True)
def silent_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither a client that disconnects nor a failing engine causes a traceback in the log."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record.getMessage() for record in caplog.records if record.exc_info]


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FREED_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Clients that disconnect


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": True, "n": 4}, {}, {"n": 3}], ids=str)
@pytest.mark.parametrize("path", [CHAT, RAW])
def test_work_stops_when_the_client_disconnects(
    played_url: str, play: Callable[..., ScriptedEngine], fields: dict[str, Any], path: str, subtests: pytest.Subtests
) -> None:
    """The engine is free within a second after a close or a reset, before the first byte or in the middle."""
    engine = play("all\nhello")
    for after_s, is_reset in product((0.0, 0.02, 0.15), (False, True)):
        with subtests.test(after_s=after_s, is_reset=is_reset):
            play("all\n" + "word " * 1_000, step_s=0.01)
            body = as_json({**BODY, "prompt": "x", "max_tokens": 4_000, **fields})
            with connect(played_url) as connection:
                if is_reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(post(body, path=path))
                time.sleep(after_s)
            time.sleep(0.05)  # the server first reads what the client sent
            wait_until(lambda: engine.num_active == 0)
            num_steps = engine.num_steps
            time.sleep(0.03)
            assert engine.num_steps == num_steps
            play("all\nhello")
            with Client(played_url) as client:
                client.check_health()


def test_the_real_engine_is_freed_too(tmp_path_factory: pytest.TempPathFactory, chatml_folder: Any) -> None:
    """Twice as many clients as slots disconnect, half of them while they wait in the queue. All slots become free.

    Regression test: a request whose client left during a step was opened again by that step and kept its slot forever.
    """
    model = load_model(str(chatml_folder), served_names=["tiny"], dtype="float32")
    engine = model.engine
    assert isinstance(engine, LocalEngine)
    with serving(create_app(lambda: model)) as url:
        for stream in (True, False):
            body = as_json({**BODY, "max_tokens": 900, "stream": stream, "logit_bias": {"258": -100}})
            connections = [connect(url) for _ in range(16)]
            for connection in connections:
                connection.sendall(post(body))
            wait_until(lambda: num_requests(engine) == 16)
            for connection in connections:
                connection.close()
            wait_until(lambda: num_requests(engine) == 0)
        with Client(url) as client:
            client.check_health()


def test_a_slow_reader_gets_everything(played_url: str, play: Callable[..., ScriptedEngine]) -> None:
    """The engine waits for a slow reader instead of keeping the whole answer in memory."""
    play("all\n" + "word " * 500)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", int(played_url.rpartition(":")[2])))
        body = as_json({**BODY, "max_tokens": 4_000, "stream": True})
        connection.sendall(post(body, "Connection: close"))
        time.sleep(0.3)
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    assert received.count(b'"content":') > 2_000
    assert b"data: [DONE]\n\n" in received
    with Client(played_url) as client:
        client.check_health()


# Failures


@pytest.mark.parametrize("fails_at", [5, 9, 20])
def test_a_failure_in_a_stream_does_not_look_finished(
    played_url: str, play: Callable[..., ScriptedEngine], fails_at: int
) -> None:
    """A failure in a stream is sent as an error event, on which the official client raises.

    The client would take a stream that just stops for a complete answer.
    """
    play("all\n" + "word " * 20, fails_at=fails_at)
    with Client(played_url) as client:
        answer = client.chat(stream=True, max_tokens=99)
    assert answer.status == 200
    *chunks, last = events(answer.body)
    check_error(last.encode())
    assert all(json.loads(chunk)["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert b"[DONE]" not in answer.body
    with openai.OpenAI(base_url=f"{played_url}/v1", api_key="none", max_retries=0) as official:
        stream = official.chat.completions.create(model="tiny", messages=[USER], stream=True)  # type: ignore[list-item]
        with pytest.raises(openai.APIError, match="could not finish"):
            list(stream)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, RAW])
def test_a_failure_before_the_first_byte_is_a_status(
    played_url: str, play: Callable[..., ScriptedEngine], stream: bool, path: str
) -> None:
    play("all\n" + "word " * 20, fails_at=0)
    with Client(played_url) as client:
        answer = client.post(path, {**BODY, "prompt": "x", "stream": stream})
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        check_error(answer.body)
        play("all\nhello")
        client.check_health()


class Leaky:
    """An engine that fails with an unforeseen exception whose message contains a path."""

    max_context, vocab_size, is_down = 1_000, 272, False

    def __init__(self, steps: Sequence[int]) -> None:
        self.steps = steps
        self.registry = CollectorRegistry()

    def description(self) -> str:
        return "a leak"

    def health(self) -> str:
        return ""

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        for token_id in self.steps:
            yield Step((token_id,))
        raise OSError("/secret/path")

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


@pytest.mark.parametrize("num_steps", [0, 12])
@pytest.mark.parametrize("stream", [True, False])
def test_an_unforeseen_failure_is_not_described(
    chatml: Model, caplog: pytest.LogCaptureFixture, num_steps: int, stream: bool
) -> None:
    steps = chatml.tokenizer.encode([Piece("all\nhello world")]).ids[:num_steps]
    model = replace(chatml, engine=Leaky(steps))
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        answer = client.chat(stream=stream, max_tokens=99)
    error = events(answer.body)[-1].encode() if answer.status == 200 else answer.body
    check_error(error)
    assert b"secret" not in answer.body
    assert "/secret/path" in caplog.text  # the log shows it to the operator
    caplog.clear()
