"""peft's LoRA layers with one product less: W + s B A is made first, which is cheap beside hundreds of tokens.

The same function of the same weights, with the same gradients. peft adds s B (A x) to W x, which takes two products
with thin matrices and two sums for every layer and token, and on a CPU a third of the time of a step. Plain LoRA
without dropout only.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

ADAPTER = "default"  # peft's name for the only adapter


class MergedLinear(Linear):
    """A class and no function of each layer's own, so that `torch.compile` makes the code of all layers once."""

    def forward(self, x: Tensor, *others: Any, **more: Any) -> Tensor:
        down, up = self.lora_A[ADAPTER].weight, self.lora_B[ADAPTER].weight
        merged: Tensor = _Merged.apply(  # type: ignore[no-untyped-call]
            x, self.base_layer.weight, down, up, self.scaling[ADAPTER]
        )
        return merged


def merge_in_forward(model: nn.Module) -> int:
    """Let all LoRA layers of a peft model compute with merged weights; gives their number."""
    layers = [layer for layer in model.modules() if type(layer) is Linear and _is_plain(layer)]
    for layer in layers:
        layer.__class__ = MergedLinear
    return len(layers)


def _is_plain(layer: Linear) -> bool:
    dropout: nn.Module = layer.lora_dropout[ADAPTER]
    return isinstance(dropout, nn.Identity) and layer.base_layer.bias is None and not layer.use_dora[ADAPTER]


class _Merged(torch.autograd.Function):
    """(..., in) -> (..., out). `weight` (out, in) is frozen; `down` (r, in) and `up` (out, r) are learned.

    Computed in the weight's number format; the learned matrices and their gradients keep their own. Merged weights are
    made anew on the way back: kept, they would be a second model in memory.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(hidden, weight, down, up)
        ctx.scale = scale
        return nn.functional.linear(hidden, _sum(weight, down, up, scale))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, down, up = ctx.saved_tensors
        grad, rows = grads[0].flatten(0, -2), hidden.flatten(0, -2)
        to_hidden = (grad @ _sum(weight, down, up, ctx.scale)).view_as(hidden) if ctx.needs_input_grad[0] else None
        to_down = (grad @ up.to(grad.dtype)).t() @ rows
        to_up = grad.t() @ (rows @ down.to(grad.dtype).t())
        return to_hidden, None, ctx.scale * to_down.to(down.dtype), ctx.scale * to_up.to(up.dtype), None


def _sum(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    return torch.addmm(weight, up.to(weight.dtype), down.to(weight.dtype), alpha=scale)
