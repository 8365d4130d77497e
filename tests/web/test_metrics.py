"""/metrics: counters that agree with the answers, and labels that clients cannot extend."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response

from core.generation import Sampling
from inference import Model, load_model
from server import create_app
from tests.support.injected_faults import until
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.exposition import LAG_INTERVAL_S
from web.settings import Settings

Numbers = dict[tuple[str, ...], float]
TOOL = {"type": "function", "function": {"name": "look_around", "parameters": {"type": "object", "properties": {}}}}
ASKED: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "temperature": 0}


def numbers(url: str) -> Numbers:
    """Return the metrics by name and label values, without vLLM's labels, which are equal everywhere."""
    answer = httpx2.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families)
    return {
        (
            sample.name.removeprefix("functionary:"),
            *(value for label, value in sample.labels.items() if label not in ("model_name", "engine")),
        ): sample.value
        for family in families
        for sample in family.samples
    }


def gained(url: str, before: Numbers) -> Numbers:
    return {key: value - before.get(key, 0.0) for key, value in numbers(url).items()}


def test_tokens_are_counted_as_usage_counts_them(tiny_url: str) -> None:
    before = numbers(tiny_url)
    body = {**ASKED, "tools": [TOOL], "tool_choice": "required", "max_tokens": 40}
    usages = [httpx2.post(f"{tiny_url}/v1/chat/completions", json=body).json()["usage"] for _ in range(3)]
    more = gained(tiny_url, before)
    assert more["prompt_tokens_total",] == sum(usage["prompt_tokens"] for usage in usages)
    assert more["generation_tokens_total",] == sum(usage["completion_tokens"] for usage in usages)
    cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert more["prefix_cache_hits_total",] == sum(cached) > 0
    for histogram in ("time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds"):
        assert more[f"{histogram}_count",] == 3
    assert more["request_prompt_tokens_sum",] == more["prefix_cache_queries_total",] == more["prompt_tokens_total",]
    assert more["request_generation_tokens_sum",] == more["generation_tokens_total",]
    assert more["inter_token_latency_seconds_count",] <= more["generation_tokens_total",] - 3
    ended = {key: value for key, value in more.items() if key[0] == "request_success_total" and value}
    assert sum(ended.values()) == 3
    guessed, accepted = (more[f"spec_decode_num_{kind}_tokens_total",] for kind in ("draft", "accepted"))
    assert guessed >= accepted > 0, "the name of the only function is guessed"
    assert more["engine_steps_total",] < more["generation_tokens_total",] + 3


def test_waiting_and_running_requests_are_counted(tiny_url: str) -> None:
    now = numbers(tiny_url)
    assert now["num_requests_running",] == now["num_requests_waiting",] == 0
    assert 0 <= now["kv_cache_usage_perc",] < 1
    assert now["process_resident_memory_bytes",] > 1e6


def test_the_lag_of_the_event_loop_is_measured(chatml: Model) -> None:
    """Work that blocks the event loop delays all streams, and no other metric shows it."""
    model, _ = scripted(chatml, "all\nhello")
    app = create_app(lambda: model)

    async def block(request: Request) -> Response:
        time.sleep(3 * LAG_INTERVAL_S)  # noqa: ASYNC251
        return Response()

    app.add_route("/live", block)
    app.router.routes.insert(0, app.router.routes.pop())
    with serving(app) as url:
        httpx2.get(f"{url}/live")
        asyncio.run(until(lambda: numbers(url)["event_loop_lag_seconds_count",] > 0))
        now = numbers(url)
        assert now["event_loop_lag_seconds_sum",] > LAG_INTERVAL_S
        asyncio.run(until(lambda: numbers(url)["event_loop_lag_seconds_count",] > now["event_loop_lag_seconds_count",]))


def test_finish_reasons_are_counted_apart(chatml_folder: Path) -> None:
    """A stream whose client disconnects is counted neither as stop nor as length."""
    engine = load_model(str(chatml_folder), dtype="float32").engine

    async def leave() -> None:
        async with aclosing(engine.generate([1, 2, 3], Sampling(max_tokens=50))) as steps:
            async for _ in steps:
                break

    async def stay() -> None:
        async with aclosing(engine.generate([1, 2, 3], Sampling(max_tokens=5))) as steps:
            assert sum([len(step.token_ids) async for step in steps]) == 5

    asyncio.run(leave())
    asyncio.run(stay())
    asyncio.run(engine.close())
    name = "functionary:request_success_total"
    by_reason = {
        reason: engine.registry.get_sample_value(name, {"finished_reason": reason})
        for reason in ("stop", "length", "abort", "error")
    }
    assert by_reason == {"stop": 0, "length": 1, "abort": 1, "error": 0}


def test_it_is_behind_the_key(chatml: Model) -> None:
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=["secret"]))) as url:
        assert httpx2.get(f"{url}/metrics").status_code == 401
        with_key = httpx2.get(f"{url}/metrics", headers={"Authorization": "Bearer secret"})
        assert with_key.status_code == 200
