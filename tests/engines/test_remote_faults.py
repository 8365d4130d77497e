"""A server that fails, stalls or lies at any point: the client gets an error of OpenAI's shape, and soon."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from contextlib import aclosing, closing, suppress
from itertools import product
from typing import Any

import pytest

from engines.remote.http import HttpServer, ServerError
from tests.support.remote_front import (
    BEFORE,
    SOON_S,
    Front,
    chat,
    error_of,
    events,
    said,
)
from tests.support.scripted_peer import Fault, How, Reply, When

HOW: list[How] = ["reset", "close", "stall"]


def stream(data: str) -> Reply:
    return Reply(200, f"data: {data}\n\n", content_type="text/event-stream")


@pytest.mark.parametrize(("when", "how"), list(product(BEFORE, HOW)))
def test_a_server_that_breaks_before_the_first_token(front: Front, when: When, how: How) -> None:
    front.peers[0].fault = Fault(when, how)
    for stream in (False, True):
        answer = chat(front.url, stream=stream)
        assert answer.status_code == 503 and answer.headers["retry-after"], answer.text
        assert "the engine's server" in error_of(answer)


@pytest.mark.parametrize(("when", "how"), list(product(BEFORE, HOW)))
def test_a_request_that_has_sent_nothing_goes_to_another_server(two: Front, when: When, how: How) -> None:
    for peer in two.peers:
        peer.fault = Fault(when, how, times=1)
    two.peers[1].fault = None
    answers = [chat(two.url) for _ in range(2)]  # one of them meets the fault
    assert [said(answer) for answer in answers] == ["hello there"] * 2
    assert two.engine.health() == ""


@pytest.mark.parametrize("how", HOW)
def test_a_server_that_breaks_in_an_answer(two: Front, how: How) -> None:
    """What was sent stays sent: the client gets an error event and no [DONE], and a whole answer is status 500."""
    for peer in two.peers:
        peer.fault = Fault("mid-chunk", how, num_events=6)
    got = events(chat(two.url, stream=True))
    assert "[DONE]" not in got and len(got) > 2
    assert set(json.loads(got[-1])["error"]) == {"message", "type", "param", "code"}
    assert "127.0.0.1" not in got[-1]
    two.reset()
    for peer in two.peers:
        peer.fault = Fault("mid-chunk", how, num_events=6)
    answer = chat(two.url)
    assert answer.status_code == 500 and error_of(answer)


@pytest.mark.parametrize("how", HOW)
def test_a_server_that_breaks_after_the_last_token_harms_nothing(front: Front, how: How) -> None:
    front.peers[0].fault = Fault("before end", how)
    assert said(chat(front.url)) == "hello there"
    assert events(chat(front.url, stream=True))[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(400, {"error": {"message": "No.", "code": 400}}), 400),
        (Reply(401, {"error": "Unauthorized"}), 503),
        (Reply(404, {"error": {"message": "The model `x` does not exist."}}), 503),
        (Reply(429, {"error": {"message": "slow down"}}), 429),
        (Reply(500, "Internal Server Error"), 503),
        (Reply(503, {"error": {"message": "Loading model"}}), 503),
        (Reply(302, "", {"Location": "http://127.0.0.1:9/"}), 503),
        (Reply(302, ""), 503),
        (Reply(200, "<html>Sign in</html>"), 503),
        (Reply(200, {"choices": []}), 500),
        (stream("{]"), 503),
        (stream("[]"), 503),
        (stream("" + "[" * 100_000 + ""), 503),
        (stream('{"error": {"message": "boom", "code": 500}}'), 503),
        (
            stream('{"error": {"message": "too long", "code": 400}}'),
            400,
        ),
        (stream('{"error": "boom"}'), 503),
        (stream("[DONE]"), 500),
        (Reply(200, "", content_type="text/event-stream"), 500),
    ],
    ids=lambda value: str(value)[:60],
)
def test_another_answer_than_a_stream_of_tokens(front: Front, reply: Reply, status: int) -> None:
    peer = front.peers[0]
    peer.replies[peer.dialect.completions] = reply
    for stream in (False, True):
        answer = chat(front.url, stream=stream)
        assert answer.status_code == status, answer.text
        assert error_of(answer)
        assert ("retry-after" in answer.headers) == (status in (429, 503))


def test_servers_that_are_only_busy_are_not_failed(two: Front) -> None:
    """After 429 of all servers, /health said 503, and an orchestrator would have ended this process."""
    for peer in two.peers:
        peer.replies[peer.dialect.completions] = Reply(429, {"error": {"message": "slow down"}})
    assert chat(two.url).status_code == 429
    assert two.engine.health() == ""
    two.peers[1].replies.clear()
    assert [said(chat(two.url)) for _ in range(3)] == ["hello there"] * 3


def test_a_busy_and_a_failed_server_are_a_full_queue(two: Front) -> None:
    """The order of the servers must not decide between 429 and 503."""
    for busy, failed in ((0, 1), (1, 0)):
        two.reset()
        path = two.peers[0].dialect.completions
        two.peers[busy].replies[path] = Reply(429, {"error": {"message": "slow down"}})
        two.peers[failed].replies[path] = Reply(500, "")
        assert chat(two.url).status_code == 429


def changed(**fields: Any) -> Any:
    """Return a change of the third event of an answer in vLLM's shape."""
    seen: list[Any] = []

    def change(event: Any) -> Any:
        seen.append(event)
        if len(seen) == 3:
            event["choices"][0] |= fields
        return event

    return change


