"""An engine that gives a different script to each request, for tests of answers that take several rounds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from core.errors import EngineError
from core.generation import Sampling, Step
from inference import Model
from prompt_template import Piece
from tests.support.scripted_engine import ScriptedEngine


class TurnsEngine(ScriptedEngine):
    """Answers each request with the next of its turns, and the last one again and again.

    prompts: the texts of the prompts of all requests since `play`. fails_in: the number of a request that fails.
    """

    def __init__(self, model: Model, *, stop_id: int, max_context: int) -> None:
        super().__init__((), stop_id=stop_id, max_context=max_context)
        self.prompts: list[str] = []
        self.fails_in: int | None = None
        self._tokenizer = model.tokenizer
        self._turns: tuple[str, ...] = ("",)

    def play(self, *turns: str, fails_in: int | None = None, step_s: float = 0.0) -> None:
        """Set the turns, which may contain control tokens as text."""
        self._turns, self.fails_in, self.step_s = turns, fails_in, step_s
        self.prompts = []

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        number = len(self.prompts)
        prompt = self._tokenizer.decode(prompt_ids)
        self.prompts.append(prompt)
        if number == self.fails_in:
            raise EngineError("the script says so")
        turn = self._turns[min(number, len(self._turns) - 1)]
        head = prompt.rsplit(">>>", 1)[-1]  # with a forced choice, the prompt ends with the head of the answer
        self.script = self._tokenizer.encode([Piece(turn.removeprefix(head), markup=True)]).ids
        async for step in super().generate(prompt_ids, sampling):
            yield step


def with_turns(model: Model, *, max_context: int = 100_000) -> tuple[Model, TurnsEngine]:
    """Return `model` with an engine of turns, and the engine."""
    stop_id = model.tokenizer.token_id(model.template.stop[0])
    assert stop_id is not None
    engine = TurnsEngine(model, stop_id=stop_id, max_context=max_context)
    return replace(model, engine=engine), engine
