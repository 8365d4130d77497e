"""Many requests in one forward: what each gets is what it would get alone, whatever comes and goes beside it."""

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


@pytest.mark.parametrize("slabs", [None, KVSlabs(16384)], ids=["apart", "on slabs"])
@pytest.mark.parametrize("name", MODELS)
def test_a_ragged_forward_is_each_sequence_alone(name: str, slabs: KVSlabs | None) -> None:
    """Prompts in chunks, single tokens and drafts side by side: the logits are those of a plain forward."""
    torch.manual_seed(0)
    model = MODELS[name]()
    model.eval()  # type: ignore[no-untyped-call]
    draw = Random(1)
    sequences = [[draw.randrange(300) for _ in range(length)] for length in (1, 3, 30, 90, 200, 300, 513)]
    with torch.inference_mode():
        expected = [model(input_ids=torch.tensor([ids])).logits[0] for ids in sequences]
    model.set_attn_implementation(ATTENTION)
    kept = [KVCache(slabs) for _ in sequences]
    while any(one.length < len(ids) for one, ids in zip(kept, sequences, strict=True)):
        todo = [i for i, ids in enumerate(sequences) if kept[i].length < len(ids) and draw.random() < 0.8]
        sizes = [min(draw.choice([1, 2, 5, 40, 150, 290]), len(sequences[i]) - kept[i].length) for i in todo]
        spans = [
            Span(sequences[i][kept[i].length : kept[i].length + size], kept[i], num_logits=draw.randint(0, size))
            for i, size in zip(todo, sizes, strict=True)
        ]
        for i, size, span, logits in zip(todo, sizes, spans, forward(model, spans) if spans else (), strict=True):
            kept[i].length += size
            end = kept[i].length
            torch.testing.assert_close(logits, expected[i][end - span.num_logits : end], atol=1e-4, rtol=1e-4)


def test_few_numbers_of_rows_are_computed() -> None:
    """oneDNN keeps 0.3 MB of kernels for each weight and number of rows: prompts of all lengths took hundreds of MB."""
    torch.manual_seed(0)
    model = MODELS["llama"]()
    model.set_attn_implementation(ATTENTION)
    seen: list[int] = []
    for module in (model.model.norm, model.lm_head):
        module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    computed: dict[int, tuple[int, ...]] = {}
    for number in range(1, 513):
        (logits,) = forward(model, [Span([1] * number, KVCache(), number)])
        assert logits.shape == (number, 300)
        computed[number] = tuple(seen)
        seen.clear()
    for number, (through_layers, through_head) in computed.items():
        assert number <= through_layers == through_head <= max(number, number * 9 / 8)
    assert len(set(computed.values())) == 16 + 5 * 8


def test_what_was_not_accepted_is_written_over() -> None:
    """A draft that the model disagrees with leaves no trace."""
    torch.manual_seed(0)
    model = MODELS["llama"]()
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([[1, 2, 3, 4]])).logits[0, -1]
    model.set_attn_implementation(ATTENTION)
    kept = KVCache()
    forward(model, [Span([1, 2, 99, 98], kept, 1)])
    kept.length = 2
    (logits,) = forward(model, [Span([3, 4], kept, 1)])
    torch.testing.assert_close(logits[0], expected, atol=1e-5, rtol=1e-5)


# The engine


@pytest.fixture(scope="module")
def engine(llama_folder: Path) -> Iterator[LocalEngine]:
    """Room for three requests, and little memory."""
    made = small_engine(llama_folder, max_running=3, num_blocks=5)
    yield made
    asyncio.run(made.close())


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(max_tokens=20, temperature=1.0, seed=7)])
def test_a_crowd_gets_what_each_gets_alone(engine: LocalEngine, sampling: Sampling) -> None:
    """More than there are places and more than there is memory for: some wait, some have to make room and read anew."""
    prompts = prompts_of([4, 400, 30, 250, 3, 480, 90, 300])
    alone = [ids(asyncio.run(steps(engine, prompt, sampling))) for prompt in prompts]
    crowd = asyncio.run(together(engine, prompts, sampling))
    assert [ids(got) for got in crowd] == alone


def test_answers_that_outgrow_the_memory_take_turns(llama_folder: Path) -> None:
    """Three answers of 300 tokens in memory for two: the last comer begins again, and nobody sees it."""
    engine = small_engine(llama_folder, max_running=3, num_blocks=4)
    long = replace(GREEDY, max_tokens=300)
    prompts = prompts_of([100, 101, 102])
    alone = [ids(asyncio.run(steps(engine, prompt, long))) for prompt in prompts]
    assert [ids(got) for got in asyncio.run(together(engine, prompts, long))] == alone
    assert all(len(answer) == 300 for answer in alone)
    asyncio.run(engine.close())


def test_a_prompt_larger_than_the_memory_is_refused(llama_folder: Path) -> None:
    engine = small_engine(llama_folder, max_running=2, num_blocks=1)
    assert engine.max_context == BLOCK
    with pytest.raises(PromptTooLong):
        asyncio.run(steps(engine, [5] * 300))
    assert len(ids(asyncio.run(steps(engine, [5] * 200)))) == 20
    asyncio.run(engine.close())


def test_an_owner_with_many_requests_does_not_hold_up_another(engine: LocalEngine) -> None:
    """Ten of one owner are waiting for three places; the single one of another owner is not eleventh."""

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
