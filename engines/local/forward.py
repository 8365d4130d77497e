"""Runs one forward for many sequences. Their prefill tokens, last tokens and drafts are concatenated to one input.

Linear layers compute all tokens at once. Attention, registered with transformers as ATTENTION, computes each sequence
with its own KV cache; short sequences of one slab are computed in one matrix product. On a CPU the input is padded to
one of a few lengths: oneDNN compiles kernels for each length (5 ms for all layers) and never frees some of them (0.3 MB
for each weight matrix; measured with oneDNN 3.12 in PyTorch 2.13).
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
_MIN_THREADED_WORK = 2048  # attention scores or cached tokens; with fewer, one thread is faster than several


@dataclass(frozen=True, eq=False)
class Span:
    """The new tokens of one sequence in this step. They follow the tokens in the sequence's KV cache.

    The forward returns the logits of the last `num_logits` tokens.
    """

    ids: Sequence[int]
    kv_cache: KVCache
    num_logits: int


@dataclass(frozen=True, eq=False)
class Plan:
    """How attention is computed in one forward of `num_tokens` tokens.

    `single`: spans that are computed one at a time, each with the start and end of its tokens in the forward.
    `batched`: groups of spans; each group is computed in one matrix product.
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
    """Run the model. Returns logits of shape (num_logits, vocab_size) for each span.

    The caller advances the length of each KV cache by the tokens that it accepts.
    """
    for span in spans:
        span.kv_cache.reserve(len(span.ids))
    order = sorted(range(len(spans)), key=lambda number: _sort_key(spans[number]))
    ordered = [spans[number] for number in order]
    logits = torch.split(_logits(model, ordered), [span.num_logits for span in ordered])
    by_number = dict(zip(order, logits, strict=True))
    return [by_number[number] for number in range(len(spans))]


def _sort_key(span: Span) -> tuple[bool, int, bool, int]:
    """Return a sort key that puts the spans of one batch next to each other, in the order of their slab rows."""
    kv_cache = span.kv_cache
    return len(span.ids) > MAX_SHORT_SPAN, id(kv_cache.slab), len(span.ids) > 1, kv_cache.row


def _logits(model: PreTrainedModel, spans: Sequence[Span]) -> Tensor:
    ends = list(accumulate(len(span.ids) for span in spans))
    logit_rows = [row for span, end in zip(spans, ends, strict=True) for row in range(end - span.num_logits, end)]
    ids = [token_id for span in spans for token_id in span.ids]
    positions = [span.kv_cache.length + i for span in spans for i in range(len(span.ids))]
    device: Any = model.get_input_embeddings().weight.device
    logits: Tensor = model(
        input_ids=torch.tensor([_padded(ids, device)], device=device),
        position_ids=torch.tensor([_padded(positions, device)], device=device),
        use_cache=False,
        logits_to_keep=torch.tensor(_padded(logit_rows, device), dtype=torch.long, device=device),
        plan=_make_plan(spans, device),
    ).logits[0]
    return logits[: len(logit_rows)]


def _padded(rows: list[int], device: torch.device) -> list[int]:
    """Pad `rows` with zeros to one of a few standard lengths. Only a CPU needs this.

    On a CPU, oneDNN compiles kernels for each length, so there should be few. There are eight standard lengths between
    each power of two and the next. On other devices, return `rows` as it is.
    """
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
    """Compute the attention of all spans: query (1, H, N, D), key and value (1, G, N, D) -> (1, N, H, D).

    H is a multiple of G. The outputs for padding, which follows the plan's tokens, are 0.
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
    output = torch.zeros_like(query.transpose(0, 1))
    for span, start, end in plan.single:
        own = slice(start, end)
        output[own] = attention_single(
            layer, query[:, own], key[:, own], value[:, own], span.kv_cache, scale, sliding_window
        )
    for batch in plan.batched:
        own = batch.own
        output[own] = batch.attention(layer, query[:, own], key[:, own], value[:, own], scale, sliding_window)
    return output[None], None


def _make_plan(spans: Sequence[Span], device: torch.device) -> Plan:
    """Group the short spans of each slab into batches. All other spans are computed one at a time.

    Spans of one token and spans of several tokens are in separate batches.
    """
    plan = Plan(sum(len(span.ids) for span in spans))
    by_slab, end = defaultdict[tuple[KVSlab, bool], list[tuple[Span, SlabSpan]]](list), 0
    for span in spans:
        start, end = end, end + len(span.ids)
        kv_cache = span.kv_cache
        if kv_cache.slab.num_rows > 1 and len(span.ids) <= MAX_SHORT_SPAN:
            by_slab[kv_cache.slab, len(span.ids) > 1].append(
                (span, SlabSpan(start, end, kv_cache.row, kv_cache.length))
            )
        else:
            plan.single.append((span, start, end))
    for (slab, _), members in by_slab.items():
        if len(members) > 1:
            plan.batched.append(SlabBatch(slab, [slab_span for _, slab_span in members], device))
        else:
            plan.single.extend((span, slab_span.start, slab_span.end) for span, slab_span in members)
    return plan


AttentionInterface.register(ATTENTION, attention)


def has_length_dependent_rope(model: PreTrainedModel) -> bool:
    """Whether rotary positions depend on the longest sequence in the forward.

    The engine runs each request of such a model in a forward of its own. In a shared forward, a long request would
    change the outputs of the others.
    """
    rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    return rope.get("rope_type") in ("dynamic", "longrope")


def prepare(model: PreTrainedModel) -> int:
    """Replace the model's attention by this module's. Returns the size of the KV cache per token in bytes.

    Raises ModelError if the attention cannot be replaced.
    """
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
