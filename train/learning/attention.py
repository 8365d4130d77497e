"""Attention for training on a CPU: matrix products over stretches of queries, each with the keys up to its own end.

PyTorch's fused attention for CPUs takes twice as long with a mask of its own, in bfloat16 most of a step's time that is
not in linear layers. The same function of the same inputs; registered with transformers under NAME.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "stretches"
STRETCH = 128  # queries that are looked at together; what lies behind their end is not computed


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **others: Any
) -> tuple[Tensor, None]:
    """query (B, H, T, D), key and value (B, G, T, D) with H a multiple of G, mask (B, 1, T, T) bool -> (B, T, H, D)."""
    kind = value.dtype  # autocast leaves rotated queries and keys in float32
    with torch.autocast(query.device.type, enabled=False):
        seen: Tensor = _Stretches.apply(  # type: ignore[no-untyped-call]
            query.to(kind), key.to(kind), value, attention_mask, scaling
        )
    return seen.transpose(1, 2).contiguous(), None


class _Stretches(torch.autograd.Function):
    """(B, H, T, D) from the same; heads of a group are rows of one product. The weights are kept for the way back."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
        batch, heads, length, _ = query.shape
        groups = key.shape[1]
        key, value = key.flatten(0, 1), value.flatten(0, 1)
        bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
        seen, weights = torch.empty_like(query), []
        for start in range(0, length, STRETCH):
            end = min(start + STRETCH, length)
            rows = _grouped(query[:, :, start:end] * scale, groups)
            scores = rows @ key[:, :end].transpose(1, 2)
            scores.view(batch, heads, end - start, end).add_(bias[:, :, start:end, :end])
            weights.append(scores.softmax(-1))
            seen[:, :, start:end] = (weights[-1] @ value[:, :end]).view(batch, heads, end - start, -1)
        ctx.save_for_backward(query, key, value, *weights)
        ctx.scale = scale
        return seen

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *weights = ctx.saved_tensors
        batch, heads, length, size = query.shape
        groups = key.shape[0] // batch
        to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for number, shares in enumerate(weights):
            start = number * STRETCH
            end = min(start + STRETCH, length)
            rows, grad = (_grouped(whole[:, :, start:end], groups) for whole in (query, grads[0]))
            to_value[:, :end] += shares.transpose(1, 2) @ grad
            to_shares = grad @ value[:, :end].transpose(1, 2)
            to_scores = torch._softmax_backward_data(to_shares, shares, -1, shares.dtype).mul_(ctx.scale)
            to_query[:, :, start:end] = (to_scores @ key[:, :end]).view(batch, heads, end - start, size)
            to_key[:, :end] += to_scores.transpose(1, 2) @ rows
        shape = (batch, groups, length, size)
        return to_query, to_key.view(shape), to_value.view(shape), None, None


def _grouped(rows: Tensor, groups: int) -> Tensor:
    """(B, H, T, D) -> (B * G, H / G * T, D)."""
    return rows.reshape(rows.shape[0] * groups, -1, rows.shape[-1])


AttentionInterface.register(NAME, attention)
