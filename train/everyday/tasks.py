"""Defines a task: a function with the wordings of requests for it, and a computed result. fields/ lists the tasks.

A wording is a sentence with slots, one for each parameter that it mentions: "Wake me at {time}". A part in brackets can
be repeated for several calls: "Convert [{amount} miles]" -> "Convert 3 miles and 10 miles". A wording without a full
stop or question mark is an imperative and may be framed ("Could you ...?"). The words of a wording can imply arguments:
`("Lights off", {"on": False})`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from core.conversation import Function, JsonSchema

Arguments = dict[str, Any]
Wording = str | tuple[str, Arguments]
SLOT = re.compile(r"\{([\w.]+)\}")


@dataclass(frozen=True)
class PhrasedValue:
    """An argument's value, and the words for the value in a request."""

    value: Any
    words: str


@dataclass(frozen=True)
class Maker:
    """The JSON Schema of a kind of value, and a function that samples such a value."""

    schema: JsonSchema
    sample: Callable[[Random], PhrasedValue]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function. A nested object has `fields` instead of a `maker`."""

    name: str
    maker: Maker | None
    description: str
    is_required: bool = True
    default: Any = None
    fields: tuple[Parameter, ...] = ()

    @property
    def schema(self) -> JsonSchema:
        described = {} if not self.description else {"description": self.description}
        if self.maker is None:
            return {"type": "object", **described, **object_schema(self.fields)}
        default = {} if self.default is None else {"default": self.default}
        return {"type": self.maker.schema["type"], **described, **self.maker.schema, **default}


def need(name: str, maker: Maker, description: str) -> Parameter:
    return Parameter(name, maker, description)


def may(name: str, maker: Maker, description: str, default: Any = None) -> Parameter:
    return Parameter(name, maker, description, is_required=False, default=default)


def nested(name: str, description: str, *fields: Parameter, is_required: bool = True) -> Parameter:
    return Parameter(name, None, description, is_required, fields=fields)


def object_schema(fields: Sequence[Parameter]) -> JsonSchema:
    required = [field.name for field in fields if field.is_required]
    return {"properties": {field.name: field.schema for field in fields}, "required": required}


class ResultRandom:
    """Random values for results. Equal arguments give equal values, in every process."""

    def __init__(self, name: str, arguments: Arguments) -> None:
        text = json.dumps([name, arguments], sort_keys=True)
        self._random = Random(hashlib.sha256(text.encode()).digest())

    def whole(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def number(self, low: float, high: float, digits: int = 1) -> float:
        return round(self._random.uniform(low, high), digits)

    def pick(self, *choices: Any) -> Any:
        return self._random.choice(choices)

    def some(self, count: int, *choices: Any) -> list[Any]:
        return self._random.sample(choices, count)

    def code(self, prefix: str) -> str:
        return f"{prefix}{self._random.randint(1000, 99999)}"


Answer = Callable[[Arguments, ResultRandom], Arguments]
Sentence = str | Callable[[Arguments, Arguments], str]


@dataclass(frozen=True)
class Ask:
    """A request without a required value, the assistant's question for the value, and the user's reply."""

    wording: Wording
    question: str
    reply: str


@dataclass(frozen=True)
class Task:
    """A function with the wordings of requests for it, its result and the assistant's answer.

    answer: computes the result. sentence: the assistant's answer with slots for results and arguments, or a function of
    both. again: a follow-up that asks for the same with other values, such as "And in {city}?".
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    wordings: tuple[Wording, ...]
    answer: Answer
    sentence: Sentence
    asks: tuple[Ask, ...] = ()
    again: str = ""

    @property
    def function(self) -> Function:
        return Function(self.name, self.description, {"type": "object", **object_schema(self.parameters)})

    @property
    def required(self) -> set[str]:
        """Return the paths of all required arguments."""
        return set(_required(self.parameters, ""))

    def result(self, arguments: Arguments) -> Arguments:
        return self.answer(arguments, ResultRandom(self.name, arguments))

    def result_sentence(self, arguments: Arguments, result: Arguments) -> str:
        """Write the assistant's answer for a result."""
        if not isinstance(self.sentence, str):
            return self.sentence(arguments, result)
        known = {**flat(arguments), **flat(result)}
        return capital(tidied(SLOT.sub(lambda slot: shown(known[slot[1]]), self.sentence)))

    def parameter(self, path: str) -> Parameter:
        """Return the parameter of a slot such as "city" or "recipient.name"."""
        fields: tuple[Parameter, ...] = self.parameters
        *outer, last = path.split(".")
        for name in outer:
            fields = next(field for field in fields if field.name == name).fields
        return next(field for field in fields if field.name == last)

    def ordered(self, values: Arguments) -> Arguments:
        """Turn values by path into arguments in the schema's order, with nested objects."""
        return _nest(self.parameters, values, "")


def _required(fields: Sequence[Parameter], prefix: str) -> Iterator[str]:
    for field in fields:
        if field.is_required and field.fields:
            yield from _required(field.fields, f"{prefix}{field.name}.")
        elif field.is_required:
            yield prefix + field.name


def _nest(fields: Sequence[Parameter], values: Arguments, prefix: str) -> Arguments:
    nest: Arguments = {}
    for field in fields:
        path = prefix + field.name
        if path in values:
            nest[field.name] = values[path]
        elif field.fields and (inner := _nest(field.fields, values, path + ".")):
            nest[field.name] = inner
    return nest


def flat(values: Arguments, prefix: str = "") -> Arguments:
    """Flatten nested objects: {"recipient": {"name": 1}} -> {"recipient.name": 1}."""
    known: Arguments = {}
    for key, value in values.items():
        known |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return known


def shown(value: Any) -> str:
    """Write a value as it appears in a sentence."""
    if isinstance(value, list):
        return joined([shown(item) for item in value])
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def joined(words: Sequence[str]) -> str:
    """Join words as in a sentence. Gives "a", "a and b" or "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "nothing"


def tidied(text: str) -> str:
    """Correct grammar: "There are 1 notes" -> "There is 1 note", "$4.5" -> "$4.50", "a actor" -> "an actor"."""
    text = re.sub(r"\bThere (are|were) (?=1 \w)", lambda found: f"There {'is' if found[1] == 'are' else 'was'} ", text)
    text = re.sub(r"(?<![\d.,:/-])\b1 (\w{3,}[^s\W])s\b", r"1 \1", text)
    text = re.sub(r"\ba (?=[aeio](?!ne\b|u))", "an ", text)
    return re.sub(r"(\$[\d,]+\.\d)(?!\d)", r"\g<1>0", text)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