@pytest.mark.parametrize(
    "fields",
    [
        {"token_ids": [272]},
        {"token_ids": [-1]},
        {"token_ids": [10**30]},
        {"token_ids": ["5"]},
        {"token_ids": [1.0]},
        {"token_ids": [None]},
        {"token_ids": [True]},
        {"token_ids": [[5]]},
        {"token_ids": None},
        {"token_ids": {}, "finish_reason": "abort"},
        {"token_ids": 7},
        {"finish_reason": 7},
    ],
    ids=str,
)
def test_ids_that_are_none_are_an_error_of_this_request_only(front: Front, fields: Any) -> None:
    front.peers[0].change = changed(**fields)
    answer = chat(front.url)
    assert answer.status_code == 500 and "the engine's server" in error_of(answer)
    front.peers[0].change = None
    assert said(chat(front.url)) == "hello there"


def test_an_error_event_in_a_stream(front: Front) -> None:
    seen: list[Any] = []

    def change(event: Any) -> Any:
        seen.append(event)
        return event if len(seen) < 5 else {"error": {"message": "CUDA error", "type": "x", "code": 500}}

    front.peers[0].change = change
    got = events(chat(front.url, stream=True))
    assert "CUDA error" in json.loads(got[-1])["error"]["message"] and "[DONE]" not in got


def test_a_stop_id_that_is_no_end_of_text(front: Front) -> None:
    """A server that ends at a token of its own is asked to go on: only the request's stop tokens end an answer."""
    front.peers[0].change = lambda event: early_end(event)
    seen: list[int] = []

    def early_end(event: Any) -> Any:
        choice = (event.get("choices") or [{}])[0]
        seen.extend(choice.get("token_ids", []))
        if len(seen) == 6:
            return event | {"choices": [choice | {"finish_reason": "stop", "stop_reason": seen[-1]}]}
        return event if len(seen) < 6 or front.peers[0].num_completions > 1 else None

    assert said(chat(front.url)) == "hello there"
    assert front.peers[0].num_completions == 2


