"""Makes a transformers model fast on a CPU, without another result but for rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from engines.fused import Pack, fuse
from engines.packed import Int8Linear, PackedLinear

QUANTIZED = ("int8",)


def speed_up(model: Any, quantize: str | None = None) -> str:
    """Pack the weights in place, and fuse the layers of known architectures; gives what was done, in a few words.

    quantize: "int8" or None. float16 is left as it is.
    """
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if model.dtype not in (torch.float32, torch.bfloat16) or not has_onednn:
        return ""
    pack: Pack = Int8Linear if quantize == "int8" else PackedLinear
    is_fused = fuse(model, pack)
    for parent, name, linear in list(_linears(model)):
        setattr(parent, name, pack([linear]))
    return ", ".join(("8-bit weights" if quantize else "packed weights", *(["fused layers"] if is_fused else [])))


def _linears(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for module in model.modules():
        yield from ((module, name, child) for name, child in module.named_children() if type(child) is nn.Linear)
