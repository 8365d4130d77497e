"""Linear layers for a CPU. Weights are packed for the CPU's kernels when a layer is created, not in each call.

nn.Linear packs its weights in each call, which takes most of its time in decode, with one token per sequence. The
packed weights have the model's dtype, 16 bits or 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engines.local.devices import cpu_has_bfloat16

MEMORY_BOUND_ROWS = 8  # input rows; up to so many, reading the weights takes longer than the arithmetic
MAX_INT8_ROWS = 16  # input rows; with more, it is faster to convert the 8-bit weights to the inputs' dtype first
# `.default` names the overload; PyTorch would take 5 us in each call to find it.
_packed_product = torch.ops.mkldnn._linear_pointwise.default
_packed_sum = torch.ops.mkldnn._linear_pointwise.binary
_half_product = torch.ops.quantized.linear_dynamic_fp16.default


class PackedLinear(nn.Module):
    """A linear layer packed by oneDNN, or several with the same inputs as one: (..., in) -> (..., out)."""

    def __init__(self, linears: Sequence[nn.Linear], dtype: torch.dtype | None = None) -> None:
        super().__init__()
        weight, bias = _joined(linears)
        weight, self.bias = weight.to(dtype), bias if bias is None else bias.to(dtype)
        self.out_features, self.in_features = weight.shape
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        product: Tensor = _packed_product(hidden, self.packed, self.bias, "none", [], "")
        return product

    def add(self, hidden: Tensor, other: Tensor) -> Tensor:
        """Return the layer's output plus `other`, computed by one operator."""
        total: Tensor = _packed_sum(hidden, other, self.packed, self.bias, "add")
        return total


class HalfLinear(nn.Module):
    """A linear layer with float16 weights and float32 sums (FBGEMM).

    With few input rows most time goes into reading the weights, and float16 halves it. With many rows most time goes
    into arithmetic; for these, a CPU with bfloat16 stores the weights a second time, in bfloat16.
    """

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        super().__init__()
        weight, bias = _joined(linears)
        self.out_features, self.in_features = weight.shape
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.float(), None if bias is None else bias.float())
        self.for_many_rows = PackedLinear(linears, torch.bfloat16) if cpu_has_bfloat16() else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the layer's output. With few input rows it is float32, whatever the dtype of `hidden`."""
        if self.for_many_rows and self._has_many_rows(hidden):
            return self.for_many_rows.forward(hidden.bfloat16()).to(hidden.dtype)
        product: Tensor = _half_product(hidden.float(), self.packed)
        return product

    def add(self, hidden: Tensor, other: Tensor) -> Tensor:
        if self.for_many_rows and self._has_many_rows(hidden):
            return self.for_many_rows.add(hidden.bfloat16(), other.bfloat16()).to(hidden.dtype)
        return self.forward(hidden).add_(other)

    def _has_many_rows(self, hidden: Tensor) -> bool:
        return hidden.numel() > MEMORY_BOUND_ROWS * self.in_features


class Int8Linear(nn.Module):
    """A linear layer with int8 weights. Each matrix row is scaled so that its largest absolute weight becomes 127."""

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        super().__init__()
        weight, self.bias = _joined(linears)
        self.out_features, self.in_features = weight.shape
        scales = weight.float().abs().amax(dim=1).clamp_min(1e-8) / 127
        self.quantized = (weight.float() / scales[:, None]).round().to(torch.int8)
        if weight.dtype == torch.bfloat16:
            self.scales = scales.to(weight.dtype)
        else:
            self.scales, self.bias = scales, None if self.bias is None else self.bias.float()

    def forward(self, hidden: Tensor) -> Tensor:
        rows = hidden.reshape(-1, self.in_features)
        if len(rows) <= MAX_INT8_ROWS and rows.dtype == torch.bfloat16:
            product = torch.ops.aten._weight_int8pack_mm(rows, self.quantized, self.scales)
        else:
            product = nn.functional.linear(rows, self.quantized.to(rows.dtype)) * self.scales
        product = product if self.bias is None else product + self.bias
        shaped: Tensor = product.view(*hidden.shape[:-1], self.out_features)
        return shaped

    def add(self, hidden: Tensor, other: Tensor) -> Tensor:
        total: Tensor = self(hidden).add_(other)
        return total


Packed = PackedLinear | HalfLinear | Int8Linear


def _joined(linears: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    """Concatenate the weights and biases of layers with the same inputs. Returns weight (out, in) and bias (out,)."""
    weight = torch.cat([linear.weight.detach() for linear in linears])
    if all(linear.bias is None for linear in linears):
        return weight, None
    biases = [weight.new_zeros(one.out_features) if one.bias is None else one.bias.detach() for one in linears]
    return weight, torch.cat(biases)
