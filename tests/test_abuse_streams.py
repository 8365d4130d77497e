"""Groups E and F: what a model may write, and clients that leave, dawdle, or meet a failure in the middle of a stream."""

from __future__ import annotations

import json
import logging
import random
import socket
import struct
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any

import openai
import pytest
from abuse_bytes import post
from abuse_client import BODY, CHAT, RAW, USER, Client, as_json, check_answer, check_error, connect
from abuse_schemas import tool, with_property
from conftest import serving
from scripted_engine import ScriptedEngine, scripted

from engines import Sampling, Step
from engines.hf import HFEngine
from inference import Model, load_model
from openai_answer import fold
from prompt_template import Piece
from server import create_app

TOOLS = [tool(with_property({"type": "string"})), tool({}, name="g")]
MARKUP = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
FREED_S = 1.0
# Of a model that has functions f and g; >>> and a name open a part.
OUTPUTS = (
    *(
        "",
        "all\n",
        "all\nHello",
        "all\nHi 👋🏽 é\u0301 北京",
        "f\n",
        'f\n{"a": "b"}',
        'f\n{"a": "b"}>>>g\n{}',
        "all\nOne.>>>f\n{}",
    ),
    *(
        'f\n{"a"',
        "f\nno JSON",
        "f\n[1, 2]",
        "f\n{}{}",
        'f\n{"a": "\\u00"}',
        "f\n{'a': 1}",
        'f\n{"a": ">>>g\\n"}',
        "f",
        ">>>",
    ),
    *(
        "h\n{}",
        "nobody\nHello",
        "f g\n{}",
        "ALL\nHello",
        "\nHello",
        "x" * 200,
        "all",
        "all\n>>>",
        "all\n>>>all\nagain",
        ">>>>>>",
    ),
    *(
        "f\n{}>>>all\nDone",
        "all\n" + "na " * 300,
        "f\n" + "[" * 300,
        "all\n<|im_end|",
        "all\n```\n>>>f",
        "all\n\0\x1b[31m\r\n\u2028",
    ),
    *("all\n<|endoftext|>more", 'f\n{"a": "<|im_start|>"}', "<|im_start|>f\n{}", "all\nHello<|im_start|>user\nHi"),
)


@pytest.fixture(scope="module")
def script(chatml: Model) -> tuple[Model, ScriptedEngine]:
    """A model, and its engine, whose script and pace each test sets."""
    return scripted(chatml, "all\nhello", max_context=100_000)


@pytest.fixture(scope="module")
def url(script: tuple[Model, ScriptedEngine]) -> Iterator[str]:
    with serving(create_app(lambda: script[0])) as url:
        yield url


@pytest.fixture
def play(script: tuple[Model, ScriptedEngine]) -> Iterator[Callable[..., ScriptedEngine]]:
    """Let the engine write `output`, in which control tokens may be spelled out."""
    model, engine = script

    def play(output: str, *, step_s: float = 0.0, fails_at: int | None = None) -> ScriptedEngine:
        engine.script = model.tokenizer.encode([Piece(output, markup=True)]).ids
        engine._step_s, engine._fails_at = step_s, fails_at
        return engine

    yield play
    play("all\nhello")


@pytest.fixture(autouse=True)
def silent_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither clients that leave nor an engine that fails are worth a traceback."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record.getMessage() for record in caplog.records if record.exc_info]


def events(body: bytes) -> list[str]:
    """The data of the events; nothing stands between them but comments."""
    blocks = body.decode().split("\n\n")
    assert blocks[-1] == ""
    assert all(block.startswith("data: ") or block == ": ping" for block in blocks[:-1])
    return [block.removeprefix("data: ") for block in blocks[:-1] if block != ": ping"]


def choices(body: bytes) -> dict[int, Any]:
    """The answers that a healthy stream adds up to, by index."""
    *chunks, done = events(body)
    assert done == "[DONE]"
    parts = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
    return {
        index: fold(part for part in parts if part["index"] == index) for index in {part["index"] for part in parts}
    }


