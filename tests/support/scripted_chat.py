"""A model for tests of agents: it answers each round with the next of its scripted turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence

from core.conversation import Message, Tool
from core.turn_format import ArgsDelta, CallStart, Event, Finish, FinishReason, TextDelta, TokenReport

Turn = str | list[tuple[str, object]] | Exception


class ScriptedChat:
    """Answers with `turns` in order, the last one again and again: a text, calls as pairs of name and arguments, or an
    exception that is raised.

    Arguments that are a text come as they are, others as JSON. `asked` are the messages of each round, `shown` the
    names of its functions, `followups` whether it followed results, `num_active` the answers that are being written.
    An answer ends after `max_events` events, truncated.
    """

    max_context: int | None = None

    def __init__(self, *turns: Turn, step_s: float = 0.0, max_events: int = 1_000_000) -> None:
        self.asked: list[tuple[Message, ...]] = []
        self.shown: list[tuple[str, ...]] = []
        self.followups: list[bool] = []
        self.num_active = 0
        self._turns = turns
        self._step_s = step_s
        self._max_events = max_events

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, is_followup: bool
    ) -> AsyncGenerator[Event | TokenReport | Finish]:
        turn = self._turns[min(len(self.asked), len(self._turns) - 1)]
        self.asked.append(tuple(messages))
        self.shown.append(tuple(tool.name for tool in tools))
        self.followups.append(is_followup)
        if isinstance(turn, Exception):
            raise turn
        events = _events(turn)
        reason: FinishReason = "length" if len(events) > self._max_events else "stop"
        self.num_active += 1
        try:
            for event in events[: self._max_events]:
                await asyncio.sleep(self._step_s)
                yield event
            yield Finish(reason, 10, len(events))
        finally:
            self.num_active -= 1


def _events(turn: str | list[tuple[str, object]]) -> list[Event]:
    if isinstance(turn, str):
        return [TextDelta(character) for character in turn]
    events: list[Event] = []
    for name, arguments in turn:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        events += [CallStart(name), *map(ArgsDelta, text)]
    return events
