"""Decoder layers of Llama's kind with fewer operators: on a CPU each costs some microseconds, whatever it computes.

One product gives queries, keys and values, one gate and up; sums with the residual are part of the products before
them. The same function of the same weights as transformers' layers of these names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from engines.packed import Packed
from engines.ragged import attention

KNOWN = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")

Pack = Callable[[Sequence[nn.Linear]], Packed]


def fuse(model: Any, pack: Pack) -> bool:
    """Exchange the layers of a known architecture; False for another one. It then runs in our engine only."""
    if type(model).__name__ not in KNOWN:
        return False
    inner = model.model
    inner.rotary_emb = _Rotation(inner.rotary_emb)
    for number, layer in enumerate(inner.layers):
        inner.layers[number] = FusedLayer(layer, pack)
    inner.norm = _Norm(inner.norm)
    return True


class FusedLayer(nn.Module):
    """Takes what the model's loop gives to its layers, and needs `plan` (engines/ragged.py) among it."""

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
        self._norms = [_Norm(getattr(inner, name, None)) for name in ("q_norm", "k_norm")]
        self._before, self._between = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        self._to_heads = pack([inner.q_proj, inner.k_proj, inner.v_proj])
        self._from_heads = pack([inner.o_proj])
        self._gate_and_up = pack([mlp.gate_proj, mlp.up_proj])
        self._down = pack([mlp.down_proj])

    def forward(
        self, hidden: Tensor, *, position_embeddings: tuple[Tensor, Tensor], plan: Any, **others: Any
    ) -> Tensor:
        """hidden: (1, N, C)."""
        heads = self._to_heads(self._before(hidden)).view(1, hidden.shape[1], -1, self._width).transpose(1, 2)
        num_rotated = self._num_heads + self._num_groups
        if self._norms[0].weight is None:
            rotated = _rotated(heads[:, :num_rotated], *position_embeddings)
            query, key = rotated[:, : self._num_heads], rotated[:, self._num_heads :]
        else:
            query, key = heads[:, : self._num_heads], heads[:, self._num_heads : num_rotated]
            query, key = (
                _rotated(norm(part), *position_embeddings) for norm, part in zip(self._norms, (query, key), strict=True)
            )
        seen, _ = attention(
            self,
            query,
            key,
            heads[:, num_rotated:],
            None,
            plan=plan,
            scaling=self._scaling,
            sliding_window=self._window,
        )
        hidden = self._from_heads.add(seen.flatten(2), hidden)
        gate, up = self._gate_and_up(self._between(hidden)).chunk(2, dim=-1)
        return self._down.add(self._activation(gate) * up, hidden)


class _Norm(nn.Module):
    """Root mean square norm over the last dimension; without weight where there is none."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight: Tensor | None = None if norm is None else norm.weight.detach()
        self._epsilon: float = 0.0 if norm is None else norm.variance_epsilon

    def forward(self, hidden: Tensor) -> Tensor:
        return rms_norm(hidden, hidden.shape[-1:], self.weight, self._epsilon)


class _Rotation(nn.Module):
    """Cosines and sines, (1, 1, N, D), the first half of the sines negated: half of a rotation is then a roll."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self._inner = inner

    def forward(self, hidden: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        cosines, sines = self._inner(hidden, position_ids=position_ids)
        half = sines.shape[-1] // 2
        return cosines[:, None], torch.cat((-sines[..., :half], sines[..., half:]), dim=-1)[:, None]


def _rotated(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Su et al. 2021, in transformers' layout: the halves of a head are pairs."""
    return torch.addcmul(heads * cosines, heads.roll(heads.shape[-1] // 2, -1), sines)
