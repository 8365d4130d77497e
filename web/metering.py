"""Counts the tokens that one request uses, whatever API and however many answers and rounds it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from prometheus_client import CollectorRegistry

from core.generation import Engine, Sampling, Step

Charge = Callable[[int, int], None]  # takes the numbers of prompt tokens and of generated tokens


class MeteredEngine:
    """An engine for one request. It reports the tokens of each answer when the answer ends or is cut.

    A prompt that several answers share counts once, as in their usage. A request that the engine does not start costs
    nothing.
    """

    def __init__(self, engine: Engine, charge: Charge) -> None:
        self._engine = engine
        self._charge = charge
        self._charged_prompts: set[tuple[int, ...]] = set()

    @property
    def max_context(self) -> int:
        return self._engine.max_context

    @property
    def vocab_size(self) -> int:
        return self._engine.vocab_size

    @property
    def registry(self) -> CollectorRegistry:
        return self._engine.registry

    @property
    def is_down(self) -> bool:
        return self._engine.is_down

    def description(self) -> str:
        return self._engine.description()

    def health(self) -> str:
        return self._engine.health()

    async def close(self) -> None:
        await self._engine.close()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        num_generated = 0
        try:
            async with aclosing(self._engine.generate(prompt_ids, sampling)) as steps:
                async for step in steps:
                    num_generated += len(step.token_ids)
                    yield step
        finally:
            if num_generated:
                prompt = tuple(prompt_ids)
                is_new = prompt not in self._charged_prompts
                self._charged_prompts.add(prompt)
                self._charge(len(prompt) if is_new else 0, num_generated)
