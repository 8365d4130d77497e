"""Rate limits: no window has too much, whoever waits as told is served, and answers say what is left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import limits.storage.memory
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI, RateLimitError

import web.rate_limits
from inference import Model
from server import create_app
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.rate_limits import RateLimited, RateLimits, duration
from web.settings import Settings

ASKED: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 50}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": ASKED,
    "/v1/completions": {"model": "tiny", "prompt": "x", "max_tokens": 50},
    "/v1/responses": {"model": "tiny", "input": "x"},
    "/v1/messages": ASKED,
}
NAMES_IN_USAGE = (("prompt", "input"), ("completion", "output"))  # in chat completions, and in the newer APIs
MINUTE = 60.0
GAPS = st.lists(st.floats(0, 40, allow_nan=False), max_size=60)


class Clock:
    """The time of the limits, which a test moves."""

    def __init__(self) -> None:
        self.now = 1.8e9

    def time(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.storage.memory, "time", clock)
        patch.setattr(web.rate_limits, "time", clock)
        yield clock


@given(gaps=GAPS, limit=st.integers(1, 8))
def test_no_minute_has_more_requests_than_the_limit(clock: Clock, gaps: list[float], limit: int) -> None:
    """Whatever the pace of a client is. Refused requests count for nothing: as many are admitted as possible."""
    budget = RateLimits(limit, None)
    admitted: list[float] = []
    for gap in gaps:
        clock.now += gap
        recent = [at for at in admitted if at > clock.now - MINUTE]
        try:
            budget.admit("a")
        except RateLimited as error:
            assert len([at for at in admitted if at >= clock.now - MINUTE]) == limit
            assert error.limit == "requests"
        else:
            assert len(recent) < limit
            admitted.append(clock.now)


@given(gaps=GAPS, costs=st.lists(st.integers(1, 500), min_size=60, max_size=60))
def test_a_client_that_waits_as_told_is_admitted(clock: Clock, gaps: list[float], costs: list[int]) -> None:
    """Retry-After is long enough for the limit that it tells of, and at most a minute, for requests and for tokens."""
    budget = RateLimits(5, 1000)
    for gap, cost in zip(gaps, costs, strict=False):
        clock.now += gap
        reached = []
        while True:
            try:
                budget.admit("a")
                break
            except RateLimited as error:
                assert 1 <= int(error.headers["Retry-After"]) <= MINUTE + 1
                assert error.headers[f"x-ratelimit-remaining-{error.limit}"] == "0"
                reached.append(error.limit)
                clock.now += int(error.headers["Retry-After"])
        assert len(reached) == len(set(reached)), "each limit makes a client wait once"
        budget.charge("a", cost)


@given(costs=st.lists(st.integers(1, 700), min_size=1, max_size=20))
def test_tokens_are_refused_once_they_are_used_up(clock: Clock, costs: list[int]) -> None:
    """A request that starts while tokens are left is admitted, and may use more of them than are left."""
    clock.now += 2 * MINUTE
    budget, used = RateLimits(None, 1000), 0
    for cost in costs:
        try:
            headers = budget.admit("a")
        except RateLimited as error:
            assert used >= 1000
            assert error.limit == "tokens"
        else:
            assert used < 1000
            assert headers["x-ratelimit-remaining-tokens"] == str(1000 - used)
            budget.charge("a", cost)
            used += cost


def test_each_owner_has_a_budget_of_its_own(clock: Clock) -> None:
    budget = RateLimits(1, 10)
    for owner in ("a", "b"):
        budget.admit(owner)
        with pytest.raises(RateLimited):
            budget.admit(owner)
    budget.charge("c", 10)
    with pytest.raises(RateLimited):
        budget.admit("c")
    assert budget.admit("d")["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0199, "20ms"),
        (0.9995, "1s"),
        (1, "1s"),
        (41.2, "42s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (59.9, "1m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# Over HTTP


@pytest.fixture
def app(chatml: Model) -> FastAPI:
    model, _ = scripted(chatml, "all\nHello")
    return create_app(
        lambda: model, Settings(api_keys=["sk-one", "sk-two"], rate_limit_requests=3, rate_limit_tokens=10**6)
    )


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as url:
        yield url


def post(url: str, path: str = "/v1/chat/completions", *, key: str = "sk-one", **fields: Any) -> httpx2.Response:
    return httpx2.post(f"{url}{path}", json={**ROUTES[path], **fields}, headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("path", ROUTES)
def test_each_route_of_the_model_has_the_limits(url: str, path: str) -> None:
    """Whole answers, streams and errors say what is left; too many requests get 429 in the shape of the route's API."""
    name = "anthropic-ratelimit-{1}-{0}" if path == "/v1/messages" else "x-ratelimit-{0}-{1}"
    remaining = name.format("remaining", "requests")
    for left, fields in ((2, {}), (1, {"stream": True}), (0, {"model": "none"})):
        answer = post(url, path, **fields)
        assert answer.status_code == (404 if "model" in fields else 200), answer.text
        assert answer.headers[remaining] == str(left)
        assert answer.headers[name.format("limit", "requests")] == "3"
        assert answer.headers[name.format("limit", "tokens")] == "1000000"
        form = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ" if path == "/v1/messages" else r"1m0s|\d+m?s"
        for kind in ("requests", "tokens"):
            assert re.fullmatch(form, answer.headers[name.format("reset", kind)])
    refused = post(url, path)
    assert refused.status_code == 429
    assert refused.headers[remaining] == "0"
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded"
    assert error["type"] == ("rate_limit_error" if path == "/v1/messages" else "requests")
    assert error["message"].startswith("Rate limit reached: 3 requests a minute. Please try again in ")
    assert post(url, path, key="sk-two").status_code == 200
    for other in ("/v1/models", "/metrics", "/health"):
        answer = httpx2.get(f"{url}{other}", headers={"Authorization": "Bearer sk-one"})
        assert answer.status_code == 200
        assert not [header for header in answer.headers if "ratelimit" in header]
    counting = httpx2.post(f"{url}/tokenize", json={"prompt": "x"}, headers={"Authorization": "Bearer sk-one"})
    assert counting.status_code == 200


