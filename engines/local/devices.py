"""Chooses the device and the dtype of a model.

This module does not import transformers, because that would double the time to import this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from core.errors import ModelError

# Weights that take more than this share of the free memory are not stored twice when the dtype is "auto".
_MAX_MEMORY_SHARE = 1 / 16
_CPU_CACHE_BYTES = 1 << 30
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(device: str) -> torch.device:
    """Return the device with this name; "auto" is the GPU if there is one.

    Raises ModelError if this machine does not have the device.
    """
    if device == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        picked = torch.device(device)
    except RuntimeError:
        raise _unknown(device) from None
    if picked.type not in ("cpu", "cuda", "mps"):
        raise _unknown(device)
    num_gpus = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if picked.type in num_gpus and (picked.index or 0) >= num_gpus[picked.type]:
        raise ModelError(
            f"--device {device}: PyTorch finds {num_gpus[picked.type] or 'no'} such GPU here; "
            "leave the option out to run on what there is."
        )
    return picked


def pick_dtype(dtype: str, device: torch.device, num_bytes: int = 0) -> torch.dtype:
    """Return the dtype with this name; "auto" is bfloat16 if the hardware supports it.

    On a CPU, float16 is the dtype of the weights only (engines/local/cpu.py), and a CPU that supports bfloat16 stores
    float16 weights a second time in bfloat16. So "auto" picks float16 there only if `num_bytes`, the size of the
    weights on disk, is a small share of the free memory. Raises ModelError for an unknown name.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise ModelError(f"--dtype {dtype}: unknown; use auto, {', '.join(DTYPES)}.")
        return DTYPES[dtype]
    if device.type == "cpu":
        is_small = num_bytes < free_memory(device) * _MAX_MEMORY_SHARE
        if cpu_has_float16_weights() and (is_small or not cpu_has_bfloat16()):
            return torch.float16
        return torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    return torch.bfloat16 if _has_bfloat16(device) else torch.float16


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def cpu_packs_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 matrices. On x86, oneDNN needs AVX-512 for this."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def cpu_has_float16_weights() -> bool:
    """Whether FBGEMM, which multiplies float32 inputs by float16 weights, is available (x86 with AVX2)."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the GPU has bfloat16 in hardware. On other GPUs PyTorch emulates bfloat16, slower than float32."""
    if device.type == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def free_memory(device: torch.device) -> int:
    """Return the free memory of a device in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def default_cache_bytes(device: torch.device, context_bytes: int, max_running: int) -> int:
    """Return the default memory for the KV cache and the prefix cache together, in bytes.

    context_bytes: the memory of one full context. The default is what `max_running` full contexts need, but at most a
    quarter of the free memory. A CPU shares its memory with other programs, so the default there is also at most 1 GiB,
    or one full context if that is more.
    """
    limit = free_memory(device) // 4
    if device.type == "cpu":
        limit = min(limit, max(_CPU_CACHE_BYTES, context_bytes))
    return min(limit, max_running * context_bytes)


def _unknown(device: str) -> ModelError:
    return ModelError(f"--device {device}: unknown; use auto, cpu, cuda, cuda:0 or mps.")


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run the block on one thread: with more, small operators spend most of their time on synchronizing threads."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
