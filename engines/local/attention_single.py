"""Computes the attention of one sequence: its new tokens to its KV cache."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from engines.local.kv_cache import BLOCK, KVCache

MAX_SHORT_SPAN = 16  # new tokens; spans of up to so many are computed like decode, longer ones like prefill
CHUNK = 64  # queries per matrix product; the product leaves out the keys after its last query


def attention_single(
    layer: int, query: Tensor, key: Tensor, value: Tensor, kv_cache: KVCache, scale: float, window: int | None
) -> Tensor:
    """Compute the attention of n new tokens: query (H, n, D), key and value (G, n, D) -> (n, H, D).

    H query heads of width D share G key and value heads. `layer` is the layer's number. Writes key and value to the KV
    cache. window: how many tokens each token sees, itself included; None for all.
    """
    cached = kv_cache.write(layer, key, value)
    before, num_new = kv_cache.length, query.shape[1]
    if window is not None and (num_hidden := before - window + 1) > 0:
        cached, before = cached[:, :, num_hidden:], before - num_hidden
    if num_new <= MAX_SHORT_SPAN:
        return _short_span(query, cached[:, :, : before + num_new], scale, window)
    if query.device.type == "cpu" and cached.dtype != torch.float32:
        return _in_chunks(query, cached, before, scale, window)
    cached = cached[:, :, : before + num_new]
    mask = _causal_mask(num_new, before, cached.shape[2], window, query.device)
    output = scaled_dot_product_attention(
        query[None], cached[:1], cached[1:], attn_mask=mask, scale=scale, enable_gqa=True
    )
    return output[0].transpose(0, 1)


def _short_span(query: Tensor, cached: Tensor, scale: float, window: int | None) -> Tensor:
    """Compute the attention of few tokens: queries (H, n, D), cached keys and values (2, G, L, D) -> (n, H, D).

    On a CPU this computes in float32, because bfloat16 takes three times as long for few tokens.
    """
    heads, num_new, width = query.shape
    if query.device.type == "cpu" and cached.dtype != torch.float32:
        cached = cached.float()
    groups, length = cached.shape[1:3]
    mask = None
    if num_new > 1:
        mask = _causal_mask(num_new, length - num_new, length, window, query.device).repeat(heads // groups, 1)
    rows = query.reshape(1, groups, -1, width).to(cached.dtype)
    output = scaled_dot_product_attention(rows, cached[:1], cached[1:], attn_mask=mask, scale=scale)
    return output.reshape(heads, num_new, width).transpose(0, 1).to(query.dtype)


def _in_chunks(query: Tensor, cached: Tensor, before: int, scale: float, window: int | None) -> Tensor:
    """Compute the attention of many tokens: queries (H, n, D), cached keys and values (2, G, L, D) -> (n, H, D).

    `before` is the number of cached tokens before the first query. This serves prefill in bfloat16 on a CPU, where
    PyTorch's fused attention is slower than separate products. The products have only a few different shapes, because
    oneDNN compiles kernels for each shape (engines/local/forward.py).
    """
    heads, num_new, width = query.shape
    rows = pad(query * scale, (0, 0, 0, -num_new % (CHUNK // 2)))
    outputs = []
    for start in range(0, num_new, CHUNK):
        queries = rows[:, start : start + CHUNK]
        size, num_before = queries.shape[1], before + start
        num_keys = num_before + size
        num_keys = min(num_keys + -num_keys % (CHUNK if num_keys <= 1024 else BLOCK), cached.shape[2])
        keys, values = cached[:, :, :num_keys]
        scores = (queries.reshape(len(keys), -1, width) @ keys.transpose(1, 2)).view(heads, size, num_keys)
        first = num_before if window is None else 0  # without a window, every query sees all keys before the chunk
        hidden = ~_causal_mask(size, num_before - first, num_keys - first, window, query.device)
        scores[:, :, first:].masked_fill_(hidden, -torch.inf)
        weights = scores.softmax(-1).view(len(values), -1, num_keys)
        outputs.append((weights @ values).view(heads, size, width).transpose(0, 1))
    return torch.cat(outputs)[:num_new]


def _causal_mask(num_new: int, before: int, length: int, window: int | None, device: torch.device) -> Tensor:
    """Return which keys each new token sees, as booleans of shape (num_new, length).

    `length` is the number of keys, `before` the number of tokens before the first new one.
    """
    visible = torch.ones(num_new, length, dtype=torch.bool, device=device).tril(before)
    return visible if window is None else visible.triu(before - window + 1)
