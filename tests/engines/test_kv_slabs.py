"""Slabs of the KV cache: a sequence gets a row, moves to another row when it grows, and leaves an emptied row."""

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


def grow(cache: KVCache, num_new: int) -> None:
    """Append `num_new` tokens. The key of a token is its position in the sequence."""
    rows = torch.arange(cache.length, cache.length + num_new, dtype=torch.float32).view(1, -1, 1)
    cache.reserve(num_new)
    cache.write(0, rows, -rows)
    cache.length += num_new


def positions(cache: KVCache) -> list[float]:
    return [float(number) for number in cache.slab.layers[0][cache.row, 0, 0, : cache.length, 0]]


def test_sequences_of_one_size_share_a_slab() -> None:
    slabs = KVSlabs(16384)
    cache = [KVCache(slabs) for _ in range(4)]
    for one, length in zip(cache, (5, 200, 300, 400), strict=True):
        grow(one, length)
    assert cache[0].slab is cache[1].slab is not cache[2].slab is cache[3].slab
    assert [one.row for one in cache] == [0, 1, 0, 1]


def test_a_growing_sequence_moves_with_its_tokens() -> None:
    slabs = KVSlabs(16384)
    other, cache = KVCache(slabs), KVCache(slabs)
    grow(other, 100)
    for size in (200, 100, 1, 700, 2000):
        grow(cache, size)
        assert positions(cache) == list(range(cache.length))
        assert cache.slab.capacity == slab_capacity(cache.length)
        assert bool((cache.slab.layers[0][cache.row, 1] <= 0).all())
    assert cache.slab.num_rows == 1, "a long sequence has a slab of its own"
    assert positions(other) == list(range(100))
    assert len(other.slab.free_rows) == other.slab.num_rows - 1


def test_freed_rows_are_found_empty() -> None:
    """Freed rows are emptied.

    A NaN in a freed row would spoil the next sequence in this row even under the mask, since 0 * nan is nan.
    """
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


def test_unused_slabs_are_freed() -> None:
    slabs = KVSlabs(16384)
    cache = KVCache(slabs)
    grow(cache, 100)
    del cache
    gc.collect()
    longer = KVCache(slabs)
    grow(longer, 600)
    assert slabs.num_bytes == longer.slab.layers[0].nbytes


def test_little_memory_has_no_shared_slabs() -> None:
    cache = KVCache(KVSlabs(1024))
    grow(cache, 10)
    assert cache.slab.num_rows == 1


def test_a_cached_prefix_takes_no_row() -> None:
    slabs, prefix_cache = KVSlabs(16384), PrefixCache()
    cache = KVCache(slabs)
    grow(cache, 300)
    slab = cache.slab
    prefix_cache.put("a", range(300), cache)
    del cache
    gc.collect()
    assert len(slab.free_rows) == slab.num_rows
    found, num_common = prefix_cache.longest("a", [*range(200), 7])
    assert found is not None
    assert num_common == 200
    copied = found.copy(num_common, slabs, min_tokens=280)
    assert positions(copied) == list(range(200))
    assert copied.slab.capacity == 512


def test_a_cached_prefix_has_no_spare_capacity() -> None:
    """Regression test: a cached sequence of ten tokens took the memory of 256 tokens."""
    prefix_cache, cache = PrefixCache(), KVCache(KVSlabs(16384))
    grow(cache, 10)
    prefix_cache.put("a", range(10), cache)
    assert prefix_cache.num_bytes == 10 * 2 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_do_not_depend_on_other_rows(dtype: torch.dtype) -> None:
    """A row with NaN and a freed row change no logits of the other rows."""
    torch.manual_seed(0)
    model = MODELS["llama"]().to(dtype)  # type: ignore[arg-type]
    model.set_attn_implementation(ATTENTION)
    slabs = KVSlabs(16384)
    cache = [KVCache(slabs) for _ in range(4)]
    for one in cache:
        forward(model, [Span([1, 2, 3], one, 1)])
        one.length = 3
    with patch(
        "engines.local.attention_batched.scaled_dot_product_attention", wraps=scaled_dot_product_attention
    ) as counted:
        expected = forward(model, [Span([4, 5], one, 2) for one in cache])
        assert counted.call_count == model.config.num_hidden_layers
    del one, cache[1]
    gc.collect()
    assert len(cache[0].slab.free_rows) == cache[0].slab.num_rows - 3
    with torch.inference_mode():
        cache[0].slab.layers[0][cache[0].row] = torch.nan
    got = forward(model, [Span([4, 5], one, 2) for one in cache])
    assert bool(got[0].isnan().all())
    torch.testing.assert_close(got[1:], expected[2:])