def test_the_official_client_knows_the_error(url: str) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="sk-one", max_retries=0) as client:
        for _ in range(3):
            client.chat.completions.create(**ASKED)
        with pytest.raises(RateLimitError) as caught:
            client.chat.completions.create(**ASKED)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")


def counted(url: str, key: str) -> dict[str, float]:
    text = httpx2.get(f"{url}/metrics", headers={"Authorization": "Bearer sk-one"}).text
    found = re.findall(rf'^functionary:key_tokens_total{{key="{key}",kind="(\w+)"}} (\S+)$', text, re.MULTILINE)
    return {kind: float(number) for kind, number in found}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"stream": True, "stream_options": {"include_usage": True}}),
        ("/v1/chat/completions", {"n": 3}),
        ("/v1/completions", {"prompt": ["x", "yz"], "n": 2}),
        ("/v1/messages", {}),
        ("/v1/responses", {}),
    ],
)
def test_tokens_are_counted_as_usage_counts_them(url: str, path: str, fields: dict[str, Any]) -> None:
    """The prompt counts once for all choices. A stream counts like a whole answer."""
    answer = post(url, path, key="sk-two", **fields)
    usage: dict[str, int] = answer.json()["usage"] if not fields.get("stream") else _last_usage(answer.text)
    prompt, generated = (usage.get(f"{old}_tokens") or usage[f"{new}_tokens"] for old, new in NAMES_IN_USAGE)
    assert counted(url, "api-key-2") == {"prompt": prompt, "generation": generated}
    left = post(url, path, key="sk-two").headers
    remaining = left.get("x-ratelimit-remaining-tokens", left.get("anthropic-ratelimit-tokens-remaining"))
    assert remaining == str(10**6 - prompt - generated)


def _last_usage(stream: str) -> dict[str, int]:
    usage: dict[str, int] = json.loads(stream.split("data: ")[-2])["usage"]
    return usage


def test_used_up_tokens_refuse_the_next_request(chatml: Model) -> None:
    """A server without keys has one budget for all clients. An answer that is cut counts as far as it came."""
    model, engine = scripted(chatml, "all\n" + "Hello" * 500, step_s=0.01)
    app = create_app(lambda: model, Settings(rate_limit_tokens=20))
    with serving(app) as url:
        with httpx2.stream(
            "POST", f"{url}/v1/chat/completions", json={**ASKED, "max_tokens": 400, "stream": True}
        ) as answer:
            assert answer.headers["x-ratelimit-remaining-tokens"] == "20"
            assert "x-ratelimit-limit-requests" not in answer.headers
            next(answer.iter_text())
        refused = _until(lambda: httpx2.post(f"{url}/v1/chat/completions", json=ASKED), 429)
        assert (refused.json()["error"]["type"], refused.json()["error"]["code"]) == ("tokens", "rate_limit_exceeded")
        assert engine.num_active == 0


def _until(ask: Any, status: int) -> httpx2.Response:
    """Ask until the answer has this status: the server learns a little later that a client has left."""
    for _ in range(100):
        answer: httpx2.Response = ask()
        if answer.status_code == status:
            return answer
    raise AssertionError(answer.text)
