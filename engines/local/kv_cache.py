"""The KV cache: the keys and values of all layers for each sequence. Short sequences are side by side in slabs."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy
import torch
from torch import Tensor

BLOCK = 256  # tokens; every capacity is a multiple of this
_SLAB_TOKENS = 8192  # capacity of a shared slab: the sum over its rows
_MAX_SHARED_TOKENS = 2048  # a longer sequence gets a slab of its own


class KVSlab:
    """A block of memory for the KV caches of several sequences, one slab row for each.

    All rows have the same capacity in tokens, so one matrix product can compute several rows. `layers` holds one tensor
    (num_rows, 2, heads, capacity, head width) for each layer; index 0 of the 2 is the key, 1 the value. Unwritten
    elements are 0: a NaN would spread through the product even where the mask hides it.
    """

    def __init__(self, capacity: int, num_rows: int) -> None:
        self.capacity = capacity
        self.num_rows = num_rows
        self.layers: dict[int, Tensor] = {}
        self.free_rows = list(range(num_rows))
        self._used: set[int] = set()

    @torch.inference_mode()
    def allocate(self) -> int:
        """Take the first free row and fill it with zeros, because an earlier sequence may have left NaN in it."""
        row = min(self.free_rows)
        if row in self._used:
            for layer in self.layers.values():
                layer[row].zero_()
        self.free_rows.remove(row)
        self._used.add(row)
        return row

    def layer(self, number: int, like: Tensor) -> Tensor:
        """Return all rows of one layer; allocate them at the first use.

        The rows get the heads, width, dtype and device of `like`, which holds new keys or values (heads, n, width).
        """
        if number not in self.layers:
            self.layers[number] = _zeros((self.num_rows, 2, like.shape[0], self.capacity, like.shape[2]), like)
        return self.layers[number]


class KVSlabs:
    """All slabs that short sequences share. Not thread-safe, but any thread may free a row."""

    def __init__(self, max_tokens: int) -> None:
        self._slab_tokens = min(_SLAB_TOKENS, max_tokens // 4)
        self._slabs: list[KVSlab] = []

    @property
    def num_bytes(self) -> int:
        return sum(layer.nbytes for slab in self._slabs for layer in slab.layers.values())

    def slab_for(self, num_tokens: int) -> KVSlab:
        """Return a slab with a free row for a sequence of `num_tokens`. A long sequence gets a slab of its own."""
        capacity = slab_capacity(num_tokens)
        if capacity > _MAX_SHARED_TOKENS or 2 * capacity > self._slab_tokens:
            return KVSlab(block_capacity(num_tokens), 1)
        for slab in self._slabs:
            if slab.capacity == capacity and slab.free_rows:
                return slab
        self._slabs = [slab for slab in self._slabs if len(slab.free_rows) < slab.num_rows]
        self._slabs.append(KVSlab(capacity, self._slab_tokens // capacity))
        return self._slabs[-1]


class KVCache:
    """The KV cache of one sequence, stored in row `row` of `slab`.

    The first `length` tokens are valid. The next step overwrites the rest.
    """

    def __init__(self, slabs: KVSlabs | None = None, min_tokens: int = 0) -> None:
        """Create an empty KV cache with a capacity of at least `min_tokens`.

        With `slabs`, the cache shares a slab with other sequences while it is short.
        """
        self.length = 0
        self.slab = KVSlab(0, 1)
        self.row = 0
        self._slabs = slabs
        self._min_tokens = min_tokens
        self._release_row: Callable[[], object] = lambda: None

    @property
    def num_layers(self) -> int:
        return len(self.slab.layers)

    @property
    def num_bytes(self) -> int:
        return sum(layer.nbytes for layer in self.slab.layers.values()) // self.slab.num_rows

    def reserve(self, num_new: int) -> None:
        """Ensure capacity for `num_new` tokens after the first `length`. May move the sequence to another slab."""
        needed = max(self.length + num_new, self._min_tokens, 1)
        if needed <= self.slab.capacity:
            return
        slab = self._slabs.slab_for(needed) if self._slabs else KVSlab(block_capacity(needed), 1)
        row = slab.allocate()
        release_row = weakref.finalize(self, slab.free_rows.append, row)
        try:
            for number, layer in self.slab.layers.items():
                old = layer[self.row, :, :, : self.length]
                slab.layer(number, old[0])[row, :, :, : self.length] = old
        except BaseException:
            release_row()
            raise
        self._release_row()
        self.slab, self.row = slab, row
        self._release_row = release_row

    def write(self, layer: int, key: Tensor, value: Tensor) -> Tensor:
        """Write new keys and values, (heads, n, width) each, after the first `length` tokens.

        Returns the whole row, (2, heads, capacity, width). The caller advances `length` only after all layers have
        succeeded, so a failed step can be repeated.
        """
        end = self.length + key.shape[1]
        cached = self.slab.layer(layer, key)[self.row]
        cached[0, :, self.length : end] = key
        cached[1, :, self.length : end] = value
        return cached

    @torch.inference_mode()
    def copy(self, length: int, slabs: KVSlabs | None = None, min_tokens: int = 0) -> KVCache:
        """Return a copy of the first `length` tokens, for a sequence with the same prefix."""
        other = KVCache(slabs, min_tokens)
        other.reserve(length)
        return self._copied_to(other, length)

    @torch.inference_mode()
    def detached(self) -> KVCache:
        """Return this cache if it has a slab of its own, else a copy without spare capacity.

        The prefix cache stores the result, so that a cached sequence does not occupy a row of a shared slab.
        """
        if self.slab.num_rows == 1:
            return self
        other = KVCache()
        other.slab = KVSlab(self.length, 1)
        return self._copied_to(other, self.length)

    def _copied_to(self, other: KVCache, length: int) -> KVCache:
        for number, layer in self.slab.layers.items():
            cached = layer[self.row, :, :, :length]
            other.slab.layer(number, cached[0])[other.row, :, :, :length] = cached
        other.length = length
        return other


def block_capacity(num_tokens: int) -> int:
    """Round `num_tokens` up to whole blocks."""
    return -(-num_tokens // BLOCK) * BLOCK


def slab_capacity(num_tokens: int) -> int:
    """Return the capacity of a slab row for `num_tokens`.

    There are only a few capacities, so that sequences of different lengths can share a slab.
    """
    if num_tokens > _MAX_SHARED_TOKENS:
        return block_capacity(num_tokens)
    capacity = BLOCK
    while capacity < num_tokens:
        capacity *= 2
    return capacity


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return zeros with the dtype and device of `like`.

    On a CPU, the operating system provides memory pages only when they are first written.
    """
    if like.device.type != "cpu":
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    num_bytes = int(numpy.prod(shape)) * like.element_size()
    return torch.from_numpy(numpy.zeros(num_bytes, numpy.uint8)).view(like.dtype).view(shape)
