"""The remote engine over a scripted peer gives the local engine's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from core.generation import Sampling
from engines.remote.engine import RemoteEngine
from inference import Model
from tests.support.remote_model import DIALECTS, peer_of, remote
from tests.support.scripted_peer import Peer
from tests.support.small_engine import ids, steps

PROMPT = [5, 6, 7, 8]
GREEDY = Sampling(max_tokens=12, temperature=0.0)


@pytest.fixture(scope="module", params=sorted(DIALECTS))
def served(request: pytest.FixtureRequest, llama: Model, llama_folder: Path) -> Iterator[tuple[RemoteEngine, Peer]]:
    peer = peer_of(llama, llama_folder, request.param)
    with ExitStack() as stack:
        model = stack.enter_context(remote(llama, peer))
        assert isinstance(model.engine, RemoteEngine)
        yield model.engine, peer


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_tokens": 1},
        {"logit_bias": ((77, 100.0),)},
        {"stop_ids": frozenset(range(100, 300))},
        {"stop_ids": frozenset(range(100, 300)), "min_tokens": 5},
        {"stop_ids": frozenset(range(100, 300)), "min_tokens": 500},
        {"frequency_penalty": 1.5, "presence_penalty": 0.5},
        {"repetition_penalty": 1.3},
        {"logprobs": 3},
        {"logprobs": 0, "logit_bias": ((77, 100.0),)},
    ],
    ids=str,
)
def test_greedy_answers_are_those_of_the_local_engine(
    served: tuple[RemoteEngine, Peer], llama: Model, change: dict[str, object]
) -> None:
    sampling = replace(GREEDY, **change)  # type: ignore[arg-type]
    here, there = (asyncio.run(steps(engine, PROMPT, sampling)) for engine in (llama.engine, served[0]))
    assert ids(there) == ids(here)
    assert there[-1].finish_reason == here[-1].finish_reason
    reports = [[report for step in got for report in step.logprobs] for got in (here, there)]
    for mine, other in zip(*reports, strict=True):
        assert mine.token_id == other.token_id
        if other.logprob == -9999.0:
            continue  # llama.cpp tells none for a token that ends inside a character
        assert mine.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert [token_id for token_id, _ in mine.top] == [token_id for token_id, _ in other.top]


def test_the_cache_of_the_server_is_told(served: tuple[RemoteEngine, Peer]) -> None:
    engine, peer = served
    prompt = [9] * 50
    got = [asyncio.run(steps(engine, prompt, replace(GREEDY, owner="a"))) for _ in range(2)]
    assert [sum(step.num_cached_tokens for step in one) for one in got] == [0, 48]
    other = asyncio.run(steps(engine, prompt, replace(GREEDY, owner="b")))
    num_shared = 48 if peer.dialect.completions == "/completion" else 0  # llama.cpp has one cache for all keys
    assert sum(step.num_cached_tokens for step in other) == num_shared
