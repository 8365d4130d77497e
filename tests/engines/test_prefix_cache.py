"""The prefix cache never shares entries between owners, changes no answer, and is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engines.local.engine import LocalEngine
from engines.local.kv_cache import KVCache
from engines.local.prefix_cache import MAX_ENTRIES, PrefixCache, num_common
from inference import Model
from server import create_app
from tests.support.serving import serving
from tests.support.small_engine import GREEDY, ids, prompts_of, small_engine, steps, together
from web.settings import Settings

TOKENS = st.lists(st.integers(0, 2), max_size=12)


@pytest.fixture
def engine(llama_folder: Path) -> Iterator[LocalEngine]:
    made = small_engine(llama_folder, max_running=4, num_blocks=12)
    yield made
    asyncio.run(made.close())


def kv_cache_of(tokens: Sequence[int]) -> KVCache:
    """Return a KV cache in which the key and the value of each token are the token's id."""
    cache = KVCache()
    rows = torch.tensor(tokens, dtype=torch.float32).view(1, -1, 1)
    cache.reserve(len(tokens))
    cache.write(0, rows, rows)
    cache.length = len(tokens)
    return cache


@given(one=TOKENS, other=TOKENS)
def test_num_common_is_the_length_of_the_common_prefix(one: list[int], other: list[int]) -> None:
    num = num_common(one, other)
    assert one[:num] == other[:num]
    assert num in (len(one), len(other)) or one[num] != other[num]


@given(sequences=st.lists(st.tuples(st.sampled_from("ab"), TOKENS), max_size=8), wanted=TOKENS)
def test_the_longest_prefix_of_the_owner_is_found(sequences: list[tuple[str, list[int]]], wanted: list[int]) -> None:
    cache = PrefixCache()
    for owner, tokens in sequences:
        cache.put(owner, tokens, kv_cache_of(tokens))
    found, num = cache.longest("a", wanted)
    assert num == max((num_common(tokens, wanted) for owner, tokens in sequences if owner == "a"), default=0)
    if found is not None:
        copy, nine = found.copy(num), torch.full((1, 1, 1), 9.0)
        copy.reserve(1)
        with torch.inference_mode():
            assert copy.write(0, nine, nine)[0, 0, : num + 1, 0].tolist() == [*wanted[:num], 9]


def test_the_least_recently_used_goes_first() -> None:
    cache = PrefixCache()
    for start in (1, 2, 3):
        cache.put("a", [start, 5], kv_cache_of([start, 5]))
    cache.longest("a", [1])
    cache.shrink(2 * kv_cache_of([1]).num_bytes)
    assert [cache.longest("a", [start])[1] for start in (1, 2, 3)] == [1, 0, 1]
    cache.shrink(0)
    assert len(cache) == 0


def test_a_growing_conversation_is_one_entry_and_entries_are_bounded() -> None:
    cache = PrefixCache()
    for length in range(1, 9):
        cache.put("a", range(length), kv_cache_of(range(length)))
    assert len(cache) == 1
    for start in range(2 * MAX_ENTRIES):
        cache.put("a", [100 + start], kv_cache_of([100 + start]))
    assert len(cache) == MAX_ENTRIES


def test_the_second_request_computes_only_new_tokens(engine: LocalEngine) -> None:
    """With the prefix cache the answer is the same, and the first step reports the number of cached tokens."""
    common, first, second = prompts_of([200, 30, 40])
    fresh = ids(asyncio.run(steps(engine, [*common, *second], replace(GREEDY, owner="nobody"))))
    asyncio.run(steps(engine, [*common, *first]))
    got = asyncio.run(steps(engine, [*common, *second]))
    assert [step.num_cached_tokens for step in got][:2] == [200, 0]
    assert ids(got) == fresh


def test_a_repeated_prompt_computes_one_token_and_a_conversation_its_last_turn(engine: LocalEngine) -> None:
    (prompt,) = prompts_of([100])
    answer = ids(asyncio.run(steps(engine, prompt)))
    again = asyncio.run(steps(engine, prompt))
    assert again[0].num_cached_tokens == 99
    assert ids(again) == answer
    follow_up = asyncio.run(steps(engine, [*prompt, *answer, 7, 8, 9]))
    assert follow_up[0].num_cached_tokens == 100 + len(answer) - 1, "the last sampled token was never computed"


def test_an_owner_never_hits_another_owners_prompts(engine: LocalEngine) -> None:
    """An owner gets no cached tokens of another owner's prompts: the time and `usage` would reveal these prompts."""
    (prompt,) = prompts_of([150])
    asyncio.run(steps(engine, prompt, replace(GREEDY, owner="one")))
    assert asyncio.run(steps(engine, prompt, replace(GREEDY, owner="two")))[0].num_cached_tokens == 0
    assert asyncio.run(steps(engine, prompt, replace(GREEDY, owner="one")))[0].num_cached_tokens == 149


def test_concurrent_requests_compute_a_common_prefix_once(engine: LocalEngine) -> None:
    common, *rests = prompts_of([240, 20, 21, 22, 23])
    prompts = [[*common, *rest] for rest in rests]
    concurrent = asyncio.run(together(engine, prompts, GREEDY))
    assert sum(got[0].num_cached_tokens >= 240 for got in concurrent) == 3
    expected = [
        ids(asyncio.run(steps(engine, prompt, replace(GREEDY, owner=str(i))))) for i, prompt in enumerate(prompts)
    ]
    assert [ids(got) for got in concurrent] == expected


def test_the_memory_of_the_prefix_cache_is_bounded(engine: LocalEngine) -> None:
    for prompt in prompts_of([300] * 30):
        asyncio.run(steps(engine, prompt, replace(GREEDY, max_tokens=2)))
    memory = engine._memory
    assert memory._cache.num_bytes <= memory.max_tokens * memory._bytes_per_token


def test_usage_reports_cached_tokens_of_the_own_key_only(chatml: Model) -> None:
    """`usage` counts cached tokens of the request's own key only.

    Functions come first in the prompt, so a second question with the same key computes only the question's tokens.
    """
    tools = [{"type": "function", "function": {"name": "look", "description": "Look around. " * 9}}]

    def num_cached(url: str, key: str, question: str) -> int:
        body = {"model": "tiny", "messages": [{"role": "user", "content": question}], "tools": tools, "max_tokens": 2}
        answer = httpx2.post(f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
        details = answer.json()["usage"]["prompt_tokens_details"]
        assert isinstance(details["cached_tokens"], int)
        return int(details["cached_tokens"])

    with serving(create_app(lambda: chatml, Settings(api_keys=["first-key", "second-key"]))) as url:
        assert num_cached(url, "first-key", "Where?") < 20, "only the prefix that all prompts of the tests share"
        assert num_cached(url, "first-key", "Who is there?") > 150
        assert num_cached(url, "second-key", "Who is there?") < 20
