"""Computes each of peft's LoRA layers with one large matrix product, instead of one large and two thin products.

peft computes W x + s B (A x), where A and B are the thin matrices. The two thin products and the sums take a third of a
training step's time on a CPU. This module computes the merged weight W + s B A once per forward and then multiplies all
tokens by it. Merging is cheap compared with that product if a batch has hundreds of tokens. Outputs and gradients are
the same as peft's. Only plain LoRA without dropout is supported.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

ADAPTER = "default"  # peft's name for the only adapter


class MergedLinear(Linear):
    """A LoRA layer that merges its weights in each forward.

    This is a class because `torch.compile` compiles the method of a class only once. If a function were patched into
    each layer instead, `torch.compile` would compile that function once per layer.
    """

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        down, up = self.lora_A[ADAPTER].weight, self.lora_B[ADAPTER].weight
        merged: Tensor = _MergedProduct.apply(  # type: ignore[no-untyped-call]
            x, self.base_layer.weight, down, up, self.scaling[ADAPTER]
        )
        return merged


def merge_in_forward(model: nn.Module) -> int:
    """Make all plain LoRA layers of a peft model merge their weights in each forward. Returns their number."""
    layers = [layer for layer in model.modules() if type(layer) is Linear and _is_plain(layer)]
    for layer in layers:
        layer.__class__ = MergedLinear
    return len(layers)


def _is_plain(layer: Linear) -> bool:
    dropout: nn.Module = layer.lora_dropout[ADAPTER]
    return isinstance(dropout, nn.Identity) and layer.base_layer.bias is None and not layer.use_dora[ADAPTER]


class _MergedProduct(torch.autograd.Function):
    """Multiply by the merged weight: (..., in) -> (..., out).

    `weight` (out, in) is frozen; `down` (r, in) and `up` (out, r) are trained. The product has the dtype of `weight`;
    each gradient has the dtype of its matrix. The backward pass computes the merged weight again: to keep the merged
    weights of all layers would take as much memory as a second model.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(hidden, weight, down, up)
        ctx.scale = scale
        return nn.functional.linear(hidden, _merged_weight(weight, down, up, scale))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, down, up = ctx.saved_tensors
        grad, rows = grads[0].flatten(0, -2), hidden.flatten(0, -2)
        grad_hidden = (
            (grad @ _merged_weight(weight, down, up, ctx.scale)).view_as(hidden) if ctx.needs_input_grad[0] else None
        )
        grad_down = (grad @ up.to(grad.dtype)).t() @ rows
        grad_up = grad.t() @ (rows @ down.to(grad.dtype).t())
        return grad_hidden, None, ctx.scale * grad_down.to(down.dtype), ctx.scale * grad_up.to(up.dtype), None


def _merged_weight(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    return torch.addmm(weight, up.to(weight.dtype), down.to(weight.dtype), alpha=scale)
