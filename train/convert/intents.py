"""Turns sentences with an intent and marked values into rows with a call.

A TOML file lists the functions:

[slots]
date = "date: Date, as said by the user"

[functions.book_table]
names = ["book_table", "table_booking"]
description = "Book a table at a restaurant"
slots = ["date!", "party_size = people (integer): Number of people"]
alike = ["booking"]

A slot becomes a parameter, which either `[slots]` or the function itself describes. `!` marks a required parameter. The
type is string if none is given. Two functions that have a word of `alike` in common are never in one row, since a
sentence could mean either of them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from agent.definitions.candidates import object_schema
from client.json_lines import Json
from client.rows import Row
from core.conversation import Function, JsonSchema, Message
from train.convert.common import Item, Reject, checked, function_call, number, with_distractors

MAX_OTHERS = 4
JOINED_SHARE = 0.12  # share of the rows whose request joins two sentences
JOINTS = ("{0}. {1}", "{0}, and {1}", "{0}. Also, {1}", "{0} and then {1}", "First {0}. Then {1}", "{0}; {1}")
_SLOT = re.compile(r"(?P<slot>\w+)(?P<required>!?)(?:\s*=\s*(?P<own>.+))?")
_OWN = re.compile(r"(?P<name>\w+)(?: \((?P<type>\w+)\))?: (?P<description>.+)")


@dataclass(frozen=True)
class Sentence:
    """A sentence with its marked values. `where` is "file:position"."""

    intent: str
    text: str
    values: tuple[tuple[str, str], ...]  # pairs of a slot and the words that are its value
    where: str


@dataclass(frozen=True)
class Intent:
    """A function, which each row shows under one of `names`. `slots` maps each slot to its parameter."""

    names: tuple[str, ...]
    function: Function
    slots: dict[str, str]
    alike: frozenset[str]


@dataclass(frozen=True)
class Table:
    """The functions by intent, and all known slots."""

    intents: dict[str, Intent]
    slots: frozenset[str]


def read_table(path: Path) -> Table:
    """Read a table of this package. Raises ValueError or KeyError for a mistake in it."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    shared: dict[str, str] = document["slots"]
    intents = {name: _intent(entry, shared) for name, entry in document["functions"].items()}
    own = {slot for intent in intents.values() for slot in intent.slots}
    return Table(intents, frozenset(shared) | own)


def _intent(entry: Json, shared: dict[str, str]) -> Intent:
    properties: dict[str, JsonSchema] = {}
    required, slots = [], {}
    for line in entry["slots"]:
        slot = _SLOT.fullmatch(line)
        own = slot and _OWN.fullmatch(slot["own"] or shared[slot["slot"]])
        if not slot or not own:
            raise ValueError(f"the slot {line!r} is not of the form 'slot! = name (type): Description'")
        slots[slot["slot"]] = own["name"]
        properties[own["name"]] = {"type": own["type"] or "string", "description": own["description"]}
        required += [own["name"]] if slot["required"] else []
    function = Function(entry["names"][0], entry["description"], object_schema(properties, required))
    return Intent(tuple(entry["names"]), function, slots, frozenset(entry.get("alike", ())))


def rows(sentences: Iterable[Sentence | Reject], table: Table, source: str) -> Iterator[Item]:
    """Yield a row or a reject for each sentence, then rows that each join two sentences."""
    good: list[tuple[Sentence, Row]] = []
    for sentence in sentences:
        if isinstance(sentence, Reject):
            yield sentence
            continue
        item = _row(sentence, table, source)
        if isinstance(item, Row):
            good.append((sentence, item))
        yield item
    random = Random(f"{source} joined")
    for _ in range(round(len(good) * JOINED_SHARE / (1 - JOINED_SHARE)) if len(good) > 1 else 0):
        yield _joined(random.sample(good, 2), table, source, random)


def _row(sentence: Sentence, table: Table, source: str) -> Item:
    intent = table.intents.get(sentence.intent)
    if intent is None:
        return Reject(sentence.where, f"no function for the intent: {sentence.intent}")
    random = Random(f"{source} {sentence.intent} {sentence.text}")
    arguments = _arguments(sentence, intent, table)
    if isinstance(arguments, Reject):
        return arguments
    function = replace(intent.function, name=random.choice(intent.names))
    functions = with_distractors([function], _others([intent], table, random), random, MAX_OTHERS)
    call = function_call(function, arguments, 0)
    messages = (Message("user", sentence.text), Message("assistant", None, (call,)))
    return checked(Row(functions, messages, source, {"kind": "single", "intent": sentence.intent}, sentence.where))


def _arguments(sentence: Sentence, intent: Intent, table: Table) -> Json | Reject:
    arguments: Json = {}
    properties: dict[str, JsonSchema] = (intent.function.parameters or {})["properties"]
    for slot, words in sentence.values:
        name = intent.slots.get(slot)
        if slot not in table.slots:
            return Reject(sentence.where, f"unknown slot: {slot}")
        if name is None:
            continue  # the function has no parameter for this slot, and the call is right without the value
        if name in arguments:
            return Reject(sentence.where, f"two values for one parameter: {slot}")
        value = number(words) if properties[name]["type"] == "integer" else words.strip()
        if value is None or value == "":
            return Reject(sentence.where, f"no number: {words!r} for {slot}")
        arguments[name] = value
    absent = set((intent.function.parameters or {})["required"]) - arguments.keys()
    return (
        Reject(sentence.where, f"a required value is not said: {min(absent)} of {sentence.intent}")
        if absent
        else arguments
    )


def _others(intents: Sequence[Intent], table: Table, random: Random) -> list[Function]:
    alike = frozenset(word for intent in intents for word in intent.alike)
    return [
        replace(other.function, name=random.choice(other.names))
        for other in table.intents.values()
        if other not in intents and not other.alike & alike
    ]


def _joined(pair: Sequence[tuple[Sentence, Row]], table: Table, source: str, random: Random) -> Item:
    """Join two sentences into one request. Both calls are in one turn."""
    sentences, both = [sentence for sentence, _ in pair], [row for _, row in pair]
    intents = [table.intents[sentence.intent] for sentence in sentences]
    where = " + ".join(sentence.where for sentence in sentences)
    if intents[0] is not intents[1] and intents[0].alike & intents[1].alike:
        return Reject(where, "joined sentences of two functions that are alike")
    names: dict[str, str] = {}
    for sentence, row in pair:
        names.setdefault(sentence.intent, row.calls[0].name)  # equal intents must call the function under one name
    called = [
        replace(intent.function, name=names[sentence.intent])
        for intent, sentence in zip(intents, sentences, strict=True)
    ]
    calls = tuple(
        replace(row.calls[0], name=function.name, id=f"call_{index}")
        for index, (row, function) in enumerate(zip(both, called, strict=True))
    )
    text = random.choice(JOINTS).format(*(sentence.text.rstrip(" .?!") for sentence in sentences))
    kind = "parallel" if len(names) == 1 else "parallel_multiple"
    unlike = list({function.name: function for function in called}.values())
    functions = with_distractors(unlike, _others(intents, table, random), random, MAX_OTHERS - 1)
    meta = {"kind": kind, "intent": " + ".join(sentence.intent for sentence in sentences)}
    return checked(Row(functions, (Message("user", text), Message("assistant", None, calls)), source, meta, where))