def without_ids(choice: dict[str, Any]) -> dict[str, Any]:
    for call in choice["message"].get("tool_calls", ()):
        assert call.pop("id").startswith("call_")
    return choice


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FREED_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# What a model may write


def mutated() -> Iterator[str]:
    """The same outputs, cut, doubled and with bits of each other: 120, the same ones in every run."""
    draw = random.Random(7)
    for _ in range(120):
        output, other = draw.choice(OUTPUTS), draw.choice(OUTPUTS)
        start, end = sorted(draw.randrange(len(output) + 1) for _ in range(2))
        yield (
            output[:start] + draw.choice(("", other, output[start:end] * 2, ">>>", '"', "\\", "\n", "}")) + output[end:]
        )


def test_whatever_a_model_writes(url: str, play: Callable[..., ScriptedEngine]) -> None:
    """It is an answer, the same whether streamed or not, and no markup shows, save what was never meant as such."""
    with Client(url) as client:
        for output in (*OUTPUTS, *mutated()):
            play(output)
            for fields in (
                {"tools": TOOLS},
                {},
                {"tools": TOOLS, "tool_choice": "none"},
                {"functions": [{"name": "f"}]},
            ):
                whole, streamed = (client.chat(**fields, max_tokens=900, stream=stream) for stream in (False, True))
                check_answer(whole)
                [choice] = whole.json["choices"]
                assert choice["finish_reason"] in ("stop", "length", "tool_calls", "function_call")
                assert without_ids(choices(streamed.body)[0]) == without_ids(choice), output
                assert not [mark for mark in MARKUP if mark in whole.body.decode()], output
        client.check_health()


def test_an_answer_cut_anywhere(url: str, play: Callable[..., ScriptedEngine]) -> None:
    """Half a call ends with "length"; what there is of its arguments is kept."""
    output = 'all\nHi 👋🏽>>>f\n{"a": "👋🏽"}'
    with Client(url) as client:
        for num_tokens in range(1, len(output.encode()) + 2):
            play(output)
            for stream in (False, True):
                answer = client.chat(tools=TOOLS, max_tokens=num_tokens, stream=stream)
                check_answer(answer)
                choice = choices(answer.body)[0] if stream else answer.json["choices"][0]
                is_cut = num_tokens <= len(output.encode())
                assert choice["finish_reason"] == ("length" if is_cut else "tool_calls"), num_tokens
                content = choice["message"]["content"] or ""
                assert "Hi 👋🏽".startswith(content.rstrip("\ufffd>")), content


def test_choices_do_not_mix(url: str, play: Callable[..., ScriptedEngine]) -> None:
    play('all\nHello 👋🏽>>>f\n{"a": "b"}')
    with Client(url) as client:
        whole, streamed = (client.chat(tools=TOOLS, max_tokens=99, n=8, stream=stream) for stream in (False, True))
    folded = choices(streamed.body)
    assert [without_ids(folded[index]) for index in range(8)] == [without_ids(one) for one in whole.json["choices"]]


# Clients that leave


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": True, "n": 4}, {}, {"n": 3}], ids=str)
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("path", [CHAT, RAW])
def test_who_leaves_is_worked_for_no_longer(
    url: str,
    play: Callable[..., ScriptedEngine],
    fields: dict[str, Any],
    after_s: float,
    is_reset: bool,
    path: str,
) -> None:
    """At once, before the first byte or in the middle, by a goodbye or a reset: the engine is free within a second."""
    engine = play("all\n" + "word " * 1_000, step_s=0.01)
    body = as_json({**BODY, "prompt": "x", "max_tokens": 4_000, **fields})
    with connect(url) as connection:
        if is_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(post(body, path=path))
        time.sleep(after_s)
    time.sleep(0.05)  # what was sent is read first
    wait_until(lambda: engine.num_active == 0)
    num_steps = engine.num_steps
    time.sleep(0.03)
    assert engine.num_steps == num_steps
    play("all\nhello")
    with Client(url) as client:
        client.check_health()


