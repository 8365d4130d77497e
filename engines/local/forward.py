"""One forward for many sequences: their prefill tokens, last tokens and drafts follow each other in one row.

Linear layers compute all tokens at once. Attention, registered with transformers as ATTENTION, computes each sequence
with its own KV cache; short sequences of one slab share a product. On a CPU the row is padded to one of few lengths,
because oneDNN compiles kernels for each length (5 ms for all layers) and never frees some of them (0.3 MB per weight,
as of oneDNN 3.12 in PyTorch 2.13).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from core.errors import ModelError
from engines.local.attention_batched import SlabBatch, SlabSpan
from engines.local.attention_single import MAX_SHORT_SPAN, attention_single
from engines.local.devices import single_threaded
from engines.local.kv_cache import BLOCK, KVCache, KVSlab

ATTENTION = "functionary_ragged"
_MIN_THREADED_WORK = 2048  # tokens looked at, from which threads are worth their while


@dataclass(frozen=True, eq=False)
class Span:
    """The tokens that one sequence adds in this step, behind those of its keys and values.

    `num_logits`: behind how many of the last tokens logits are wanted.
    """

    ids: Sequence[int]
    kv_cache: KVCache
    num_logits: int


@dataclass(frozen=True, eq=False)
class Plan:
    """How attention is computed in one forward of `num_tokens` tokens.

    `single`: spans that are computed one at a time, each with the start and end of its tokens in the forward.
    `batched`: groups of spans that share one product.
    """

    num_tokens: int
    single: list[tuple[Span, int, int]] = field(default_factory=list)
    batched: list[SlabBatch] = field(default_factory=list)

    @cached_property
    def is_small(self) -> bool:
        return sum(batch.num_scores for batch in self.batched) < _MIN_THREADED_WORK and all(
            len(span.ids) <= MAX_SHORT_SPAN and span.kv_cache.length < _MIN_THREADED_WORK for span, _, _ in self.single
        )


@torch.inference_mode()
def forward(model: PreTrainedModel, spans: Sequence[Span]) -> list[Tensor]:
    """Logits, (num_logits, vocab_size) for each span. Lengths do not move: the caller says how many tokens count."""
    for span in spans:
        span.kv_cache.reserve(len(span.ids))
    order = sorted(range(len(spans)), key=lambda number: _order(spans[number]))
    placed = [spans[number] for number in order]
    logits = torch.split(_logits(model, placed), [span.num_logits for span in placed])
    by_number = dict(zip(order, logits, strict=True))
    return [by_number[number] for number in range(len(spans))]


def _order(span: Span) -> tuple[bool, int, bool, int]:
    """Those that attention_single batched are neighbours."""
    kept = span.kv_cache
    return len(span.ids) > MAX_SHORT_SPAN, id(kept.slab), len(span.ids) > 1, kept.row


def _logits(model: PreTrainedModel, spans: Sequence[Span]) -> Tensor:
    ends = list(accumulate(len(span.ids) for span in spans))
    wanted = [row for span, end in zip(spans, ends, strict=True) for row in range(end - span.num_logits, end)]
    ids = [token_id for span in spans for token_id in span.ids]
    places = [span.kv_cache.length + i for span in spans for i in range(len(span.ids))]
    device: Any = model.get_input_embeddings().weight.device
    logits: Tensor = model(
        input_ids=torch.tensor([_padded(ids, device)], device=device),
        position_ids=torch.tensor([_padded(places, device)], device=device),
        use_cache=False,
        logits_to_keep=torch.tensor(_padded(wanted, device), dtype=torch.long, device=device),
        plan=_make_plan(spans, device),
    ).logits[0]
    return logits[: len(wanted)]


def _padded(rows: list[int], device: torch.device) -> list[int]:
    """With as many zeros as make their number one of few: on a CPU one of eight between two powers of two."""
    if device.type != "cpu":
        return rows
    step = 1 << max(0, (len(rows) - 1).bit_length() - 4)
    return [*rows, *[0] * (-len(rows) % step)]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    plan: Plan,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """query (1, H, N, D), key and value (1, G, N, D), H a multiple of G -> (1, N, H, D).

    The plan's tokens come first, padding behind them.
    """
    with single_threaded() if query.device.type == "cpu" and plan.is_small else nullcontext():
        return _attention(module, query[0], key[0], value[0], plan, scaling, sliding_window)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: Plan,
    scaling: float | None,
    sliding_window: int | None,
) -> tuple[Tensor, None]:
    layer: Any = module.layer_idx
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if len(plan.single) + len(plan.batched) == 1 and plan.num_tokens == query.shape[1]:
        if plan.batched:
            return plan.batched[0].attention(layer, query, key, value, scale, sliding_window)[None], None
        return attention_single(layer, query, key, value, plan.single[0][0].kv_cache, scale, sliding_window)[None], None
    seen = torch.zeros_like(query.transpose(0, 1))
    for span, start, end in plan.single:
        own = slice(start, end)
        seen[own] = attention_single(
            layer, query[:, own], key[:, own], value[:, own], span.kv_cache, scale, sliding_window
        )
    for batch in plan.batched:
        own = batch.own
        seen[own] = batch.attention(layer, query[:, own], key[:, own], value[:, own], scale, sliding_window)
    return seen[None], None


def _make_plan(spans: Sequence[Span], device: torch.device) -> Plan:
    """Short sequences on one slab attention_single batched, those that add one token and those that add a few."""
    plan = Plan(sum(len(span.ids) for span in spans))
    rows, end = defaultdict[tuple[KVSlab, bool], list[tuple[Span, SlabSpan]]](list), 0
    for span in spans:
        start, end = end, end + len(span.ids)
        kept = span.kv_cache
        if kept.slab.num_rows > 1 and len(span.ids) <= MAX_SHORT_SPAN:
            rows[kept.slab, len(span.ids) > 1].append((span, SlabSpan(start, end, kept.row, kept.length)))
        else:
            plan.single.append((span, start, end))
    for (slab, _), members in rows.items():
        if len(members) > 1:
            plan.batched.append(SlabBatch(slab, [row for _, row in members], device))
        else:
            plan.single.extend((span, row.start, row.end) for span, row in members)
    return plan


AttentionInterface.register(ATTENTION, attention)


def has_length_dependent_rope(model: PreTrainedModel) -> bool:
    """Whether rotation depends on the longest sequence of a forward: then another's length would change an answer."""
    rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    return rope.get("rope_type") in ("dynamic", "longrope")


def prepare(model: PreTrainedModel) -> int:
    """Exchange the attention; gives the bytes that keys and values of one token take. Raises ModelError."""
    name = type(model).__name__
    try:
        model.set_attn_implementation(ATTENTION)
        probe = Span([0], KVCache(), num_logits=1)
        forward(model, [probe])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} cannot be run in batches: {type(error).__name__}: {reason}") from None
    if probe.kv_cache.num_layers != model.config.get_text_config().num_hidden_layers:
        raise ModelError(f"{name} cannot be run in batches: not all of its layers keep keys and values.")
    return probe.kv_cache.num_bytes // BLOCK
