"""A model for the tests with real clients: it answers each prompt by rules, and calls the tools that clients offer."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from core.generation import Sampling, Step
from inference import Model
from prompt_template import Piece
from tests.support.scripted_engine import ScriptedEngine

WEATHER = '{"city": "Paris", "degrees": 21}'
PATCH = r"*** Begin Patch\n*** Add File: hello.txt\n+hi\n*** End Patch\n"
# The first rule whose regular expressions are all found in the prompt decides. The answers are in the turn format
# functionary_v3: `all` or a function's name, a line break, and the text or the arguments.
RULES: tuple[tuple[tuple[str, ...], str], ...] = (
    ((r"type final_answer =", "21 degrees in Paris"), 'final_answer\n{"answer": "It is 21 degrees in Paris."}'),
    ((r"A hello\.txt",), "all\nThe file is written."),
    ((r"(?m)^hi(<|$)",), "all\nThe command printed hi."),
    ((r"21 degrees( in Paris)?<|\"celsius\": 21",), "all\nIt is 21 degrees in Paris."),
    ((r"type final_result =", "Paris has 21 degrees"), f"final_result\n{WEATHER}"),
    ((r"type Weather =", "Paris has 21 degrees"), f"Weather\n{WEATHER}"),
    ((r"type PartialWeather =", "Paris has 21 degrees"), f"PartialWeather\n{WEATHER}"),
    (("Paris has 21 degrees",), f"all\n{WEATHER}"),
    ((r"type get_weather =", "What is the weather in Paris"), 'get_weather\n{"city": "Paris"}'),
    ((r"type get_current_weather =", "for Istanbul"), 'get_current_weather\n{"location": "Istanbul"}'),
    ((r"type exec_command =", "Run echo hi"), 'exec_command\n{"cmd": "echo hi"}'),
    ((r"type Bash =", "Run echo hi"), 'Bash\n{"command": "echo hi", "description": "Say hi"}'),
    ((r"type apply_patch =", "Add hello.txt"), f'apply_patch\n{{"input": "{PATCH}"}}'),
)
OTHERWISE = "all\nHello there."


class ConversationEngine(ScriptedEngine):
    """Answers the prompt of each request by RULES. `prompts` are the texts of all prompts so far."""

    def __init__(self, model: Model, **options: Any) -> None:
        super().__init__((), **options)
        self.prompts: list[str] = []
        self._tokenizer = model.tokenizer

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        prompt = self._tokenizer.decode(prompt_ids)
        self.prompts.append(prompt)
        answer = next((answer for signs, answer in RULES if all(re.search(s, prompt) for s in signs)), OTHERWISE)
        # With a forced choice, the prompt ends with the head of the answer.
        head = prompt.rsplit(">>>", 1)[-1]
        self.script = self._tokenizer.encode([Piece(answer.removeprefix(head), markup=True)]).ids
        async for step in super().generate(prompt_ids, sampling):
            yield step


def conversing(model: Model, *, max_context: int) -> tuple[Model, ConversationEngine]:
    """Return `model` with an engine that answers by RULES."""
    stop_id = model.tokenizer.token_id(model.template.stop[0])
    assert stop_id is not None
    engine = ConversationEngine(model, stop_id=stop_id, max_context=max_context)
    return replace(model, engine=engine), engine
