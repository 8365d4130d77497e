"""Computes the attention of several short sequences of one slab in one matrix product.

The sequences may have different lengths: shorter ones are padded to the longest one, and a mask hides the padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from engines.local.kv_cache import KVSlab


class SlabSpan:
    """The new tokens of one sequence in a batched forward.

    The new tokens are the tokens `start` to `end` of the forward. The sequence is in slab row `row`, which already
    holds its first `length` tokens.
    """

    def __init__(self, start: int, end: int, row: int, length: int) -> None:
        self.start, self.end, self.row, self.length = start, end, row, length


class SlabBatch:
    """Consecutive spans of one forward whose sequences share a slab, in the order of their slab rows.

    All layers use the same masks and indices, which are built only once. `own` is the slice of the forward's tokens
    that belong to these spans.
    """

    def __init__(self, slab: KVSlab, spans: Sequence[SlabSpan], device: torch.device) -> None:
        self._slab = slab
        self.own = slice(spans[0].start, spans[-1].end)
        self._num_new = max(span.end - span.start for span in spans)
        self._num_keys = max(span.length + span.end - span.start for span in spans)
        self._num_rows = len(spans)
        self.num_scores = self._num_rows * self._num_new * self._num_keys
        self._is_even = self._num_rows * self._num_new == self.own.stop - self.own.start
        new = [(number, span, i) for number, span in enumerate(spans) for i in range(span.end - span.start)]
        query_index = torch.zeros(self._num_rows * self._num_new, dtype=torch.long)
        positions = torch.zeros(self._num_rows * self._num_new, dtype=torch.long)
        output_index = torch.tensor([number * self._num_new + i for number, _, i in new])
        query_index[output_index] = torch.arange(len(new))
        positions[output_index] = cache_positions = torch.tensor([span.length + i for _, span, i in new])
        self._slab_rows = torch.tensor([span.row for _, span, _ in new], device=device)
        first, last = spans[0].row, spans[-1].row
        is_contiguous = last - first + 1 == len(spans)
        self._batch_rows = (
            slice(first, last + 1) if is_contiguous else torch.tensor([span.row for span in spans], device=device)
        )
        self._query_index, self._output_index, self._cache_positions = (
            query_index.to(device),
            output_index.to(device),
            cache_positions.to(device),
        )
        self._positions = positions.view(self._num_rows, self._num_new).to(device)
        self._masks: dict[int | None, Tensor] = {}

    def attention(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None
    ) -> Tensor:
        """Compute the attention of the n tokens `own`: query (H, n, D), key and value (G, n, D) -> (n, H, D).

        Writes key and value to the KV cache. window: as in engines/local/attention_single.py.
        """
        heads, _, width = query.shape
        groups = key.shape[0]
        slab = self._slab.layer(layer, key)
        slab[self._slab_rows, :, :, self._cache_positions] = torch.stack((key, value)).permute(2, 0, 1, 3)
        cached = slab[self._batch_rows, :, :, : self._num_keys]
        if cached.device.type == "cpu" and cached.dtype != torch.float32:
            cached = cached.float()
        queries = query if self._is_even else query[:, self._query_index]
        rows = queries.view(groups, -1, self._num_rows, self._num_new, width).permute(2, 0, 1, 3, 4)
        rows = rows.reshape(self._num_rows, groups, -1, width).to(cached.dtype)
        mask = self._mask(window, heads // groups, cached.dtype)
        output = scaled_dot_product_attention(rows, cached[:, 0], cached[:, 1], attn_mask=mask, scale=scale)
        output = output.reshape(self._num_rows, heads, self._num_new, width).transpose(1, 2).flatten(0, 1)
        return (output if self._is_even else output[self._output_index]).to(query.dtype)

    def _mask(self, window: int | None, repeats: int, dtype: torch.dtype) -> Tensor:
        """Return the mask that is added to the scores: 0 where a token sees a key, else -inf.

        Shape: (sequences, 1, repeats * num_new, num_keys).
        """
        if window not in self._masks:
            keys = torch.arange(self._num_keys, device=self._positions.device)
            visible = keys <= self._positions[:, :, None]
            if window is not None:
                visible &= keys > self._positions[:, :, None] - window
            mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
            self._masks[window] = mask.masked_fill_(~visible, -torch.inf).repeat(1, repeats, 1)[:, None]
        return self._masks[window]
