"""A model for tests of agents: it answers each round with the next of its scripted turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence

from core.conversation import Message, Tool
from core.turn_format import ArgsDelta, CallStart, Event, Finish, TextDelta, TokenReport

Turn = str | list[tuple[str, object]]


class ScriptedChat:
    """Answers with `turns` in order, the last one again and again: a text, or calls as pairs of name and arguments.

    Arguments that are a text come as they are, others as JSON. `asked` are the messages of each round, `shown` the
    names of its functions, `followups` whether it followed results.
    """

    max_context: int | None = None

    def __init__(self, *turns: Turn, step_s: float = 0.0) -> None:
        self.asked: list[tuple[Message, ...]] = []
        self.shown: list[tuple[str, ...]] = []
        self.followups: list[bool] = []
        self._turns = turns
        self._step_s = step_s

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, is_followup: bool
    ) -> AsyncGenerator[Event | TokenReport | Finish]:
        turn = self._turns[min(len(self.asked), len(self._turns) - 1)]
        self.asked.append(tuple(messages))
        self.shown.append(tuple(tool.name for tool in tools))
        self.followups.append(is_followup)
        events: list[Event] = []
        if isinstance(turn, str):
            events = [TextDelta(character) for character in turn]
        else:
            for name, arguments in turn:
                text = arguments if isinstance(arguments, str) else json.dumps(arguments)
                events += [CallStart(name), *map(ArgsDelta, text)]
        for event in events:
            await asyncio.sleep(self._step_s)
            yield event
        yield Finish("stop", 10, len(events))
