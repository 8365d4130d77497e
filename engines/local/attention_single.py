"""Attention of one sequence to all that it remembers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from engines.local.kv_cache import BLOCK, KVCache

MAX_SHORT_SPAN = 16
CHUNK = 64  # queries of one product; what lies behind the last of them is not computed


def attention_single(
    layer: int, query: Tensor, key: Tensor, value: Tensor, known: KVCache, scale: float, window: int | None
) -> Tensor:
    """New tokens, query (H, n, D), key and value (G, n, D) -> (n, H, D), behind what is known of the sequence."""
    kept = known.write(layer, key, value)
    before, num_new = known.length, query.shape[1]
    if window is not None and (unseen := before - window + 1) > 0:
        kept, before = kept[:, :, unseen:], before - unseen
    if num_new <= MAX_SHORT_SPAN:
        return _short_span(query, kept[:, :, : before + num_new], scale, window)
    if query.device.type == "cpu" and kept.dtype != torch.float32:
        return _in_chunks(query, kept, before, scale, window)
    kept = kept[:, :, : before + num_new]
    mask = _causal_mask(num_new, before, kept.shape[2], window, query.device)
    seen = scaled_dot_product_attention(query[None], kept[:1], kept[1:], attn_mask=mask, scale=scale, enable_gqa=True)
    return seen[0].transpose(0, 1)


def _short_span(query: Tensor, kept: Tensor, scale: float, window: int | None) -> Tensor:
    """(H, n, D) and (2, G, L, D) -> (n, H, D). On a CPU in float32: few rows take three times as long in bfloat16."""
    heads, num_new, width = query.shape
    if query.device.type == "cpu" and kept.dtype != torch.float32:
        kept = kept.float()
    groups, length = kept.shape[1:3]
    mask = None
    if num_new > 1:
        mask = _causal_mask(num_new, length - num_new, length, window, query.device).repeat(heads // groups, 1)
    rows = query.reshape(1, groups, -1, width).to(kept.dtype)
    seen = scaled_dot_product_attention(rows, kept[:1], kept[1:], attn_mask=mask, scale=scale)
    return seen.reshape(heads, num_new, width).transpose(0, 1).to(query.dtype)


def _in_chunks(query: Tensor, kept: Tensor, before: int, scale: float, window: int | None) -> Tensor:
    """Part of a prompt in bfloat16 on a CPU, where PyTorch's fused attention is the faster way in float32 only.

    (H, n, D) behind `before` of (2, G, L, D) -> (n, H, D). Products are of few shapes, as rows are.
    """
    heads, num_new, width = query.shape
    rows = pad(query * scale, (0, 0, 0, -num_new % (CHUNK // 2)))
    stretches = []
    for start in range(0, num_new, CHUNK):
        asked = rows[:, start : start + CHUNK]
        size, past = asked.shape[1], before + start
        looked_at = past + size
        looked_at = min(looked_at + -looked_at % (CHUNK if looked_at <= 1024 else BLOCK), kept.shape[2])
        keys, values = kept[:, :, :looked_at]
        scores = (asked.reshape(len(keys), -1, width) @ keys.transpose(1, 2)).view(heads, size, looked_at)
        first = past if window is None else 0  # what lies before it is seen by all
        hidden = ~_causal_mask(size, past - first, looked_at - first, window, query.device)
        scores[:, :, first:].masked_fill_(hidden, -torch.inf)
        shares = scores.softmax(-1).view(len(values), -1, looked_at)
        stretches.append((shares @ values).view(heads, size, width).transpose(0, 1))
    return torch.cat(stretches)[:num_new]


def _causal_mask(num_new: int, before: int, length: int, window: int | None, device: torch.device) -> Tensor:
    """Which of `length` tokens are seen by `num_new` that have so many before them, (num_new, length) bool."""
    visible = torch.ones(num_new, length, dtype=torch.bool, device=device).tril(before)
    return visible if window is None else visible.triu(before - window + 1)
