"""Decoder layers like Llama's with fewer operators. On a CPU, even a tiny operator costs microseconds.

One matrix product computes queries, keys and values; another one computes gate and up. Each residual sum is fused into
the matrix product before it. The results are those of transformers' layers with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import embedding

from engines.local.forward import attention
from engines.local.packed_linear import MEMORY_BOUND_ROWS, HalfLinear, Packed

KNOWN = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")

Pack = Callable[[Sequence[nn.Linear]], Packed]


def fuse(model: Any, pack: Pack) -> bool:
    """Replace the layers of a model of a known architecture; the model then runs in this engine only.

    Returns False, without a change, for an unknown architecture.
    """
    if type(model).__name__ not in KNOWN:
        return False
    inner = model.model
    inner.rotary_emb = _Rotation(inner.rotary_emb)
    for number, layer in enumerate(inner.layers):
        inner.layers[number] = FusedLayer(layer, pack)
    inner.norm = _Norm(inner.norm)
    if inner.layers[0].uses_two_dtypes:
        inner.embed_tokens = _Embedding(inner.embed_tokens)
    return True


class FusedLayer(nn.Module):
    """A decoder layer.

    Its `forward` takes the arguments of transformers' layers and a Plan (engines/local/forward.py).
    """

    def __init__(self, layer: Any, pack: Pack) -> None:
        super().__init__()
        inner, mlp = layer.self_attn, layer.mlp
        self.layer_idx = inner.layer_idx
        self._width = inner.head_dim
        self._scaling = inner.scaling
        self._window = getattr(inner, "sliding_window", getattr(inner.config, "sliding_window", None))
        self._num_heads = inner.q_proj.out_features // self._width
        self._num_groups = inner.k_proj.out_features // self._width
        self._activation = mlp.act_fn
        heads_norms = [getattr(inner, name, None) for name in ("q_norm", "k_norm")]
        self._heads_norms = [_Norm(norm) for norm in heads_norms if norm]
        self._norms = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        down = pack([mlp.down_proj])
        self._linears = (  # a tuple: looking up a submodule of an nn.Module takes a microsecond
            pack([inner.q_proj, inner.k_proj, inner.v_proj]),
            pack([inner.o_proj]),
            pack([mlp.gate_proj, mlp.up_proj]),
            down,
        )
        self.uses_two_dtypes = isinstance(down, HalfLinear) and down.for_many_rows is not None

    def forward(
        self, hidden: Tensor, *, position_embeddings: tuple[Tensor, Tensor], plan: Any, **others: Any
    ) -> Tensor:
        """Compute the layer's output from `hidden`: (1, N, C) -> (1, N, C)."""
        (before, between), (to_heads, from_heads, gate_and_up, down) = self._norms, self._linears
        heads = to_heads.forward(before.forward(hidden)).view(1, hidden.shape[1], -1, self._width).transpose(1, 2)
        num_rotated = self._num_heads + self._num_groups
        value = heads[:, num_rotated:]
        if self._heads_norms:
            parts = heads[:, : self._num_heads], heads[:, self._num_heads : num_rotated]
            normed = [norm.forward(part) for norm, part in zip(self._heads_norms, parts, strict=True)]
            query, key = (_rotated(part, *position_embeddings) for part in normed)
        else:
            rotated = _rotated(heads[:, :num_rotated], *position_embeddings)
            query, key = rotated[:, : self._num_heads], rotated[:, self._num_heads :]
        if self.uses_two_dtypes:  # the layer computes in two dtypes, but a KV cache has only one
            key, value = key.bfloat16(), value.bfloat16()
        options = {"plan": plan, "scaling": self._scaling, "sliding_window": self._window}
        attended, _ = attention(self, query, key, value, None, **options)
        hidden = from_heads.add(attended.flatten(2), hidden)
        gate, up = gate_and_up.forward(between.forward(hidden)).chunk(2, dim=-1)
        return down.add(self._activation(gate) * up, hidden)


class _Embedding(nn.Module):
    """Embeds tokens: few in float32 and many in bfloat16, the dtypes that HalfLinear (packed_linear.py) expects."""

    def __init__(self, inner: nn.Embedding) -> None:
        super().__init__()
        self.weight = inner.weight

    def forward(self, ids: Tensor) -> Tensor:
        rows = embedding(ids, self.weight)
        return rows if ids.numel() <= MEMORY_BOUND_ROWS else rows.bfloat16()


class _Norm(nn.Module):
    """Normalizes by the root mean square over the last dimension, in float32."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight = norm.weight.detach().float()
        self._epsilon = torch.tensor(norm.variance_epsilon)

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize `hidden` with four operators; PyTorch 2.13's own norm takes eight."""
        size = vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.addcmul(self._epsilon, size, size, value=1 / hidden.shape[-1]).rsqrt_()
        return (hidden * scale).mul_(self.weight).to(hidden.dtype)


class _Rotation(nn.Module):
    """The cosines and sines of the positions, (1, 1, N, D) each, for `_rotated`.

    The first half of the sines is negated, which saves `_rotated` a negation.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self._inner = inner

    def forward(self, hidden: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        cosines, sines = self._inner(hidden, position_ids=position_ids)
        half = sines.shape[-1] // 2
        return cosines[:, None], torch.cat((-sines[..., :half], sines[..., half:]), dim=-1)[:, None]


def _rotated(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Apply rotary position embedding (Su et al. 2021) in transformers' layout, which pairs a head's two halves."""
    return torch.addcmul(heads * cosines, heads.roll(heads.shape[-1] // 2, -1), sines)
