"""Attention for short sequences on one slab: one product for all of them, whatever their lengths.

A token behind the end of a sequence is computed and not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from engines.local.kv_cache import KVSlab


class SlabSpan:
    """The tokens `start` to `end` of a forward, which follow the first `length` of the sequence at `place`."""

    def __init__(self, start: int, end: int, place: int, length: int) -> None:
        self.start, self.end, self.place, self.length = start, end, place, length


class SlabBatch:
    """Rows of one slab in one forward, one behind the other in the order of their places.

    What all layers need is laid out once; `own` are the tokens of all rows.
    """

    def __init__(self, slab: KVSlab, rows: Sequence[SlabSpan], device: torch.device) -> None:
        self._slab = slab
        self.own = slice(rows[0].start, rows[-1].end)
        self._num_new = max(row.end - row.start for row in rows)
        self._num_kept = max(row.length + row.end - row.start for row in rows)
        self._num_rows = len(rows)
        self.num_scores = self._num_rows * self._num_new * self._num_kept
        self._is_even = self._num_rows * self._num_new == self.own.stop - self.own.start
        new = [(number, row, i) for number, row in enumerate(rows) for i in range(row.end - row.start)]
        asked = torch.zeros(self._num_rows * self._num_new, dtype=torch.long)
        positions = torch.zeros(self._num_rows * self._num_new, dtype=torch.long)
        answers = torch.tensor([number * self._num_new + i for number, _, i in new])
        asked[answers] = torch.arange(len(new))
        positions[answers] = behind = torch.tensor([row.length + i for _, row, i in new])
        self._places = torch.tensor([row.place for _, row, _ in new], device=device)
        first, last = rows[0].place, rows[-1].place
        is_whole = last - first + 1 == len(rows)
        self._looked_at = (
            slice(first, last + 1) if is_whole else torch.tensor([row.place for row in rows], device=device)
        )
        self._asked, self._answers, self._behind = asked.to(device), answers.to(device), behind.to(device)
        self._positions = positions.view(self._num_rows, self._num_new).to(device)
        self._masks: dict[int | None, Tensor] = {}

    def attention(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None
    ) -> Tensor:
        """query (H, n, D), key and value (G, n, D) of our own tokens -> (n, H, D)."""
        heads, _, width = query.shape
        groups = key.shape[0]
        slab = self._slab.layer(layer, key)
        slab[self._places, :, :, self._behind] = torch.stack((key, value)).permute(2, 0, 1, 3)
        kept = slab[self._looked_at, :, :, : self._num_kept]
        if kept.device.type == "cpu" and kept.dtype != torch.float32:
            kept = kept.float()
        asked = query if self._is_even else query[:, self._asked]
        rows = asked.view(groups, -1, self._num_rows, self._num_new, width).permute(2, 0, 1, 3, 4)
        rows = rows.reshape(self._num_rows, groups, -1, width).to(kept.dtype)
        mask = self._mask(window, heads // groups, kept.dtype)
        seen = scaled_dot_product_attention(rows, kept[:, 0], kept[:, 1], attn_mask=mask, scale=scale)
        seen = seen.reshape(self._num_rows, heads, self._num_new, width).transpose(1, 2).flatten(0, 1)
        return (seen if self._is_even else seen[self._answers]).to(query.dtype)

    def _mask(self, window: int | None, repeats: int, dtype: torch.dtype) -> Tensor:
        """What is added to scores, (rows, 1, repeats * num_new, num_kept); -inf for what a token does not see."""
        if window not in self._masks:
            kept = torch.arange(self._num_kept, device=self._positions.device)
            visible = kept <= self._positions[:, :, None]
            if window is not None:
                visible &= kept > self._positions[:, :, None] - window
            mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
            self._masks[window] = mask.masked_fill_(~visible, -torch.inf).repeat(1, repeats, 1)[:, None]
        return self._masks[window]
