"""Endpoints over real sockets: our own server, and scripted ones that are dead, slow, busy or answer invalid JSON."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from client.endpoints import Answer, HttpEndpoint, NoAnswer, Unusable, read_answer
from core.conversation import Call
from core.errors import EngineBusy
from evaluate.local import EngineEndpoint, FirstFunction
from inference import Model
from tests.support.evaluate_doubles import CITY, Reply, Script, completion, one_after_another, playing
from tests.support.scripted_engine import ScriptedEngine, scripted

ASKED = {
    "messages": [{"role": "user", "content": "Oslo?"}],
    "tools": [{"type": "function", "function": CITY}],
    "temperature": 0,
}
GOOD = Reply(completion(None, ("city_weather", {"city": "Oslo"})))


def asked(url: str, *, model: str = "", times: int = 1, **options: Any) -> list[Answer]:
    async def ask() -> list[Answer]:
        async with HttpEndpoint(url, model, **{"timeout_s": 5.0, "first_wait_s": 0.01, **options}) as endpoint:
            return [await endpoint.answer(ASKED) for _ in range(times)]

    return asyncio.run(ask())


def fault(script: Script, **options: Any) -> str:
    """Return the type and message of the exception that the endpoint raises when a server plays this script."""
    with playing(script) as played, pytest.raises((NoAnswer, Unusable)) as raised:
        asked(played.url, model="m", **options)
    return f"{type(raised.value).__name__}: {raised.value}".replace(played.url, "URL")


def test_calls_are_read_and_the_first_listed_model_is_asked() -> None:
    with playing(lambda _: GOOD) as played:
        (answer,) = asked(played.url, api_key="sk-1")
    assert answer.calls == (Call("city_weather", '{"city": "Oslo"}', "call_0"),)
    assert played.bodies == [{"model": "scripted", **ASKED}]
    assert played.keys == ["Bearer sk-1"]


@pytest.mark.parametrize(
    "first",
    [
        Reply(status=500),
        Reply(status=503, headers={"retry-after": "0"}),
        Reply(status=429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Reply(vanishes=True),
        Reply(completion("late"), delay_s=2.0),
        Reply(b"cut", headers={"content-length": "900", "connection": "close"}),
        Reply(b"garbage", headers={"content-encoding": "gzip"}),
    ],
    ids=["500", "503", "429", "vanishes", "slow", "cut off", "not gzip"],
)
def test_errors_that_may_pass_are_retried(first: Reply) -> None:
    with playing(one_after_another(first, GOOD)) as played:
        (answer,) = asked(played.url, model="m", timeout_s=0.7)
    assert answer.calls[0].name == "city_weather"
    assert len(played.bodies) == 2


def test_an_error_after_all_tries_has_the_number_of_tries() -> None:
    assert fault(lambda _: Reply(b"oops", status=500)) == "NoAnswer: URL answered 500: oops (4 tries)"
    assert fault(lambda _: Reply(delay_s=3), timeout_s=0.2) == ("NoAnswer: URL did not answer within 0.2 s (4 tries)")
    message = fault(lambda _: Reply(vanishes=True))
    assert message.startswith("NoAnswer: URL cannot be reached: ")
    assert message.removesuffix(" (4 tries)").removeprefix("NoAnswer: URL cannot be reached: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "NoAnswer: URL sent an unusable answer: '<html>' is no JSON"),
        (b"[1]", "NoAnswer: URL sent an unusable answer: a JSON object was expected, got '[1]'"),
        (b"{}", "NoAnswer: URL sent an unusable answer: KeyError at 'choices'"),
        (b'{"choices": []}', "NoAnswer: URL sent an unusable answer: IndexError"),
        (b'{"choices": [{"message": null}]}', "NoAnswer: URL sent an unusable answer: AttributeError"),
        (b'{"choices": [{"message": {"tool_calls": [7]}}]}', "NoAnswer: URL sent an unusable answer: TypeError"),
        (
            b'{"choices": [{"message": {}}], "usage": {"prompt_tokens": "many"}}',
            "NoAnswer: URL sent an unusable answer: Val",
        ),
    ],
)
def test_nonsense_is_no_answer(body: bytes, message: str) -> None:
    """Regression test: an answer with an invalid number of tokens ended the whole run with a traceback."""
    assert fault(lambda _: Reply(body)).startswith(message)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405])
def test_a_wrong_address_key_or_model_is_not_retried(status: int) -> None:
    body = b'{"error": {"message": "No such model."}}'
    assert fault(lambda _: Reply(body, status=status)) == f"Unusable: URL answered {status}: No such model."


def test_a_bad_request_is_an_answer_with_an_error_and_is_not_retried() -> None:
    with playing(lambda _: Reply(b'{"error": {"message": "Too long."}}', status=400)) as played:
        (answer,) = asked(played.url, model="m")
    assert answer.error == f"{played.url} answered 400: Too long."
    assert len(played.bodies) == 1


def test_an_address_without_a_server_is_unusable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unusable, match=f"http://127.0.0.1:{port}/v1 cannot be reached: .+tries"):
        asked(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(Unusable, match="htp://nowhere"):
        asked("htp://nowhere")


def test_tool_calls_and_function_call_are_read() -> None:
    legacy = {"message": {"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "finish_reason": "x"}
    assert read_answer({"choices": [legacy]}, 0.0).calls == (Call("f", "{}"),)
    text = read_answer({"choices": [{"message": {"content": "Hi"}}], "usage": {"completion_tokens": 2}}, 1.23456)
    assert (text.text, text.calls, text.completion_tokens, text.seconds) == ("Hi", (), 2, 1.235)


def named(calls: Iterable[Call]) -> list[tuple[str, str]]:
    """Return the names and arguments of the calls, without their random ids."""
    return [(call.name, call.arguments) for call in calls]


def test_our_server_and_the_engine_in_process_answer_alike(
    play: Callable[..., ScriptedEngine], played: tuple[Model, ScriptedEngine], played_url: str
) -> None:
    play('all\nLooking.>>>city_weather\n{"city": "Oslo"}>>>city_weather\n{"city": "Rome"}')
    (over_http,) = asked(f"{played_url}/v1")
    in_process = asyncio.run(EngineEndpoint(played[0]).answer(ASKED))
    assert [call.arguments for call in over_http.calls] == ['{"city": "Oslo"}', '{"city": "Rome"}']
    assert over_http.text == "Looking."
    for answer in (over_http, in_process):
        assert (answer.text, named(answer.calls)) == (over_http.text, named(over_http.calls))
        assert answer.finish_reason == "tool_calls"
        assert answer.prompt_tokens == over_http.prompt_tokens > 50
        assert answer.completion_tokens == over_http.completion_tokens > 50


def test_errors_faults_and_timeouts_of_the_engine_in_process_are_one_sentence(chatml: Model) -> None:
    model, _ = scripted(chatml, "all\nhello", max_context=64)
    assert "maximum context length is 64 tokens" in asyncio.run(EngineEndpoint(model).answer(ASKED)).error
    model, _ = scripted(chatml, "all\nhello")
    assert "'maybe'" in asyncio.run(EngineEndpoint(model).answer({**ASKED, "tool_choice": "maybe"})).error
    model, _ = scripted(chatml, "all\nhello", fails_at=2)
    with pytest.raises(NoAnswer, match="tiny: the script says so"):
        asyncio.run(EngineEndpoint(model).answer(ASKED))
    model, engine = scripted(chatml, "all\nhello", step_s=5.0)
    with pytest.raises(NoAnswer, match=r"no adapter did not answer within 0\.1 s"):
        asyncio.run(EngineEndpoint(model, "m, no adapter", timeout_s=0.1).answer(ASKED))
    assert engine.num_active == 0


def test_a_busy_engine_is_waited_for(chatml: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression test: requests that did not fit into the engine's queue counted as rows without an answer."""
    model, engine = scripted(chatml, "all\nhello")
    generate, refusals = engine.generate, [EngineBusy(), EngineBusy()]

    def busy(*arguments: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return generate(*arguments)

    monkeypatch.setattr(engine, "generate", busy)
    monkeypatch.setattr("evaluate.local.BUSY_WAIT_S", 0.01)
    assert asyncio.run(EngineEndpoint(model).answer(ASKED)).text == "hello"


def test_the_baseline_calls_the_first_function_without_arguments() -> None:
    assert asyncio.run(FirstFunction().answer(ASKED)).calls == (Call("city_weather", "{}"),)
    assert asyncio.run(FirstFunction().answer({"messages": []})).calls == ()
