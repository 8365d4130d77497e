"""Attention of one sequence to its KV cache equals a reference, and its matrix products have few different shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from engines.local.attention_single import attention_single
from engines.local.kv_cache import KVCache

HEADS, GROUPS, WIDTH = 4, 2, 8


def kv_cache_of(length: int, dtype: torch.dtype) -> KVCache:
    """Return a KV cache of `length` tokens. After them, its memory still has values of rejected draft tokens."""
    cache, num_written = KVCache(), length + 400
    cache.reserve(num_written)
    rows = torch.randn(GROUPS, num_written, WIDTH).to(dtype)
    cache.write(0, rows, rows.flip(1))
    cache.length = length
    return cache


def new(num_tokens: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    query, key, value = (torch.randn(heads, num_tokens, WIDTH).to(dtype) for heads in (HEADS, GROUPS, GROUPS))
    return query, key, value


@pytest.mark.parametrize("window", [None, 1, 20, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_token_sees_itself_and_earlier_tokens(dtype: torch.dtype, window: int | None) -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        for before in (0, 1, 63, 250, 1030):
            for num_new in (1, 2, 16, 17, 40, 64, 65, 130, 256):
                cache, (query, key, value) = kv_cache_of(before, dtype), new(num_new, dtype)
                cache.reserve(num_new)
                output = attention_single(0, query, key, value, cache, 0.5, window)
                keys, values = cache.slab.layers[0][cache.row, :, :, : before + num_new].float()
                distance = torch.arange(before, before + num_new)[:, None] - torch.arange(before + num_new)
                visible = (distance >= 0) & (distance < (window or 10_000))
                expected = scaled_dot_product_attention(
                    query.float()[None], keys[None], values[None], attn_mask=visible, scale=0.5, enable_gqa=True
                )[0].transpose(0, 1)
                torch.testing.assert_close(
                    output.float(), expected, atol=0.02 if dtype == torch.bfloat16 else 1e-5, rtol=0.02
                )


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the shapes of all matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: set[tuple[torch.Size, ...]] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.ops.aten.bmm.default, torch.ops.aten.matmul.default):
            self.shapes.add(tuple(tensor.shape for tensor in args))
        return func(*args, **(kwargs or {}))


def test_products_have_few_shapes() -> None:
    """Matrix products have few shapes, since oneDNN never frees the kernels that it compiles for a shape.

    Regression test: the memory of a server grew without end with prompts of many lengths.
    """
    cache = kv_cache_of(2048, torch.bfloat16)
    with Products() as products, torch.inference_mode():
        for before in range(0, 2000, 37):
            for num_new in (17, 20, 33, 47, 48):
                cache.length = before
                attention_single(0, *new(num_new, torch.bfloat16), cache, 0.5, None)
    assert 2 < len(products.shapes) <= 2 * 2 * (1024 // 64 + 1280 // 256)
