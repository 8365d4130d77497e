"""A model whose engine writes another output for each request, for tests of conversations with several rounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from core.generation import Sampling, Step
from inference import Model
from prompt_template import Piece
from tests.support.scripted_engine import ScriptedEngine


class TurnsEngine(ScriptedEngine):
    """Answers with `outputs` in order, the last one again and again. `prompts` are the texts of all prompts so far."""

    def __init__(self, model: Model, outputs: Sequence[str], **options: float) -> None:
        stop_id = model.tokenizer.token_id(model.template.stop[0])
        if stop_id is None:
            raise ValueError("the model has no stop token")
        super().__init__((), stop_id=stop_id, **options)  # type: ignore[arg-type]
        self.outputs = list(outputs)
        self.prompts: list[str] = []
        self.prompt_ids: list[list[int]] = []
        self._tokenizer = model.tokenizer

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        output = self.outputs[min(len(self.prompts), len(self.outputs) - 1)]
        self.prompts.append(self._tokenizer.decode(prompt_ids))
        self.prompt_ids.append(list(prompt_ids))
        self.script = self._tokenizer.encode([Piece(output, markup=True)]).ids
        async for step in super().generate(prompt_ids, sampling):
            yield step


def in_turns(model: Model, *outputs: str, **options: float) -> tuple[Model, TurnsEngine]:
    """Return `model` with an engine that writes `outputs`, which may contain control tokens as text."""
    engine = TurnsEngine(model, outputs, **options)
    return replace(model, engine=engine), engine
