"""The default memory of the KV cache and the prefix cache, and where the server states it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from engines.local import devices
from engines.local.devices import default_cache_bytes
from inference import load_model
from web.command_line import introduction, read_options

GIB = 1 << 30


@pytest.mark.parametrize(
    ("kind", "free", "context", "expected"),
    [
        ("cpu", 64 * GIB, GIB // 4, GIB),  # a small model: 16 contexts would need 4 GiB
        ("cpu", 64 * GIB, GIB // 100, 16 * (GIB // 100)),  # a tiny one: all contexts need less
        ("cpu", 64 * GIB, 3 * GIB, 3 * GIB),  # a large one: one full context
        ("cpu", 2 * GIB, 3 * GIB, GIB // 2),  # never more than a quarter of the free memory
        ("cuda", 64 * GIB, GIB, 16 * GIB),
    ],
)
def test_default(kind: str, free: int, context: int, expected: int) -> None:
    """A server of a model with 135M parameters grew beyond 5 GB, because it took a quarter of 24 GB for its caches."""
    with patch.object(devices, "free_memory", return_value=free):
        assert default_cache_bytes(torch.device(kind), context, 16) == expected


def test_the_bound_is_stated(chatml_folder: Path) -> None:
    model = load_model(str(chatml_folder), cache_bytes=3 << 20, dtype="float32")
    try:
        assert "at most 3 MB for the KV cache and the prefix cache" in introduction(model, read_options([]), 8000)
        found = model.engine.registry.get_sample_value("functionary:kv_cache_max_bytes")
        assert found is not None and 0.9 * (3 << 20) < found <= 3 << 20
    finally:
        asyncio.run(model.engine.close())
