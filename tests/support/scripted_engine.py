"""An engine that returns fixed token ids, one per step, for tests of the code around engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from prometheus_client import CollectorRegistry

from core.errors import EngineError, PromptTooLong
from core.generation import Sampling, Step
from inference import Model
from prompt_template import Piece


class ScriptedEngine:
    """Answers every request with `script` and finish reason "stop", or raises EngineError at step `fails_at`."""

    def __init__(
        self,
        script: Sequence[int],
        *,
        stop_id: int,
        max_context: int = 4096,
        fails_at: int | None = None,
        step_s: float = 0.0,
    ) -> None:
        self.script = list(script)
        self.max_context = max_context
        self.vocab_size = 1 << 20
        self.num_steps = 0  # steps of all requests; tests check that a stopped request makes no more steps
        self.num_active = 0
        self.last_prompt: list[int] = []
        self.last_sampling: Sampling | None = None
        self.registry = CollectorRegistry()
        self._stop_id = stop_id
        self.fails_at = fails_at
        self.step_s = step_s
        self.is_down = False

    def health(self) -> str:
        return "the script says so" if self.is_down else ""

    def description(self) -> str:
        return "a script"

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        if len(prompt_ids) >= self.max_context:
            raise PromptTooLong(len(prompt_ids), self.max_context)
        self.last_prompt, self.last_sampling = list(prompt_ids), sampling
        self.num_active += 1
        try:
            for place, token_id in enumerate([*self.script, self._stop_id]):
                await asyncio.sleep(self.step_s)
                if place == self.fails_at:
                    raise EngineError("the script says so")
                self.num_steps += 1
                if place == len(self.script):
                    yield Step((token_id,), "stop")
                    return
                if place + 1 == sampling.max_tokens:
                    yield Step((token_id,), "length")
                    return
                yield Step((token_id,))
        finally:
            self.num_active -= 1

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


def scripted(model: Model, output: str, **options: float | None) -> tuple[Model, ScriptedEngine]:
    """Return `model` with an engine that generates `output`, which may contain control tokens as text."""
    script = model.tokenizer.encode([Piece(output, markup=True)]).ids
    stop_id = model.tokenizer.token_id(model.template.stop[0])
    assert stop_id is not None
    engine = ScriptedEngine(script, stop_id=stop_id, **options)  # type: ignore[arg-type]
    return replace(model, engine=engine), engine
