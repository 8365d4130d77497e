"""What a model remembers of sequences: keys and values of all layers."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy
import torch
from torch import Tensor

BLOCK = 256  # tokens; min_tokens is made for that many at a time
_SLAB_TOKENS = 8192  # tokens of all places of a slab
_MAX_SHARED_TOKENS = 2048  # tokens of a sequence that shares one


class KVSlab:
    """Places for sequences of one capacity side by side, so that one product can serve all of them.

    `layers`: (places, 2, heads, capacity, width) each. What nobody has written is 0, never what is not a number.
    """

    def __init__(self, capacity: int, num_rows: int) -> None:
        self.capacity = capacity
        self.num_rows = num_rows
        self.layers: dict[int, Tensor] = {}
        self.free_rows = list(range(num_rows))
        self._used: set[int] = set()

    @torch.inference_mode()
    def allocate(self) -> int:
        """The first free row, as it was new: an earlier sequence may have left what is not a number."""
        row = min(self.free_rows)
        if row in self._used:
            for layer in self.layers.values():
                layer[row].zero_()
        self.free_rows.remove(row)
        self._used.add(row)
        return row

    def layer(self, number: int, like: Tensor) -> Tensor:
        """All places of a layer; `like`: (heads, n, width)."""
        if number not in self.layers:
            self.layers[number] = _zeros((self.num_rows, 2, like.shape[0], self.capacity, like.shape[2]), like)
        return self.layers[number]


class KVSlabs:
    """Finds places for short sequences. For one thread; places may be given back by any."""

    def __init__(self, max_tokens: int) -> None:
        self._slab_tokens = min(_SLAB_TOKENS, max_tokens // 4)
        self._slabs: list[KVSlab] = []

    @property
    def num_bytes(self) -> int:
        return sum(layer.nbytes for slab in self._slabs for layer in slab.layers.values())

    def slab_for(self, num_tokens: int) -> KVSlab:
        """A slab with a free row for so many; a long sequence gets one for itself."""
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
    """Of one sequence. `length` tokens count; what lies behind them is written anew by the next step."""

    def __init__(self, slabs: KVSlabs | None = None, min_tokens: int = 0) -> None:
        """With `slabs` it lies beside others while it is short. min_tokens: how many tokens will come at least."""
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
        """Make min_tokens behind `length`; the sequence may move."""
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
        """Put (heads, n, width) twice behind `length`; gives all of the row, (2, heads, capacity, width).

        `length` itself moves only when the step has succeeded in all layers: until then it can be repeated.
        """
        end = self.length + key.shape[1]
        kept = self.slab.layer(layer, key)[self.row]
        kept[0, :, self.length : end] = key
        kept[1, :, self.length : end] = value
        return kept

    @torch.inference_mode()
    def copy(self, length: int, slabs: KVSlabs | None = None, min_tokens: int = 0) -> KVCache:
        """The first `length` tokens, for a sequence that begins alike."""
        other = KVCache(slabs, min_tokens)
        other.reserve(length)
        return self._copied_to(other, length)

    @torch.inference_mode()
    def detached(self) -> KVCache:
        """The same off the slab that it shares, to be kept for long: without min_tokens for what would follow."""
        if self.slab.num_rows == 1:
            return self
        other = KVCache()
        other.slab = KVSlab(self.length, 1)
        return self._copied_to(other, self.length)

    def _copied_to(self, other: KVCache, length: int) -> KVCache:
        for number, layer in self.slab.layers.items():
            kept = layer[self.row, :, :, :length]
            other.slab.layer(number, kept[0])[other.row, :, :, :length] = kept
        other.length = length
        return other


def block_capacity(num_tokens: int) -> int:
    """The min_tokens that so many tokens allocate."""
    return -(-num_tokens // BLOCK) * BLOCK


def slab_capacity(num_tokens: int) -> int:
    """The same where sequences lie side by side: of a few sizes, so that they meet."""
    if num_tokens > _MAX_SHARED_TOKENS:
        return block_capacity(num_tokens)
    capacity = BLOCK
    while capacity < num_tokens:
        capacity *= 2
    return capacity


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """On a CPU memory that the system gives piece by piece, as it is written to."""
    if like.device.type != "cpu":
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    num_bytes = int(numpy.prod(shape)) * like.element_size()
    return torch.from_numpy(numpy.zeros(num_bytes, numpy.uint8)).view(like.dtype).view(shape)