def test_an_event_without_end_is_cut_with_little_memory(front: Front) -> None:
    front.peers[0].flood = 2**30
    tracemalloc.start()
    try:
        answer = chat(front.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 500 and "16777216 bytes" in error_of(answer)
    assert peak < 100 * 2**20, peak


def test_zipped_answers_are_refused(front: Front) -> None:
    """Events are asked for as they are; a proxy that packs them all the same would hold them back."""
    front.peers[0].is_zipped = True
    answer = chat(front.url)
    assert answer.status_code == 503
    assert "gzip" in answer.json()["error"]["message"]


async def answer_to(*sent: bytes) -> str:
    """Return the error for a server that sends all but the last of `sent`, and then the last for ever."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError), closing(writer):
            writer.writelines(sent[:-1])
            while True:
                writer.write(sent[-1])
                await writer.drain()
                await asyncio.sleep(0.05)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(SOON_S), aclosing(HttpServer(url, None, 0.5).events("/x", {})) as events:
            with pytest.raises(ServerError) as caught:
                await anext(events)
    return str(caught.value)


@pytest.mark.parametrize("data", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1"])
def test_a_head_that_never_ends_is_cut(data: bytes) -> None:
    """Interim answers, or a head of a byte a second, are no silence: a request waited for as long as they came."""
    assert asyncio.run(answer_to(data)) == "has not begun its answer within 0.5 s"


@pytest.mark.parametrize("data", [b"\n", b"\r\n\r\n", b"d"])
def test_a_stream_of_nothing_is_cut(data: bytes) -> None:
    """Empty lines, and an event of a byte a second, are no silence: a request waited for as long as they came."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    assert asyncio.run(answer_to(head, data)) == "has sent no line with content for 0.5 s"


def test_events_without_tokens_are_cut(front: Front) -> None:
    """A server that sent events without tokens for ever kept its request, and a core, for ever."""
    event = "data: " + json.dumps({"choices": [{"token_ids": [], "finish_reason": None}]}) + "\n\n"
    peer = front.peers[0]
    peer.replies[peer.dialect.completions] = Reply(200, event * 10_100, content_type="text/event-stream")
    answer = chat(front.url)
    assert answer.status_code == 503 and "events without tokens" in error_of(answer)


LOGPROBS: list[Any] = [
    None,
    {"token_logprobs": ["x"], "top_logprobs": [{"token_id:5": -1}]},
    {"token_logprobs": [float("nan")], "top_logprobs": [{"token_id:5": -1}]},
    {"token_logprobs": [-1], "top_logprobs": [{"token_id:5": float("inf")}]},
    {"token_logprobs": [-1], "top_logprobs": [{"token_id:99999": -1}]},
]


@pytest.mark.parametrize("found", LOGPROBS, ids=str)
def test_logprobs_that_are_none_are_an_error_of_this_request(front: Front, found: Any) -> None:
    """A stream had NaN, which is no JSON, or a text in the place of a number; a whole answer was an unforeseen error.

    Without any logprobs, the answer had none for its tokens, though they were asked for.
    """
    front.peers[0].change = changed(logprobs=found)
    answer = chat(front.url, logprobs=True, top_logprobs=1)
    assert answer.status_code == 500 and "logprob" in error_of(answer) + "logprob" * ("99999" in str(found))
    front.peers[0].change = changed(logprobs=found)
    assert "NaN" not in chat(front.url, stream=True, logprobs=True, top_logprobs=1).text
    front.peers[0].change = None
    assert said(chat(front.url, logprobs=True, top_logprobs=1)) == "hello there"


def test_a_negative_number_of_cached_tokens_is_none(front: Front) -> None:
    """The counter of cached tokens refused it, so that a whole answer became status 500."""

    def change(event: Any) -> Any:
        if event.get("usage"):
            event["usage"]["prompt_tokens_details"]["cached_tokens"] = -5
        return event

    front.peers[0].change = change
    answer = chat(front.url)
    assert said(answer) == "hello there"
    assert answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_said_about_a_wrong_key_is_not_passed_on(
    front: Front, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxies name the key that they refuse. Every client read it in the error, and it was in the log."""
    peer = front.peers[0]
    peer.replies[peer.dialect.completions] = Reply(
        status, {"error": {"message": "Received API Key = sk-of-the-operator"}}
    )
    answer = chat(front.url)
    assert answer.status_code == 503 and f"status {status}" in error_of(answer)
    assert "sk-of" not in answer.text + caplog.text


def test_control_characters_of_a_server_reach_no_terminal(front: Front) -> None:
    """The log on a terminal obeyed escape sequences in a message of the server."""
    peer = front.peers[0]
    peer.replies[peer.dialect.completions] = Reply(400, {"error": {"message": "a\x1b[2Jb\x9b\u202e\nc"}})
    assert "a[2Jb c" in error_of(chat(front.url))
