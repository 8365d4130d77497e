"""Attention that is computed in blocks of queries equals PyTorch's attention, and so do its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from train.learning.attention import BLOCK, attention
from train.learning.packing import visible


def a_tree(length: int) -> Tensor:
    """Return the attention mask of two trees, with shape (1, 1, T, T) and type bool.

    The first tree is a common prefix with two branches.
    """
    trees = (torch.arange(length) >= length * 3 // 4).long()
    branches = torch.arange(length) * 4 // length % 3
    return visible(trees[None], branches[None])[:, None]


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 44])
@pytest.mark.parametrize(("heads", "groups"), [(6, 2), (3, 3)])
def test_output_and_gradients_equal_pytorchs(length: int, heads: int, groups: int) -> None:
    torch.manual_seed(length)
    shapes = ((2, heads, length, 8), (2, groups, length, 8), (2, groups, length, 8))
    query, key, value = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    mask, wanted = a_tree(length), torch.randn(2, length, heads, 8, dtype=torch.float64)
    ours, _ = attention(torch.nn.Identity(), query, key, value, attention_mask=mask, scaling=0.3)
    theirs = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad((seen * wanted).sum(), (query, key, value)) for seen in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_bfloat16_and_queries_in_float32_give_bfloat16() -> None:
    """With bfloat16 values the result is bfloat16, even if queries and keys are float32.

    Rotary embedding under autocast gives such queries and keys.
    """
    torch.manual_seed(1)
    query, key, value = torch.randn(1, 4, 200, 16), torch.randn(1, 2, 200, 16), torch.randn(1, 2, 200, 16)
    mask = a_tree(200)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True).transpose(1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        seen, _ = attention(torch.nn.Identity(), query, key, value.bfloat16(), attention_mask=mask, scaling=0.25)
    assert seen.dtype == torch.bfloat16
    torch.testing.assert_close(seen.float(), expected, atol=0.03, rtol=0.03)
