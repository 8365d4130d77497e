"""A server that fails, stalls or lies at any point: the client gets an error of OpenAI's shape, and soon."""

from __future__ import annotations

import json
import tracemalloc
from itertools import product
from typing import Any

import pytest

from tests.support.remote_front import (
    BEFORE,
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
