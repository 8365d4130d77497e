"""Sequences that lie side by side: they find places, move when they grow, and leave nothing to those who come after."""

from __future__ import annotations

import gc
from unittest.mock import patch

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from engines.local.forward import ATTENTION, Span, forward
from engines.local.kv_cache import KVCache, KVSlabs, slab_capacity
from engines.local.prefix_cache import PrefixCache
from tests.support.small_engine import MODELS


def grow(kept: KVCache, num_new: int) -> None:
    """Write tokens that tell their place in the sequence."""
    rows = torch.arange(kept.length, kept.length + num_new, dtype=torch.float32).view(1, -1, 1)
    kept.reserve(num_new)
    kept.write(0, rows, -rows)
    kept.length += num_new


def said(kept: KVCache) -> list[float]:
    return [float(number) for number in kept.slab.layers[0][kept.row, 0, 0, : kept.length, 0]]


def test_sequences_of_one_size_share_a_shelf() -> None:
    slabs = KVSlabs(16384)
    kept = [KVCache(slabs) for _ in range(4)]
    for one, length in zip(kept, (5, 200, 300, 400), strict=True):
        grow(one, length)
    assert kept[0].slab is kept[1].slab is not kept[2].slab is kept[3].slab
    assert [one.row for one in kept] == [0, 1, 0, 1]


def test_a_sequence_moves_with_all_that_it_knows() -> None:
    slabs = KVSlabs(16384)
    beside, kept = KVCache(slabs), KVCache(slabs)
    grow(beside, 100)
    for size in (200, 100, 1, 700, 2000):
        grow(kept, size)
        assert said(kept) == list(range(kept.length))
        assert kept.slab.capacity == slab_capacity(kept.length)
        assert bool((kept.slab.layers[0][kept.row, 1] <= 0).all())
    assert kept.slab.num_rows == 1, "a long one lies alone"
    assert said(beside) == list(range(100))
    assert len(beside.slab.free_rows) == beside.slab.num_rows - 1


def test_places_are_given_back_and_found_empty() -> None:
    """What is no number would spoil whoever came next, even where nobody looks at it: 0 * nan is nan."""
    slabs = KVSlabs(16384)
    first, second = KVCache(slabs), KVCache(slabs)
    grow(first, 10)
    grow(second, 10)
    first.slab.layers[0][first.row] = torch.nan
    slab, num_bytes = first.slab, slabs.num_bytes
    del first
    gc.collect()
    assert len(slab.free_rows) == slab.num_rows - 1
    third = KVCache(slabs)
    grow(third, 3)
    assert third.slab is slab
    assert not bool(slab.layers[0].isnan().any())
    assert slabs.num_bytes == num_bytes


def test_shelves_that_nobody_uses_make_room_for_others() -> None:
    slabs = KVSlabs(16384)
    kept = KVCache(slabs)
    grow(kept, 100)
    del kept
    gc.collect()
    longer = KVCache(slabs)
    grow(longer, 600)
    assert slabs.num_bytes == longer.slab.layers[0].nbytes


def test_little_memory_has_no_shelves() -> None:
    kept = KVCache(KVSlabs(1024))
    grow(kept, 10)
    assert kept.slab.num_rows == 1


def test_what_is_remembered_takes_no_place() -> None:
    slabs, cache = KVSlabs(16384), PrefixCache()
    kept = KVCache(slabs)
    grow(kept, 300)
    slab = kept.slab
    cache.put("a", range(300), kept)
    del kept
    gc.collect()
    assert len(slab.free_rows) == slab.num_rows
    found, num_common = cache.longest("a", [*range(200), 7])
    assert found is not None
    assert num_common == 200
    copied = found.copy(num_common, slabs, min_tokens=280)
    assert said(copied) == list(range(200))
    assert copied.slab.capacity == 512


def test_what_is_remembered_takes_the_room_of_its_tokens() -> None:
    """A sequence of ten tokens was kept in room for 256."""
    cache, kept = PrefixCache(), KVCache(KVSlabs(16384))
    grow(kept, 10)
    cache.put("a", range(10), kept)
    assert cache.num_bytes == 10 * 2 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_answer_knows_nothing_of_its_neighbours(dtype: torch.dtype) -> None:
    """A neighbour whose keys are no numbers, and one that has left, change nothing."""
    torch.manual_seed(0)
    model = MODELS["llama"]().to(dtype)  # type: ignore[arg-type]
    model.set_attn_implementation(ATTENTION)
    slabs = KVSlabs(16384)
    kept = [KVCache(slabs) for _ in range(4)]
    for one in kept:
        forward(model, [Span([1, 2, 3], one, 1)])
        one.length = 3
    with patch(
        "engines.local.attention_batched.scaled_dot_product_attention", wraps=scaled_dot_product_attention
    ) as counted:
        expected = forward(model, [Span([4, 5], one, 2) for one in kept])
        assert counted.call_count == model.config.num_hidden_layers
    del one, kept[1]
    gc.collect()
    assert len(kept[0].slab.free_rows) == kept[0].slab.num_rows - 3
    with torch.inference_mode():
        kept[0].slab.layers[0][kept[0].row] = torch.nan
    got = forward(model, [Span([4, 5], one, 2) for one in kept])
    assert bool(got[0].isnan().all())
    torch.testing.assert_close(got[1:], expected[2:])
