"""Rows that share one list of functions: half of a row's tokens are declarations, which several questions pay once.

The conversations of a bundle do not see one another (train/learning/packing.py), so each is what it would be alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from client.rows import Row, parse_arguments
from core.conversation import Call, Function, JsonSchema, Message
from schema import typescript

CHARS_PER_TOKEN = 3.1  # of declarations; an estimate that only cuts bundles
MAX_FUNCTIONS = 7
MAX_CONVERSATIONS = 12
_LOOKED_AT = 40  # how many waiting rows are tried for a place in a bundle
_MAX_SIBLINGS = 5
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# What many functions do, so that it tells none of them apart.
VERBS = frozenset(
    (
        *("add", "analyze", "calculate", "check", "compute", "create", "delete", "fetch"),
        *("find", "generate", "get", "list", "look", "make", "perform", "remove"),
        *("retrieve", "search", "send", "set", "show", "update"),
    )
)
_GENERIC = VERBS | frozenset(
    (
        *("a", "and", "by", "data", "for", "from", "in", "info"),
        *("information", "lookup", "my", "new", "of", "on", "the", "to"),
        "with",
    )
)


@dataclass(frozen=True)
class Bundle:
    """Conversations over one list of functions, each ending with the assistant."""

    functions: tuple[Function, ...]
    conversations: tuple[tuple[Message, ...], ...]
    source: str = ""


def alone(row: Row) -> Bundle:
    return Bundle(row.functions, (row.messages,), row.source)


def bundled(rows: Sequence[Row], *, seed: str, max_tokens: int, share: float) -> Iterator[Bundle]:
    """All rows, a `share` of those that can be bundled in bundles of about `max_tokens`, in a shuffled order.

    Only questions that are answered by calls share a list: it may hold a function that serves a question which had
    none. A bundle keeps the called functions, each other's distractors; none whose names speak of the same thing, so
    that every question has one right answer. Dialogues, which wander, stay alone.
    """
    random = Random(f"{seed} bundles")
    waiting: list[Row] = []
    for row in rows:
        if _can_share(row) and random.random() < share:
            waiting.append(row)
        else:
            yield alone(row)
    random.shuffle(waiting)
    waiting.reverse()
    alike: dict[str, list[Row]] = {}
    for row in waiting:
        alike.setdefault(_declaration(row), []).append(row)
    taken: set[int] = set()
    while waiting:
        first = waiting.pop()
        if id(first) in taken:
            continue
        bundle = _Filling(first, max_tokens)
        taken.add(id(first))
        for row in _candidates(waiting, alike, bundle, taken, random):
            if id(row) not in taken and bundle.takes(row):
                taken.add(id(row))
        yield bundle.closed(random)


def _can_share(row: Row) -> bool:
    return bool(row.calls) and row.kind != "dialogue" and row.messages[0].role == "user"


def _candidates(
    waiting: Sequence[Row], alike: dict[str, list[Row]], bundle: _Filling, taken: set[int], random: Random
) -> Iterator[Row]:
    """For each function in turn some more questions that call it, whose declaration is paid for already."""
    yield from _siblings(bundle.first, alike, taken, random)
    near = [row for row in waiting[-4 * _LOOKED_AT :] if id(row) not in taken][-_LOOKED_AT:]
    for row in reversed(near):
        if bundle.is_full:
            return
        yield row
        if id(row) in taken:
            yield from _siblings(row, alike, taken, random)


def _siblings(row: Row, alike: dict[str, list[Row]], taken: set[int], random: Random) -> Iterator[Row]:
    known = alike.get(_declaration(row), [])  # a row that stays alone may call it too
    for _ in range(random.randint(0, _MAX_SIBLINGS)):
        while known and id(known[-1]) in taken:
            known.pop()
        if known:
            yield known[-1]


class _Filling:
    """A bundle while it grows."""

    def __init__(self, first: Row, max_tokens: int) -> None:
        self._rows = [first]
        self._functions = {function.name: function for function in called(first)}
        self._chars = sum(map(function_chars, self._functions.values())) + conversation_chars(first)
        self._max_chars = max_tokens * CHARS_PER_TOKEN

    @property
    def first(self) -> Row:
        return self._rows[0]

    @property
    def is_full(self) -> bool:
        return self._chars > 0.9 * self._max_chars or len(self._rows) >= MAX_CONVERSATIONS

    def takes(self, row: Row) -> bool:
        """Take the row, if it fits."""
        known = [
            (self._functions[function.name], function) for function in called(row) if function.name in self._functions
        ]
        if not all(serves(here, function, row) for here, function in known):
            return False
        new = [function for function in called(row) if function.name not in self._functions]
        chars = self._chars + sum(map(function_chars, new)) + conversation_chars(row)
        if chars > self._max_chars or len(self._functions) + len(new) > MAX_FUNCTIONS or self.is_full:
            return False
        if any(topics(function.name) & topics(name) for function in new for name in self._functions):
            return False
        self._functions |= {function.name: function for function in new}
        self._rows.append(row)
        self._chars = chars
        return True

    def closed(self, random: Random) -> Bundle:
        if len(self._rows) == 1:
            return alone(self._rows[0])
        functions = list(self._functions.values())
        random.shuffle(functions)
        return Bundle(tuple(functions), tuple(row.messages for row in self._rows), self._rows[0].source)


def _declaration(row: Row) -> str:
    return typescript(called(row)[:1])


def called(row: Row) -> list[Function]:
    """The functions that the row calls, in the order of its list."""
    names = {call.name for call in row.calls}
    return [function for function in row.functions if function.name in names]


def serves(here: Function, own: Function, row: Row) -> bool:
    """Whether a declaration can stand for the row's own of the same name, and the calls would be the same.

    It knows all that is said, and nothing that the row's own does not know: the question may speak of that too.
    """
    if here == own:
        return True
    schema, original = here.parameters or {}, own.parameters or {}
    properties, known = schema.get("properties", {}), original.get("properties", {})
    given = [parse_arguments(call) for call in row.calls if call.name == own.name]
    return (
        all(list(arguments) == [name for name in properties if name in arguments] for arguments in given)
        and all(set(schema.get("required", ())) <= arguments.keys() for arguments in given)
        and all(name in known and _kind(value) == _kind(known[name]) for name, value in properties.items())
    )


def _kind(schema: JsonSchema) -> object:
    return [schema.get(key) for key in ("type", "enum", "items", "properties")]


def topics(name: str) -> frozenset[str]:
    """What a function's name speaks of: getCurrentWeather -> current, weather. Its verb if it says nothing else."""
    words = [word.lower().removesuffix("s") for word in _WORD.findall(name)]
    return frozenset(word for word in words if word not in _GENERIC) or frozenset(words)


def function_chars(function: Function) -> int:
    return len(typescript([function])) - _FRAME


def conversation_chars(row: Row) -> int:
    """With some for the marks of each turn."""
    return sum(message_chars(message) + 24 for message in row.messages)


def message_chars(message: Message) -> int:
    return len(message.content or "") + sum(len(call.name) + len(call.arguments) + 8 for call in message.calls)


def calls_of(conversation: Sequence[Message]) -> list[Call]:
    return [call for message in conversation for call in message.calls]


_FRAME = len(typescript([]))
