"""The metrics of an engine: what is recorded of a request, and that names, types, labels and buckets are vLLM's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from core.generation import Step
from engines.metrics import EngineMetrics
from inference import Model
from server import create_app
from tests.support.remote_model import peer_of, remote
from tests.support.scripted_engine import ScriptedEngine, scripted
from tests.support.serving import serving
from tests.support.small_engine import GREEDY, steps
from web.exposition import exposition

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "vllm_metrics.json").read_text(encoding="utf-8"))
VLLM: dict[str, Any] = GOLDEN["metrics"]  # as vLLM registers them, with speculative decoding on
# What this server does not have: several engines, images, adapters, sleep, or a count for each place in a draft; or
# what a request means only to vLLM, where all choices of a body are one request.
THEIRS = {
    *("admission_rejections", "engine_sleep_state", "num_requests_waiting_by_reason"),
    *("estimated_flops_per_gpu", "estimated_read_bytes_per_gpu", "estimated_write_bytes_per_gpu"),
    *("external_prefix_cache_hits", "external_prefix_cache_queries", "mm_cache_hits", "mm_cache_queries"),
    *("prompt_tokens_by_source", "prompt_tokens_cached", "prompt_tokens_cached_by_source"),
    *("iteration_tokens_total", "request_max_num_generation_tokens", "request_num_preemptions", "request_params_n"),
    *("spec_decode_num_accepted_tokens_per_pos", "spec_decode_num_drafts"),
}


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def described(text: str) -> dict[str, Any]:
    """Return what the golden file has of each family: type, labels, and the buckets of a histogram."""
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        buckets = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
        bounds = [float(bound) for bound in dict.fromkeys(buckets) if bound != "+Inf"]
        found[family.name] = {"type": family.type, "labels": labels} | ({"buckets": bounds} if bounds else {})
    return found


def test_one_rule_renames_our_metrics_to_those_of_vllm(tiny_url: str, chatml: Model) -> None:
    """A dashboard for vLLM works after `functionary:` is renamed: same names, types, labels and buckets.

    The list of what is missing is complete, and a metric of our own has no name of vLLM's.
    """
    assert chatml.engine.max_context == GOLDEN["max_model_len"], "the buckets of tokens depend on it"
    found = described(httpx2.get(f"{tiny_url}/metrics").text.replace("functionary:", "vllm:"))
    assert {name: facts for name, facts in found.items() if name in VLLM} == {
        name: facts for name, facts in VLLM.items() if name.removeprefix("vllm:") not in THEIRS
    }


def test_a_remote_engine_has_the_same_metrics(llama: Model, llama_folder: Path) -> None:
    """What is recorded of a request does not depend on where the model runs; only slots and the cache are missing."""
    peer = peer_of(llama, llama_folder, "vllm")
    with remote(llama, peer) as model:
        assert sum(len(step.token_ids) for step in asyncio.run(steps(model.engine, [5, 6, 7], GREEDY))) > 1
        text = exposition(CollectorRegistry(), model).decode().replace("functionary:", "vllm:")
        found = described(text)
        local = described(exposition(CollectorRegistry(), llama).decode().replace("functionary:", "vllm:"))
    lacking = {"num_preemptions", "num_requests_waiting", "kv_cache_usage_perc"}
    theirs = {name for name in VLLM if name.removeprefix("vllm:") not in THEIRS | lacking}
    assert {name: found.get(name) for name in theirs} == {name: local.get(name) for name in theirs}
    assert 'vllm:e2e_request_latency_seconds_count{engine="0",model_name="tiny"} 1.0' in text


def value(metrics: EngineMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"functionary:{name}", labels)


def test_times_of_a_request_computed_by_hand() -> None:
    """Submitted at 0 s, a slot at 2 s, tokens at 5, 6 and 8 s; the last step has two tokens of an accepted draft."""
    clock = Clock()
    metrics = EngineMetrics(4096, clock)
    times = metrics.submitted(num_prompt_tokens=30, max_tokens=50)
    clock.now += 2
    times.scheduled()
    clock.now += 3
    times.gained(Step((7,), num_cached_tokens=10))
    times.scheduled()  # again after a preemption
    clock.now += 1
    times.gained(Step((8,), num_rejected=3))
    clock.now += 2
    times.gained(Step((9, 2), "stop", num_accepted=1))
    clock.now += 50  # the reader is slow
    times.finished("stop")
    sums = {
        "time_to_first_token_seconds": 5,
        "inter_token_latency_seconds": 3,
        "request_time_per_output_token_seconds": 1,
        "e2e_request_latency_seconds": 8,
        "request_queue_time_seconds": 2,
        "request_prefill_time_seconds": 3,
        "request_decode_time_seconds": 3,
        "request_inference_time_seconds": 6,
        "request_prompt_tokens": 30,
        "request_prefill_kv_computed_tokens": 20,
        "request_generation_tokens": 4,
        "request_params_max_tokens": 50,
    }
    assert {name: value(metrics, f"{name}_sum") for name in sums} == sums
    counts = {name: value(metrics, f"{name}_count") for name in sums}
    assert counts == {name: 2 if name.startswith("inter_token") else 1 for name in sums}
    totals = {
        "prompt_tokens": 30,
        "prefix_cache_queries": 30,
        "prefix_cache_hits": 10,
        "generation_tokens": 4,
        "spec_decode_num_draft_tokens": 4,
        "spec_decode_num_accepted_tokens": 1,
    }
    assert {name: value(metrics, f"{name}_total") for name in totals} == totals
    assert value(metrics, "request_success_total", finished_reason="stop") == 1


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_only_whole_answers_are_in_the_histograms_of_requests(reason: Any) -> None:
    """A client that leaves after a second would make the requests look fast."""
    metrics = EngineMetrics(4096, Clock())
    times = metrics.submitted(30, 50)
    times.scheduled()
    times.gained(Step((7,)))
    times.finished(reason)
    assert value(metrics, "request_success_total", finished_reason=reason) == 1
    assert value(metrics, "e2e_request_latency_seconds_count") == 0
    assert value(metrics, "time_to_first_token_seconds_count") == 1, "it is known"


def test_a_request_that_never_ran_has_no_times() -> None:
    metrics = EngineMetrics(4096, Clock())
    metrics.submitted(30, 50).finished("abort")
    assert value(metrics, "prompt_tokens_total") == 0
    assert value(metrics, "request_queue_time_seconds_count") == 0


def test_an_engine_without_slots_of_its_own_leaves_out_the_times_of_slots() -> None:
    """A remote engine does not know when the other server starts to compute."""
    metrics = EngineMetrics(4096, Clock())
    times = metrics.submitted(30, 50)
    times.gained(Step((7,), "length"))
    times.finished("length")
    assert value(metrics, "e2e_request_latency_seconds_count") == 1
    assert value(metrics, "request_queue_time_seconds_count") == 0
    assert value(metrics, "request_inference_time_seconds_count") == 0
    assert value(metrics, "request_time_per_output_token_seconds_count") == 0, "one token has no time after the first"


@given(max_context=st.integers(1, 1 << 20))
def test_buckets_of_tokens_end_at_the_context(max_context: int) -> None:
    metrics = EngineMetrics(max_context, Clock())
    (family,) = [one for one in metrics.registry.collect() if one.name == "functionary:request_prompt_tokens"]
    bounds = [float(one.labels["le"]) for one in family.samples if one.name.endswith("_bucket")][:-1]
    assert bounds == sorted(bounds)
    assert bounds[0] == 1
    assert max_context / 2.5 < bounds[-1] <= max_context


def test_labels_hold_the_name_that_requests_use(chatml: Model) -> None:
    """`label_values(model_name)` of a dashboard lists the first served name, whatever it is."""
    model, engine = scripted(chatml, "all\nhello")
    assert isinstance(engine, ScriptedEngine)
    metrics = EngineMetrics(4096)
    engine.registry = metrics.registry
    odd = type(model)(**{**vars(model), "names": ('a "name"\nof two lines', "tiny")})
    with serving(create_app(lambda: odd)) as url:
        text = httpx2.get(f"{url}/metrics").text
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == "functionary:prompt_tokens"]
    assert {tuple(sample.labels.items()) for sample in family.samples} == {
        (("engine", "0"), ("model_name", 'a "name"\nof two lines'))
    }
