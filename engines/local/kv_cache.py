"""What a model remembers of sequences: keys and values of all layers."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy
import torch
from torch import Tensor

BLOCK = 256  # tokens; room is made for that many at a time
_SHELF = 8192  # tokens of all places of a shelf
_LONGEST = 2048  # tokens of a sequence that shares one


class Shelf:
    """Places for sequences of one capacity side by side, so that one product can serve all of them.

    `layers`: (places, 2, heads, capacity, width) each. What nobody has written is 0, never what is not a number.
    """

    def __init__(self, capacity: int, num_places: int) -> None:
        self.capacity = capacity
        self.num_places = num_places
        self.layers: dict[int, Tensor] = {}
        self.free = list(range(num_places))
        self._used: set[int] = set()

    @torch.inference_mode()
    def take(self) -> int:
        """The first free place, as it was new: an earlier sequence may have left what is not a number."""
        place = min(self.free)
        if place in self._used:
            for layer in self.layers.values():
                layer[place].zero_()
        self.free.remove(place)
        self._used.add(place)
        return place

    def layer(self, number: int, like: Tensor) -> Tensor:
        """All places of a layer; `like`: (heads, n, width)."""
        if number not in self.layers:
            self.layers[number] = _zeros((self.num_places, 2, like.shape[0], self.capacity, like.shape[2]), like)
        return self.layers[number]


class Shelves:
    """Finds places for short sequences. For one thread; places may be given back by any."""

    def __init__(self, max_tokens: int) -> None:
        self._shelf_tokens = min(_SHELF, max_tokens // 4)
        self._shelves: list[Shelf] = []

    @property
    def num_bytes(self) -> int:
        return sum(layer.nbytes for shelf in self._shelves for layer in shelf.layers.values())

    def find(self, num_tokens: int) -> Shelf:
        """A shelf with a free place for so many; a long sequence gets one for itself."""
        capacity = capacity_for(num_tokens)
        if capacity > _LONGEST or 2 * capacity > self._shelf_tokens:
            return Shelf(rounded(num_tokens), 1)
        for shelf in self._shelves:
            if shelf.capacity == capacity and shelf.free:
                return shelf
        self._shelves = [shelf for shelf in self._shelves if len(shelf.free) < shelf.num_places]
        self._shelves.append(Shelf(capacity, self._shelf_tokens // capacity))
        return self._shelves[-1]


class KeyValues:
    """Of one sequence. `length` tokens count; what lies behind them is written anew by the next step."""

    def __init__(self, shelves: Shelves | None = None, room: int = 0) -> None:
        """With `shelves` it lies beside others while it is short. room: how many tokens will come at least."""
        self.length = 0
        self.shelf = Shelf(0, 1)
        self.place = 0
        self._shelves = shelves
        self._room = room
        self._leave: Callable[[], object] = lambda: None

    @property
    def num_layers(self) -> int:
        return len(self.shelf.layers)

    @property
    def num_bytes(self) -> int:
        return sum(layer.nbytes for layer in self.shelf.layers.values()) // self.shelf.num_places

    def reserve(self, num_new: int) -> None:
        """Make room behind `length`; the sequence may move."""
        needed = max(self.length + num_new, self._room, 1)
        if needed <= self.shelf.capacity:
            return
        shelf = self._shelves.find(needed) if self._shelves else Shelf(rounded(needed), 1)
        place = shelf.take()
        leave = weakref.finalize(self, shelf.free.append, place)
        try:
            for number, layer in self.shelf.layers.items():
                old = layer[self.place, :, :, : self.length]
                shelf.layer(number, old[0])[place, :, :, : self.length] = old
        except BaseException:
            leave()
            raise
        self._leave()
        self.shelf, self.place = shelf, place
        self._leave = leave

    def write(self, layer: int, key: Tensor, value: Tensor) -> Tensor:
        """Put (heads, n, width) twice behind `length`; gives all of the place, (2, heads, capacity, width).

        `length` itself moves only when the step has succeeded in all layers: until then it can be repeated.
        """
        end = self.length + key.shape[1]
        kept = self.shelf.layer(layer, key)[self.place]
        kept[0, :, self.length : end] = key
        kept[1, :, self.length : end] = value
        return kept

    @torch.inference_mode()
    def copy(self, length: int, shelves: Shelves | None = None, room: int = 0) -> KeyValues:
        """The first `length` tokens, for a sequence that begins alike."""
        other = KeyValues(shelves, room)
        other.reserve(length)
        return self._copied_to(other, length)

    @torch.inference_mode()
    def alone(self) -> KeyValues:
        """The same off the shelf that it shares, to be kept for long: without room for what would follow."""
        if self.shelf.num_places == 1:
            return self
        other = KeyValues()
        other.shelf = Shelf(self.length, 1)
        return self._copied_to(other, self.length)

    def _copied_to(self, other: KeyValues, length: int) -> KeyValues:
        for number, layer in self.shelf.layers.items():
            kept = layer[self.place, :, :, :length]
            other.shelf.layer(number, kept[0])[other.place, :, :, :length] = kept
        other.length = length
        return other


def rounded(num_tokens: int) -> int:
    """The room that so many tokens take."""
    return -(-num_tokens // BLOCK) * BLOCK


def capacity_for(num_tokens: int) -> int:
    """The same where sequences lie side by side: of a few sizes, so that they meet."""
    if num_tokens > _LONGEST:
        return rounded(num_tokens)
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
