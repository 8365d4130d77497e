"""Computes attention for training on a CPU, one block of queries at a time, with the keys up to the block's end.

PyTorch's fused attention for CPUs gives the same result, but takes twice as long with a custom mask. In bfloat16,
PyTorch's attention would take most of the time that a training step spends outside the linear layers. transformers
finds the attention of this module under the name in NAME.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "query_blocks"
BLOCK = 128  # queries per block; a block's product leaves out the keys after its last query


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_unused: Any
) -> tuple[Tensor, None]:
    """Compute attention in which several query heads share one head of keys and values.

    query (B, H, T, D), key and value (B, G, T, D) with H a multiple of G, mask (B, 1, T, T) bool -> (B, T, H, D).
    """
    kind = value.dtype  # under autocast only the values have autocast's dtype; rotated queries and keys are float32
    with torch.autocast(query.device.type, enabled=False):
        output: Tensor = _BlockAttention.apply(  # type: ignore[no-untyped-call]
            query.to(kind), key.to(kind), value, attention_mask, scaling
        )
    return output.transpose(1, 2).contiguous(), None


class _BlockAttention(torch.autograd.Function):
    """Attention with its gradient: (B, H, T, D) -> (B, H, T, D). One matrix product computes all heads of a group.

    The attention weights are saved for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
        batch, heads, length, _ = query.shape
        groups = key.shape[1]
        key, value = key.flatten(0, 1), value.flatten(0, 1)
        bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
        output, weights = torch.empty_like(query), []
        for start in range(0, length, BLOCK):
            end = min(start + BLOCK, length)
            rows = _grouped(query[:, :, start:end] * scale, groups)
            scores = rows @ key[:, :end].transpose(1, 2)
            scores.view(batch, heads, end - start, end).add_(bias[:, :, start:end, :end])
            weights.append(scores.softmax(-1))
            output[:, :, start:end] = (weights[-1] @ value[:, :end]).view(batch, heads, end - start, -1)
        ctx.save_for_backward(query, key, value, *weights)
        ctx.scale = scale
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *weights = ctx.saved_tensors
        batch, heads, length, size = query.shape
        groups = key.shape[0] // batch
        grad_query, grad_key, grad_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for number, weights_block in enumerate(weights):
            start = number * BLOCK
            end = min(start + BLOCK, length)
            rows, grad = (_grouped(whole[:, :, start:end], groups) for whole in (query, grads[0]))
            grad_value[:, :end] += weights_block.transpose(1, 2) @ grad
            grad_weights = grad @ value[:, :end].transpose(1, 2)
            grad_scores = torch._softmax_backward_data(grad_weights, weights_block, -1, weights_block.dtype).mul_(
                ctx.scale
            )
            grad_query[:, :, start:end] = (grad_scores @ key[:, :end]).view(batch, heads, end - start, size)
            grad_key[:, :end] += grad_scores.transpose(1, 2) @ rows
        shape = (batch, groups, length, size)
        return grad_query, grad_key.view(shape), grad_value.view(shape), None, None


def _grouped(rows: Tensor, groups: int) -> Tensor:
    """Stack the heads of a group in one matrix: (B, H, T, D) -> (B * G, H / G * T, D)."""
    return rows.reshape(rows.shape[0] * groups, -1, rows.shape[-1])


AttentionInterface.register(NAME, attention)
