"""Builds up a conversation with its messages and listed functions, and chooses the distractors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from client.rows import Row
from core.conversation import Call, Function, Message
from train.everyday.catalogue import FIELD_OF, GENERAL, TASKS, are_rivals
from train.everyday.naming import Definition, define
from train.everyday.tasks import Arguments, Task, flat

SOURCE = "everyday"
NUM_DISTRACTORS = {0: 14, 1: 22, 2: 26, 3: 22, 4: 16}  # number of distractors -> weight
MAX_FUNCTIONS = 5
SYSTEM = (
    *("You are a helpful assistant.", "You are Functionary, a helpful assistant.", "Answer briefly and politely."),
    *("You help people with everyday tasks.", "Use the functions where they help.", "You are a friendly assistant."),
)
OPENERS = ("Sure. ", "OK. ", "All right. ", "Okay, done. ", "Of course. ", "Here you are: ", "Certainly. ")
_SHARE_SYSTEM, _SHARE_ECHO, _SHARE_OPENER = 0.04, 0.25, 0.12


class Dialogue:
    """A conversation under construction. `listed` are the tasks that it has as functions, under random names."""

    def __init__(self, listed: Sequence[Task], random: Random) -> None:
        self.random = random
        self.messages: list[Message] = []
        self._num_calls = 0
        self._definitions = _defined(listed, random)
        if random.random() < _SHARE_SYSTEM:
            self.messages.append(Message("system", random.choice(SYSTEM)))

    @property
    def listed(self) -> list[Task]:
        return [definition.task for definition in self._definitions.values()]

    def system(self, text: str) -> None:
        """Set the system message. It replaces an earlier one."""
        self.messages = [Message("system", text), *(message for message in self.messages if message.role != "system")]

    def user(self, text: str) -> None:
        self.messages.append(Message("user", text))

    def assistant(self, text: str) -> None:
        self.messages.append(Message("assistant", text))

    def call(self, *called: tuple[Task, Arguments]) -> None:
        """Add one assistant's turn with all of the calls."""
        calls = []
        for task, arguments in called:
            definition = self._definitions[task.name]
            calls.append(Call(definition.function.name, definition.arguments(arguments), f"call_{self._num_calls}"))
            self._num_calls += 1
        self.messages.append(Message("assistant", None, tuple(calls)))

    def add_results_and_answer(self, *called: tuple[Task, Arguments]) -> None:
        """Add the results of the last turn's calls and the assistant's answer."""
        results = self.add_results(*called)
        answers = [
            task.result_sentence(arguments, result) for (task, arguments), result in zip(called, results, strict=True)
        ]
        opener = self.random.choice(OPENERS) if self.random.random() < _SHARE_OPENER else ""
        self.assistant(opener + " ".join(dict.fromkeys(answers)))

    def add_results(self, *called: tuple[Task, Arguments]) -> list[Arguments]:
        """Add the results of the last turn's calls, without an answer, and return them."""
        calls = self.messages[-1].calls
        results = [task.result(arguments) for task, arguments in called]
        for call, (_, arguments), result in zip(calls, called, results, strict=True):
            content = json.dumps(self._echoed(arguments, result), ensure_ascii=False)
            self.messages.append(Message("tool", content, name=call.name, call_id=call.id))
        return results

    def row(self, kind: str) -> Row:
        functions: tuple[Function, ...] = tuple(one.function for one in self._definitions.values())
        return Row(functions, tuple(self.messages), SOURCE, {"kind": kind})

    def _echoed(self, arguments: Arguments, result: Arguments) -> dict[str, Any]:
        """Return the result, in some of the cases with the call's arguments, which many services repeat in a result."""
        if self.random.random() > _SHARE_ECHO:
            return result
        return {**{key: value for key, value in flat(arguments).items() if "." not in key}, **result}


def distractors(asked: Sequence[Task], random: Random) -> list[Task]:
    """Sample the tasks that are listed besides the requested ones."""
    num = random.choices(list(NUM_DISTRACTORS), list(NUM_DISTRACTORS.values()))[0]
    return sample_unrelated(asked, random, min(num, MAX_FUNCTIONS - len(asked)), near=0.4)


def sample_unrelated(
    asked: Sequence[Task], random: Random, num: int, *, near: float, with_general: bool = False
) -> list[Task]:
    """Sample `num` tasks. None is too similar (a rival) to `asked` or to another of them.

    `near` is the share of tasks from the topics of `asked`; the share is smaller if these topics have too few tasks.
    Tasks that could answer many requests (catalogue.GENERAL) are included only `with_general`.
    """
    fields = {FIELD_OF[task.name] for task in asked}
    fitting = [task for task in TASKS if with_general or task.name not in GENERAL]
    fitting = [task for task in fitting if not any(are_rivals(task, other) for other in asked)]
    pools = {
        is_near: [task for task in fitting if (FIELD_OF[task.name] in fields) is is_near] for is_near in (True, False)
    }
    chosen: list[Task] = []
    while len(chosen) < num:
        pool = pools[random.random() < near] or pools[False]
        task = random.choice(pool)
        pool.remove(task)
        if not any(are_rivals(task, other) for other in chosen):
            chosen.append(task)
    return chosen


def _defined(tasks: Sequence[Task], random: Random) -> dict[str, Definition]:
    """Define the tasks under distinct names, in shuffled order. Returns them by the tasks' original names."""
    definitions: dict[str, Definition] = {}
    for task in random.sample(tasks, len(tasks)):
        definition = define(task, FIELD_OF[task.name], random)
        while definition.function.name in {one.function.name for one in definitions.values()}:
            definition = define(task, FIELD_OF[task.name], random)
        definitions[task.name] = definition
    return definitions
