"""Sequences that lie side by side: they find places, move when they grow, and leave nothing to those who come after."""

from __future__ import annotations

import gc
from unittest.mock import patch

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from engines.local.forward import NAME, Span, forward
from engines.local.kv_cache import KeyValues, Shelves, capacity_for
from engines.local.prefix_cache import PrefixCache
from tests.support.small_engine import MODELS


def grow(kept: KeyValues, num_new: int) -> None:
    """Write tokens that tell their place in the sequence."""
    rows = torch.arange(kept.length, kept.length + num_new, dtype=torch.float32).view(1, -1, 1)
    kept.reserve(num_new)
    kept.write(0, rows, -rows)
    kept.length += num_new


def said(kept: KeyValues) -> list[float]:
    return [float(number) for number in kept.shelf.layers[0][kept.place, 0, 0, : kept.length, 0]]


def test_sequences_of_one_size_share_a_shelf() -> None:
    shelves = Shelves(16384)
    kept = [KeyValues(shelves) for _ in range(4)]
    for one, length in zip(kept, (5, 200, 300, 400), strict=True):
        grow(one, length)
    assert kept[0].shelf is kept[1].shelf is not kept[2].shelf is kept[3].shelf
    assert [one.place for one in kept] == [0, 1, 0, 1]


def test_a_sequence_moves_with_all_that_it_knows() -> None:
    shelves = Shelves(16384)
    beside, kept = KeyValues(shelves), KeyValues(shelves)
    grow(beside, 100)
    for size in (200, 100, 1, 700, 2000):
        grow(kept, size)
        assert said(kept) == list(range(kept.length))
        assert kept.shelf.capacity == capacity_for(kept.length)
        assert bool((kept.shelf.layers[0][kept.place, 1] <= 0).all())
    assert kept.shelf.num_places == 1, "a long one lies alone"
    assert said(beside) == list(range(100))
    assert len(beside.shelf.free) == beside.shelf.num_places - 1


def test_places_are_given_back_and_found_empty() -> None:
    """What is no number would spoil whoever came next, even where nobody looks at it: 0 * nan is nan."""
    shelves = Shelves(16384)
    first, second = KeyValues(shelves), KeyValues(shelves)
    grow(first, 10)
    grow(second, 10)
    first.shelf.layers[0][first.place] = torch.nan
    shelf, num_bytes = first.shelf, shelves.num_bytes
    del first
    gc.collect()
    assert len(shelf.free) == shelf.num_places - 1
    third = KeyValues(shelves)
    grow(third, 3)
    assert third.shelf is shelf
    assert not bool(shelf.layers[0].isnan().any())
    assert shelves.num_bytes == num_bytes


def test_shelves_that_nobody_uses_make_room_for_others() -> None:
    shelves = Shelves(16384)
    kept = KeyValues(shelves)
    grow(kept, 100)
    del kept
    gc.collect()
    longer = KeyValues(shelves)
    grow(longer, 600)
    assert shelves.num_bytes == longer.shelf.layers[0].nbytes


def test_little_memory_has_no_shelves() -> None:
    kept = KeyValues(Shelves(1024))
    grow(kept, 10)
    assert kept.shelf.num_places == 1


def test_what_is_remembered_takes_no_place() -> None:
    shelves, cache = Shelves(16384), PrefixCache()
    kept = KeyValues(shelves)
    grow(kept, 300)
    shelf = kept.shelf
    cache.put("a", range(300), kept)
    del kept
    gc.collect()
    assert len(shelf.free) == shelf.num_places
    found, num_common = cache.longest("a", [*range(200), 7])
    assert found is not None
    assert num_common == 200
    copied = found.copy(num_common, shelves, room=280)
    assert said(copied) == list(range(200))
    assert copied.shelf.capacity == 512


def test_what_is_remembered_takes_the_room_of_its_tokens() -> None:
    """A sequence of ten tokens was kept in room for 256."""
    cache, kept = PrefixCache(), KeyValues(Shelves(16384))
    grow(kept, 10)
    cache.put("a", range(10), kept)
    assert cache.num_bytes == 10 * 2 * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_answer_knows_nothing_of_its_neighbours(dtype: torch.dtype) -> None:
    """A neighbour whose keys are no numbers, and one that has left, change nothing."""
    torch.manual_seed(0)
    model = MODELS["llama"]().to(dtype)  # type: ignore[arg-type]
    model.set_attn_implementation(NAME)
    shelves = Shelves(16384)
    kept = [KeyValues(shelves) for _ in range(4)]
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
    assert len(kept[0].shelf.free) == kept[0].shelf.num_places - 3
    with torch.inference_mode():
        kept[0].shelf.layers[0][kept[0].place] = torch.nan
    got = forward(model, [Span([4, 5], one, 2) for one in kept])
    assert bool(got[0].isnan().all())
    torch.testing.assert_close(got[1:], expected[2:])
