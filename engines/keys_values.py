"""What a model remembers of one sequence: keys and values of all layers, without padding."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256  # tokens; room is made for that many at a time


class KeyValues:
    """Grows as it is written to. `length` tokens count; what lies behind them is written anew by the next step."""

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, Tensor] = {}  # (2, heads, capacity, width) each

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    @property
    def num_bytes(self) -> int:
        return sum(layer.nbytes for layer in self._layers.values())

    def write(self, layer: int, key: Tensor, value: Tensor) -> Tensor:
        """Put (heads, n, width) twice behind `length`; gives all so far, (2, heads, length + n, width).

        `length` itself moves only when the step has succeeded in all layers: until then it can be repeated.
        """
        end = self.length + key.shape[1]
        kept = self._layers.get(layer)
        if kept is None or end > kept.shape[2]:
            kept = self._layers[layer] = self._wider(kept, key, rounded(end))
        kept[0, :, self.length : end] = key
        kept[1, :, self.length : end] = value
        return kept[:, :, :end]

    def copy(self, length: int) -> KeyValues:
        """The first `length` tokens, for a sequence that begins alike."""
        other = KeyValues()
        for number, layer in self._layers.items():
            other._layers[number] = self._wider(layer[:, :, :length], layer[0], rounded(length))
        other.length = length
        return other

    def _wider(self, kept: Tensor | None, like: Tensor, capacity: int) -> Tensor:
        """Memory is taken and not touched: a system gives what is written to, no more."""
        heads, _, width = like.shape
        wider = torch.empty(2, heads, capacity, width, dtype=like.dtype, device=like.device)
        if kept is not None:
            wider[:, :, : kept.shape[2]] = kept
        return wider


def rounded(num_tokens: int) -> int:
    """The room that so many tokens take."""
    return -(-num_tokens // BLOCK) * BLOCK
