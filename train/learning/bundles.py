"""Groups rows into bundles, which share one list of functions.

Half of a row's tokens are declarations. A bundle holds them once for several conversations. The conversations do not
attend to each other (train/learning/packing.py), so each is trained as if it were alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from client.rows import Row, parse_arguments
from core.conversation import Call, Function, JsonSchema, Message
from schema import typescript

CHARS_PER_TOKEN = 3.1  # an estimate for declarations, which limits the size of a bundle
MAX_FUNCTIONS = 7
MAX_CONVERSATIONS = 12
_NUM_TRIED = 40  # number of waiting rows that are tried for each bundle
_MAX_SIBLINGS = 5
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Verbs that are too common in function names to distinguish two functions.
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
    """Conversations over one list of functions. Each conversation ends with the assistant."""

    functions: tuple[Function, ...]
    conversations: tuple[tuple[Message, ...], ...]
    source: str = ""


def single_bundle(row: Row) -> Bundle:
    """Return a bundle of one row, with all functions of the row."""
    return Bundle(row.functions, (row.messages,), row.source)


def bundled(rows: Sequence[Row], *, seed: str, max_tokens: int, share: float) -> Iterator[Bundle]:
    """Yield each row in one bundle. A `share` of the eligible rows is grouped into bundles of up to `max_tokens`.

    Only rows with calls are eligible: for a row without calls, a function of another row might be the right one to
    call. Dialogues are not eligible, since they have several topics. A bundle of several rows lists only the functions
    that the rows call. Each is a distractor for the other rows. No two functions share a topic, so each request has one
    right answer.
    """
    random = Random(f"{seed} bundles")
    waiting: list[Row] = []
    for row in rows:
        if _can_share(row) and random.random() < share:
            waiting.append(row)
        else:
            yield single_bundle(row)
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
        bundle = _OpenBundle(first, max_tokens)
        taken.add(id(first))
        for row in _candidates(waiting, alike, bundle, taken, random):
            if id(row) not in taken and bundle.try_add(row):
                taken.add(id(row))
        yield bundle.close(random)


def _can_share(row: Row) -> bool:
    return bool(row.calls) and row.kind != "dialogue" and row.messages[0].role == "user"


def _candidates(
    waiting: Sequence[Row], alike: dict[str, list[Row]], bundle: _OpenBundle, taken: set[int], random: Random
) -> Iterator[Row]:
    """Yield rows to try for the bundle. When a row was added, rows that call the same function come next."""
    yield from _siblings(bundle.first, alike, taken, random)
    near = [row for row in waiting[-4 * _NUM_TRIED :] if id(row) not in taken][-_NUM_TRIED:]
    for row in reversed(near):
        if bundle.is_full:
            return
        yield row
        if id(row) in taken:
            yield from _siblings(row, alike, taken, random)


def _siblings(row: Row, alike: dict[str, list[Row]], taken: set[int], random: Random) -> Iterator[Row]:
    known = alike.get(_declaration(row), [])
    for _ in range(random.randint(0, _MAX_SIBLINGS)):
        while known and id(known[-1]) in taken:
            known.pop()
        if known:
            yield known[-1]


class _OpenBundle:
    """A bundle to which rows are added."""

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

    def try_add(self, row: Row) -> bool:
        """Add the row if it fits. Returns whether it was added."""
        known = [
            (self._functions[function.name], function) for function in called(row) if function.name in self._functions
        ]
        if not all(can_stand_in(here, function, row) for here, function in known):
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

    def close(self, random: Random) -> Bundle:
        if len(self._rows) == 1:
            return single_bundle(self._rows[0])
        functions = list(self._functions.values())
        random.shuffle(functions)
        return Bundle(tuple(functions), tuple(row.messages for row in self._rows), self._rows[0].source)


def _declaration(row: Row) -> str:
    return typescript(called(row)[:1])


def called(row: Row) -> list[Function]:
    """Return the functions that the row calls, in the order of its list."""
    names = {call.name for call in row.calls}
    return [function for function in row.functions if function.name in names]


def can_stand_in(here: Function, own: Function, row: Row) -> bool:
    """Return whether the declaration `here` can replace `own` in the row without changing which calls are right.

    `here` must have all arguments of the calls, in their order, and no parameter that `own` lacks, since the request
    may mention a value for such a parameter.
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
    """Return the topics in a function's name: getCurrentWeather -> current, weather.

    Topics are all words of the name except common verbs. If a name has only common verbs, they are the topics.
    """
    words = [word.lower().removesuffix("s") for word in _WORD.findall(name)]
    return frozenset(word for word in words if word not in _GENERIC) or frozenset(words)


def function_chars(function: Function) -> int:
    return len(typescript([function])) - _FRAME


def conversation_chars(row: Row) -> int:
    """Count the characters of all messages, with an estimate for the control tokens around each message."""
    return sum(message_chars(message) + 24 for message in row.messages)


def message_chars(message: Message) -> int:
    return len(message.content or "") + sum(len(call.name) + len(call.arguments) + 8 for call in message.calls)


def calls_of(conversation: Sequence[Message]) -> list[Call]:
    return [call for message in conversation for call in message.calls]


_FRAME = len(typescript([]))