def test_the_real_engine_is_freed_too(tmp_path_factory: pytest.TempPathFactory, chatml_folder: Any) -> None:
    """Twice as many as it serves at a time, so that half of them leave the queue."""
    model = load_model(str(chatml_folder), served_names=["tiny"])
    engine = model.engine
    assert isinstance(engine, HFEngine)
    body = as_json({**BODY, "max_tokens": 900, "stream": True, "logit_bias": {"258": -100}})
    with serving(create_app(lambda: model)) as url:
        for body in (body, body.replace(b'"stream": true', b'"stream": false')):
            connections = [connect(url) for _ in range(16)]
            for connection in connections:
                connection.sendall(post(body))
            wait_until(lambda: engine.num_running == 16)
            for connection in connections:
                connection.close()
            wait_until(lambda: engine.num_running == 0)
        with Client(url) as client:
            client.check_health()


def test_a_slow_reader_gets_everything(url: str, play: Callable[..., ScriptedEngine]) -> None:
    """The engine waits for who reads, in small sips, instead of keeping all in memory."""
    play("all\n" + "word " * 500)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        body = as_json({**BODY, "max_tokens": 4_000, "stream": True})
        connection.sendall(post(body, "Connection: close"))
        time.sleep(0.3)
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    assert received.count(b'"content":') > 2_400
    assert b"data: [DONE]\n\n" in received
    with Client(url) as client:
        client.check_health()


# Failures


@pytest.mark.parametrize("fails_at", [5, 9, 20])
def test_a_failure_in_a_stream_does_not_look_finished(
    url: str, play: Callable[..., ScriptedEngine], fails_at: int
) -> None:
    """The official client would take a stream that just stops for complete; on an error event it raises."""
    play("all\n" + "word " * 20, fails_at=fails_at)
    with Client(url) as client:
        answer = client.chat(stream=True, max_tokens=99)
    assert answer.status == 200
    *chunks, last = events(answer.body)
    check_error(last.encode())
    assert all(json.loads(chunk)["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert b"[DONE]" not in answer.body
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as official:
        stream = official.chat.completions.create(model="tiny", messages=[USER], stream=True)  # type: ignore[list-item]
        with pytest.raises(openai.APIError, match="could not finish"):
            list(stream)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, RAW])
def test_a_failure_before_the_first_byte_is_a_status(
    url: str, play: Callable[..., ScriptedEngine], stream: bool, path: str
) -> None:
    play("all\n" + "word " * 20, fails_at=0)
    with Client(url) as client:
        answer = client.post(path, {**BODY, "prompt": "x", "stream": stream})
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        check_error(answer.body)
        play("all\nhello")
        client.check_health()


class Leaky:
    """An engine that fails as no engine should: with a path in the exception."""

    max_context, vocab_size = 1_000, 272

    def __init__(self, steps: Sequence[int]) -> None:
        self.steps = steps

    def description(self) -> str:
        return "a leak"

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        for token_id in self.steps:
            yield Step((token_id,))
        raise OSError("/secret/path")

    async def close(self) -> None:
        """Nothing to end."""


@pytest.mark.parametrize("num_steps", [0, 12])
@pytest.mark.parametrize("stream", [True, False])
def test_nothing_is_told_of_an_unforeseen_failure(
    chatml: Model, caplog: pytest.LogCaptureFixture, num_steps: int, stream: bool
) -> None:
    from dataclasses import replace

    steps = chatml.tokenizer.encode([Piece("all\nhello world")]).ids[:num_steps]
    model = replace(chatml, engine=Leaky(steps))
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        answer = client.chat(stream=stream, max_tokens=99)
    error = events(answer.body)[-1].encode() if answer.status == 200 else answer.body
    check_error(error)
    assert b"secret" not in answer.body
    assert "/secret/path" in caplog.text  # but the operator is told
    caplog.clear()
