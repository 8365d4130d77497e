"""Where a model runs and in which number format. Apart from the rest: torch alone is loaded in half the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from core.errors import ModelError

_LITTLE = 16  # a part of memory, as one of so many
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(device: str) -> torch.device:
    """The device by name; "auto" takes the GPU if there is one."""
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
    """The number format by name; "auto" is bfloat16 where it is in hardware.

    float16 on a CPU is that of the weights (engines/local/cpu.py). Where the CPU has bfloat16 too they are laid out
    twice: "auto" does so if they take, with `num_bytes` on disk, little of the memory at hand.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise ModelError(f"--dtype {dtype}: unknown; use auto, {', '.join(DTYPES)}.")
        return DTYPES[dtype]
    if device.type == "cpu":
        is_small = num_bytes * _LITTLE < free_memory(device)
        if cpu_has_float16_weights() and (is_small or not cpu_has_bfloat16()):
            return torch.float16
        return torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    return torch.bfloat16 if _has_bfloat16(device) else torch.float16


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies it, as those with AVX-512 BF16 or AMX do; the others would emulate it."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def cpu_packs_bfloat16() -> bool:
    """Whether oneDNN does, which an x86 CPU needs AVX-512 for."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def cpu_has_float16_weights() -> bool:
    """Whether FBGEMM is there: it multiplies float32 with weights in float16, on x86 with AVX2."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def _has_bfloat16(device: torch.device) -> bool:
    """In hardware: on GPUs without it PyTorch emulates it, slower than float32."""
    if device.type == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _unknown(device: str) -> ModelError:
    return ModelError(f"--device {device}: unknown; use auto, cpu, cuda, cuda:0 or mps.")


@contextmanager
def single_threaded() -> Iterator[None]:
    """Threads wait for each other at every operator: with many small ones that is most of the time."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
