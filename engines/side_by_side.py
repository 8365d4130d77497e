"""Attention for short sequences on one shelf: one product for all of them, whatever their lengths.

A place that is not in turn, or a token behind the end of a sequence, is computed and not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from engines.keys_values import Shelf


class Row:
    """The tokens `start` to `end` of a forward, which follow the first `length` of the sequence at `place`."""

    def __init__(self, start: int, end: int, place: int, length: int) -> None:
        self.start, self.end, self.place, self.length = start, end, place, length


class Batch:
    """Rows of one shelf in one forward. What all layers need is laid out once."""

    def __init__(self, shelf: Shelf, rows: Sequence[Row], device: torch.device) -> None:
        self._shelf = shelf
        self._first = min(row.place for row in rows)
        self._num_places = max(row.place for row in rows) + 1 - self._first
        self._num_new = max(row.end - row.start for row in rows)
        self._num_kept = max(row.length + row.end - row.start for row in rows)
        asked = [[0] * self._num_new for _ in range(self._num_places)]
        positions = [[0] * self._num_new for _ in range(self._num_places)]
        tokens: list[int] = []
        places: list[int] = []
        for row in rows:
            new = range(row.start, row.end)
            asked[row.place - self._first][: len(new)] = new
            positions[row.place - self._first][: len(new)] = [row.length + i for i in range(len(new))]
            tokens += new
            places += [row.place] * len(new)
        self.num_scores = self._num_places * self._num_new * self._num_kept
        self._asked = torch.tensor(asked, device=device)
        self._positions = torch.tensor(positions, device=device)
        self._tokens = torch.tensor(tokens, device=device)
        self._places = torch.tensor(places, device=device)
        self._behind = torch.tensor([row.length + i for row in rows for i in range(row.end - row.start)], device=device)
        self._answers = torch.tensor(
            [(row.place - self._first) * self._num_new + i for row in rows for i in range(row.end - row.start)],
            device=device,
        )
        self._masks: dict[int | None, Tensor] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None, seen: Tensor
    ) -> None:
        """query (H, N, D), key and value (G, N, D) of the whole forward; writes our tokens of `seen`, (N, H, D)."""
        heads, _, width = query.shape
        groups = key.shape[0]
        shelf = self._shelf.layer(layer, key)
        shelf[self._places, 0, :, self._behind] = key[:, self._tokens].transpose(0, 1)
        shelf[self._places, 1, :, self._behind] = value[:, self._tokens].transpose(0, 1)
        kept = shelf[self._first : self._first + self._num_places, :, :, : self._num_kept]
        if kept.device.type == "cpu" and kept.dtype != torch.float32:
            kept = kept.float()
        rows = query[:, self._asked.view(-1)].view(groups, -1, self._num_places, self._num_new, width)
        rows = rows.permute(2, 0, 1, 3, 4).reshape(self._num_places, groups, -1, width).to(kept.dtype)
        mask = self._mask(window, heads // groups, kept.dtype)
        answers = scaled_dot_product_attention(rows, kept[:, 0], kept[:, 1], attn_mask=mask, scale=scale)
        answers = answers.reshape(self._num_places, heads, self._num_new, width).transpose(1, 2).flatten(0, 1)
        seen[self._tokens] = answers[self._answers].to(seen.dtype)

    def _mask(self, window: int | None, repeats: int, dtype: torch.dtype) -> Tensor:
        """What is added to scores, (places, 1, repeats * num_new, num_kept); -inf for what a token does not see."""
        if window not in self._masks:
            kept = torch.arange(self._num_kept, device=self._positions.device)
            visible = kept <= self._positions[:, :, None]
            if window is not None:
                visible &= kept > self._positions[:, :, None] - window
            mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
            self._masks[window] = mask.masked_fill_(~visible, -torch.inf).repeat(1, repeats, 1)[:, None]
        return self._masks[window]
