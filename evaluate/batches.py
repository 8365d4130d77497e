"""Greedy answers in batches: for measuring a model in this process, where nobody waits for a first token.

Requests that want more than greedy tokens go to the serving engine. Batched sums are rounded otherwise than single
ones, so where two tokens are nearly as likely, an answer may differ from the server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from engines import Engine, Sampling, Step
from errors import EngineError, PromptTooLong

MAX_ROWS = 16  # a step of 16 rows takes little longer than of one: the weights are read once
MAX_TOKENS = 6144  # of one batch, padding included: keys and values of 280 MB for the embedded model in float32


@dataclass(eq=False)
class Row:
    """One request of a batch, and what it has got so far."""

    prompt_ids: list[int]
    sampling: Sampling
    output_ids: list[int] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    has_left: bool = False  # nobody waits for the answer any more

    @property
    def is_stopped(self) -> bool:
        return bool(self.output_ids) and self.output_ids[-1] in self.sampling.stop_ids

    @property
    def is_done(self) -> bool:
        return self.has_left or self.is_stopped or len(self.output_ids) >= self.sampling.max_tokens


class GreedyBatches:
    """An engine over another one: plain greedy requests are answered in batches, each whole; others are passed on."""

    def __init__(self, model: PreTrainedModel, served: Engine) -> None:
        self._model = model
        self._served = served
        self._waiting: list[Row] = []
        self._driver: asyncio.Task[None] | None = None

    @property
    def max_context(self) -> int:
        return self._served.max_context

    @property
    def vocab_size(self) -> int:
        return self._served.vocab_size

    def description(self) -> str:
        return f"{self._served.description()}, greedy in batches"

    async def close(self) -> None:
        await self._served.close()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        """One step with the whole answer. Errors as of other engines."""
        if not is_plain(sampling):
            async with aclosing(self._served.generate(prompt_ids, sampling)) as steps:
                async for step in steps:
                    yield step
            return
        if len(prompt_ids) >= self.max_context:
            raise PromptTooLong(len(prompt_ids), self.max_context)
        row = Row(list(prompt_ids), sampling)
        self._waiting.append(row)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        try:
            await row.answered.wait()
        finally:
            row.has_left = True
            if row in self._waiting:
                self._waiting.remove(row)
        if row.error:
            raise EngineError("a batch of the model failed") from row.error
        yield Step(tuple(row.output_ids), "stop" if row.is_stopped else "length")

    async def _drive(self) -> None:
        """Answer batch after batch until none waits."""
        while self._waiting:
            batch = chosen(self._waiting)
            self._waiting = [row for row in self._waiting if row not in batch]
            try:
                await asyncio.to_thread(answer, self._model, batch)
            except Exception as error:  # told to each request of the batch
                for row in batch:
                    row.error = error
            for row in batch:
                row.answered.set()


def is_plain(sampling: Sampling) -> bool:
    """Whether argmax is all that a request wants."""
    plain = Sampling(max_tokens=sampling.max_tokens, temperature=0.0, seed=sampling.seed, stop_ids=sampling.stop_ids)
    return sampling == plain


def chosen(waiting: Sequence[Row]) -> list[Row]:
    """The next batch: the row that waits longest, and those that are nearest to it in length."""
    oldest = waiting[0]
    near = sorted(waiting, key=lambda row: (row is not oldest, abs(len(row.prompt_ids) - len(oldest.prompt_ids))))
    batch: list[Row] = []
    for row in near[:MAX_ROWS]:
        width = max(len(other.prompt_ids) + other.sampling.max_tokens for other in [*batch, row])
        if batch and width * (len(batch) + 1) > MAX_TOKENS:
            break
        batch.append(row)
    return batch


@torch.inference_mode()
def answer(model: PreTrainedModel, batch: Sequence[Row]) -> None:
    """Fill `output_ids` of all rows. Prompts are padded on the left; rows that are done leave by halves."""
    width, rows = max(len(row.prompt_ids) for row in batch), list(batch)
    ids = torch.tensor([[0] * (width - len(row.prompt_ids)) + row.prompt_ids for row in rows], device=model.device)
    mask = torch.tensor([[0] * (width - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in rows])
    mask = mask.to(model.device)
    cache = DynamicCache(config=model.config)
    while True:
        ids = _next_ids(model, ids, mask, cache)
        for row, token_id in zip(rows, ids[:, 0].tolist(), strict=True):
            if not row.is_done:
                row.output_ids.append(token_id)
        left = [place for place, row in enumerate(rows) if not row.is_done]
        if not left:
            return
        if 2 * len(left) <= len(rows):
            rows, keep = [rows[place] for place in left], torch.tensor(left, device=model.device)
            cache.batch_select_indices(keep)
            ids, mask = ids[keep], mask[keep]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)


def _next_ids(model: PreTrainedModel, ids: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
    """The likeliest next token of each row.  ids: (B, new), mask: (B, all so far) -> (B, 1)."""
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)[:, -ids.shape[1] :]
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    if not bool(torch.isfinite(logits.max())):
        raise EngineError("the model's logits are not finite")
    best: Tensor = logits.argmax(dim=-1, keepdim=True)
    return best
