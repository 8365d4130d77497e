"""Optimizes a transformers model for a CPU. Its outputs change by rounding errors only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from engines.local.devices import cpu_has_bfloat16, cpu_has_float16_weights, cpu_packs_bfloat16
from engines.local.fused_layers import Pack, fuse
from engines.local.packed_linear import HalfLinear, Int8Linear, PackedLinear


def optimize(model: Any, quantize: str | None = None) -> str:
    """Pack the weights in place, and fuse the layers of known architectures.

    Returns a description of the changes for the start log. quantize: "int8" or None. In two cases the linear layers get
    float16 weights (HalfLinear in engines/local/packed_linear.py) and the rest of the model becomes float32: if the
    model is in float16, or if it is in bfloat16 and oneDNN does not support bfloat16 on this CPU.
    """
    if quantize == "int8" and model.dtype == torch.float16 and cpu_has_bfloat16():
        model.bfloat16()  # PyTorch's matrix product with 8-bit weights needs bfloat16 inputs
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    is_native = model.dtype == torch.float32 or (model.dtype == torch.bfloat16 and cpu_packs_bfloat16())
    is_half = not is_native and cpu_has_float16_weights()
    if not (is_half or (is_native and has_onednn)):
        return ""
    if is_half:
        _to_float32(model)
    pack: Pack = Int8Linear if quantize == "int8" else HalfLinear if is_half else PackedLinear
    is_fused = fuse(model, pack)
    for parent, name, linear in list(_linears(model)):
        setattr(parent, name, pack([linear]))
    weights = "8-bit weights" if quantize else "16-bit weights" if is_half else "packed weights"
    return ", ".join((weights, *(["fused layers"] if is_fused else [])))


def _to_float32(model: nn.Module) -> None:
    """Convert all weights to float32, except those of the linear layers."""
    for module in model.modules():
        if type(module) is not nn.Linear:
            for values in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                values.data = values.data.float() if values.is_floating_point() else values.data


def _linears(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for module in model.modules():
        yield from ((module, name, child) for name, child in module.named_children() if type(child) is nn.Linear)
