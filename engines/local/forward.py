"""One forward for many sequences: prompts, single tokens and drafts side by side in one row.

Linear layers see all tokens at once; attention, registered with transformers under NAME, looks at each sequence's own
keys and values, those of short ones together where they lie side by side. On a CPU some rows more are computed and
thrown away: oneDNN compiles kernels for each number of rows (5 ms for all layers) and keeps parts of them for good
(0.3 MB a weight, as of 3.12 in PyTorch 2.13).
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
from engines.local.attention_batched import Batch, Row
from engines.local.attention_single import FEW, attend
from engines.local.devices import one_thread
from engines.local.kv_cache import BLOCK, KeyValues, Shelf

NAME = "functionary_ragged"
_LONG = 2048  # tokens looked at, from which threads are worth their while


@dataclass(frozen=True, eq=False)
class Span:
    """The tokens that one sequence adds in this step, behind those of its keys and values.

    `num_logits`: behind how many of the last tokens logits are wanted.
    """

    ids: Sequence[int]
    keys_values: KeyValues
    num_logits: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What attends to what in a forward of so many tokens. `alone`: spans, each with where its tokens begin and end."""

    num_tokens: int
    alone: list[tuple[Span, int, int]] = field(default_factory=list)
    together: list[Batch] = field(default_factory=list)

    @cached_property
    def is_small(self) -> bool:
        return sum(batch.num_scores for batch in self.together) < _LONG and all(
            len(span.ids) <= FEW and span.keys_values.length < _LONG for span, _, _ in self.alone
        )


@torch.inference_mode()
def forward(model: PreTrainedModel, spans: Sequence[Span]) -> list[Tensor]:
    """Logits, (num_logits, vocab_size) for each span. Lengths do not move: the caller says how many tokens count."""
    for span in spans:
        span.keys_values.reserve(len(span.ids))
    order = sorted(range(len(spans)), key=lambda number: _place(spans[number]))
    placed = [spans[number] for number in order]
    logits = torch.split(_logits(model, placed), [span.num_logits for span in placed])
    by_number = dict(zip(order, logits, strict=True))
    return [by_number[number] for number in range(len(spans))]


def _place(span: Span) -> tuple[bool, int, bool, int]:
    """Those that attend together are neighbours."""
    kept = span.keys_values
    return len(span.ids) > FEW, id(kept.shelf), len(span.ids) > 1, kept.place


def _logits(model: PreTrainedModel, spans: Sequence[Span]) -> Tensor:
    ends = list(accumulate(len(span.ids) for span in spans))
    wanted = [row for span, end in zip(spans, ends, strict=True) for row in range(end - span.num_logits, end)]
    ids = [token_id for span in spans for token_id in span.ids]
    places = [span.keys_values.length + i for span in spans for i in range(len(span.ids))]
    device: Any = model.get_input_embeddings().weight.device
    logits: Tensor = model(
        input_ids=torch.tensor([_padded(ids, device)], device=device),
        position_ids=torch.tensor([_padded(places, device)], device=device),
        use_cache=False,
        logits_to_keep=torch.tensor(_padded(wanted, device), dtype=torch.long, device=device),
        plan=_planned(spans, device),
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
    with one_thread() if query.device.type == "cpu" and plan.is_small else nullcontext():
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
    if len(plan.alone) + len(plan.together) == 1 and plan.num_tokens == query.shape[1]:
        if plan.together:
            return plan.together[0].attend(layer, query, key, value, scale, sliding_window)[None], None
        return attend(layer, query, key, value, plan.alone[0][0].keys_values, scale, sliding_window)[None], None
    seen = torch.zeros_like(query.transpose(0, 1))
    for span, start, end in plan.alone:
        own = slice(start, end)
        seen[own] = attend(layer, query[:, own], key[:, own], value[:, own], span.keys_values, scale, sliding_window)
    for batch in plan.together:
        own = batch.own
        seen[own] = batch.attend(layer, query[:, own], key[:, own], value[:, own], scale, sliding_window)
    return seen[None], None


def _planned(spans: Sequence[Span], device: torch.device) -> Plan:
    """Short sequences on one shelf attend together, those that add one token and those that add a few."""
    plan = Plan(sum(len(span.ids) for span in spans))
    rows, end = defaultdict[tuple[Shelf, bool], list[tuple[Span, Row]]](list), 0
    for span in spans:
        start, end = end, end + len(span.ids)
        kept = span.keys_values
        if kept.shelf.num_places > 1 and len(span.ids) <= FEW:
            rows[kept.shelf, len(span.ids) > 1].append((span, Row(start, end, kept.place, kept.length)))
        else:
            plan.alone.append((span, start, end))
    for (shelf, _), members in rows.items():
        if len(members) > 1:
            plan.together.append(Batch(shelf, [row for _, row in members], device))
        else:
            plan.alone.extend((span, row.start, row.end) for span, row in members)
    return plan


AttentionInterface.register(NAME, attention)


def has_changing_positions(model: PreTrainedModel) -> bool:
    """Whether rotation depends on the longest sequence of a forward: then another's length would change an answer."""
    rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    return rope.get("rope_type") in ("dynamic", "longrope")


def prepare(model: PreTrainedModel) -> int:
    """Exchange the attention; gives the bytes that keys and values of one token take. Raises ModelError."""
    name = type(model).__name__
    try:
        model.set_attn_implementation(NAME)
        probe = Span([0], KeyValues(), num_logits=1)
        forward(model, [probe])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} cannot be run in batches: {type(error).__name__}: {reason}") from None
    if probe.keys_values.num_layers != model.config.get_text_config().num_hidden_layers:
        raise ModelError(f"{name} cannot be run in batches: not all of its layers keep keys and values.")
    return probe.keys_values.num_bytes // BLOCK
