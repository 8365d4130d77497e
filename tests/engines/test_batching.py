"""Many requests share a forward, and each gets the same answer as when it runs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from core.errors import PromptTooLong
from core.generation import Sampling
from engines.local.engine import LocalEngine
from engines.local.forward import ATTENTION, Span, forward
from engines.local.kv_cache import BLOCK, KVCache, KVSlabs
from tests.support.small_engine import GREEDY, MODELS, ids, prompts_of, small_engine, steps, together


@pytest.mark.parametrize("slabs", [None, KVSlabs(16384)], ids=["without slabs", "in slabs"])
@pytest.mark.parametrize("name", MODELS)
def test_a_ragged_forward_equals_one_forward_per_sequence(name: str, slabs: KVSlabs | None) -> None:
    """When chunks of prompts, single tokens and drafts share a forward, the logits equal those of separate forwards."""
    torch.manual_seed(0)
    model = MODELS[name]()
    model.eval()  # type: ignore[no-untyped-call]
    chance = Random(1)
    sequences = [[chance.randrange(300) for _ in range(length)] for length in (1, 3, 30, 90, 200, 300, 513)]
    with torch.inference_mode():
        expected = [model(input_ids=torch.tensor([ids])).logits[0] for ids in sequences]
    model.set_attn_implementation(ATTENTION)
    caches = [KVCache(slabs) for _ in sequences]
    while any(one.length < len(ids) for one, ids in zip(caches, sequences, strict=True)):
        chosen = [i for i, ids in enumerate(sequences) if caches[i].length < len(ids) and chance.random() < 0.8]
        sizes = [min(chance.choice([1, 2, 5, 40, 150, 290]), len(sequences[i]) - caches[i].length) for i in chosen]
        spans = [
            Span(
                sequences[i][caches[i].length : caches[i].length + size], caches[i], num_logits=chance.randint(0, size)
            )
            for i, size in zip(chosen, sizes, strict=True)
        ]
        for i, size, span, logits in zip(chosen, sizes, spans, forward(model, spans) if spans else (), strict=True):
            caches[i].length += size
            end = caches[i].length
            torch.testing.assert_close(logits, expected[i][end - span.num_logits : end], atol=1e-4, rtol=1e-4)


def test_forwards_have_few_lengths() -> None:
    """Forwards have few different lengths, since oneDNN keeps 0.3 MB of kernels per weight matrix and length.

    Regression test: prompts of all lengths took hundreds of MB.
    """
    torch.manual_seed(0)
    model = MODELS["llama"]()
    model.set_attn_implementation(ATTENTION)
    lengths: list[int] = []
    for module in (model.model.norm, model.lm_head):
        module.register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].shape[1]))
    computed: dict[int, tuple[int, ...]] = {}
    for number in range(1, 513):
        (logits,) = forward(model, [Span([1] * number, KVCache(), number)])
        assert logits.shape == (number, 300)
        computed[number] = tuple(lengths)
        lengths.clear()
    for number, (through_layers, through_head) in computed.items():
        assert number <= through_layers == through_head <= max(number, number * 9 / 8)
    assert len(set(computed.values())) == 16 + 5 * 8


def test_rejected_draft_tokens_are_overwritten() -> None:
    """Later tokens overwrite rejected draft tokens in the KV cache, so that these change no later logits."""
    torch.manual_seed(0)
    model = MODELS["llama"]()
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([[1, 2, 3, 4]])).logits[0, -1]
    model.set_attn_implementation(ATTENTION)
    cache = KVCache()
    forward(model, [Span([1, 2, 99, 98], cache, 1)])
    cache.length = 2
    (logits,) = forward(model, [Span([3, 4], cache, 1)])
    torch.testing.assert_close(logits[0], expected, atol=1e-5, rtol=1e-5)


# The engine


@pytest.fixture(scope="module")
def engine(llama_folder: Path) -> Iterator[LocalEngine]:
    """An engine with three slots and little memory."""
    made = small_engine(llama_folder, max_running=3, num_blocks=5)
    yield made
    asyncio.run(made.close())


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(max_tokens=20, temperature=1.0, seed=7)])
def test_concurrent_requests_get_the_same_answers_as_single_ones(engine: LocalEngine, sampling: Sampling) -> None:
    """Eight requests share three slots and too little memory: some wait, and some are preempted and start again."""
    prompts = prompts_of([4, 400, 30, 250, 3, 480, 90, 300])
    expected = [ids(asyncio.run(steps(engine, prompt, sampling))) for prompt in prompts]
    concurrent = asyncio.run(together(engine, prompts, sampling))
    assert [ids(got) for got in concurrent] == expected


def test_answers_that_outgrow_the_memory_are_preempted(llama_folder: Path) -> None:
    """Three answers of 300 tokens share memory for two. The newest request starts again and gets the same answer."""
    engine = small_engine(llama_folder, max_running=3, num_blocks=4)
    long = replace(GREEDY, max_tokens=300)
    prompts = prompts_of([100, 101, 102])
    expected = [ids(asyncio.run(steps(engine, prompt, long))) for prompt in prompts]
    assert [ids(got) for got in asyncio.run(together(engine, prompts, long))] == expected
    assert all(len(answer) == 300 for answer in expected)
    asyncio.run(engine.close())


def test_a_prompt_larger_than_the_memory_is_an_error(llama_folder: Path) -> None:
    engine = small_engine(llama_folder, max_running=2, num_blocks=1)
    assert engine.max_context == BLOCK
    with pytest.raises(PromptTooLong):
        asyncio.run(steps(engine, [5] * 300))
    assert len(ids(asyncio.run(steps(engine, [5] * 200)))) == 20
    asyncio.run(engine.close())


def test_an_owner_with_many_requests_does_not_delay_another(engine: LocalEngine) -> None:
    """Ten requests of one owner wait for three slots. A request of another owner runs before all ten have ended."""

    async def race() -> list[str]:
        order: list[str] = []

        async def one(owner: str) -> None:
            await steps(engine, [5, 6, 7], replace(GREEDY, owner=owner, max_tokens=30))
            order.append(owner)

        many = [asyncio.create_task(one("many")) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.gather(*many, one("single"))
        return order

    assert asyncio.run(race()).index("single") <= 6
