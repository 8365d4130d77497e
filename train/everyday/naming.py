"""Defines a task under many names and descriptions, so that the model learns to read definitions instead of names."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from core.conversation import Function
from train.everyday.synonyms import ANY_CALL, DESCRIBED, FUNCTION_WORDS, NOUNS, PARAMETERS, PARTICLES, VERBS
from train.everyday.tasks import Arguments, Parameter, Task

Style = Literal["snake", "camel", "pascal", "dotted"]
STYLES: tuple[Style, ...] = ("snake", "snake", "snake", "camel", "camel", "pascal", "dotted")
_TAKES_NO_S = re.compile(r".*(s|x|z|ch|sh|o)")


@dataclass(frozen=True)
class Definition:
    """A task with its names and descriptions in one conversation."""

    task: Task
    function: Function
    parameters: tuple[Parameter, ...]

    def arguments(self, values: Arguments) -> str:
        """Write arguments as JSON with this definition's names, in the schema's order."""
        return json.dumps(_renamed(self.task.parameters, self.parameters, values), ensure_ascii=False)


def define(task: Task, field: str, random: Random) -> Definition:
    """Define the task under its own name in half of the cases, else under another. Descriptions vary independently."""
    style: Style = random.choice(STYLES)
    is_renamed = random.random() < 0.5
    name = _function_name(task.name, field, style, random) if is_renamed else task.name
    style = style if is_renamed and style in ("camel", "pascal") else "snake"
    parameters = _parameters(task.parameters, style, random, 0.35 if is_renamed else 0.1)
    dressed = replace(task, name=name, description=_description(task.description, random), parameters=parameters)
    return Definition(task, dressed.function, parameters)


def _function_name(name: str, field: str, style: Style, random: Random) -> str:
    verb, *rest = name.split("_")
    words = [random.choice((verb, *VERBS.get(verb, ()))), *(_noun(word, random) for word in rest)]
    if style == "dotted":
        return f"{field}.{'_'.join(words)}"
    if verb in VERBS and rest and rest[0] not in FUNCTION_WORDS and random.random() < 0.2:
        words = [*words[1:], words[0]]
    return _styled(words, style)


def _noun(word: str, random: Random) -> str:
    return random.choice((word, word, *NOUNS.get(word, ())))


def _styled(words: Sequence[str], style: Style) -> str:
    parts = [part for word in words for part in word.split("_")]
    match style:
        case "camel":
            return parts[0] + "".join(part.capitalize() for part in parts[1:])
        case "pascal":
            return "".join(part.capitalize() for part in parts)
        case _:
            return "_".join(parts)


def _parameters(fields: Sequence[Parameter], style: Style, random: Random, share: float) -> tuple[Parameter, ...]:
    """Rename the parameters `fields` in a style, with distinct names. A `share` of them gets a synonym as its name."""
    written, names = {field.name for field in fields}, list[str]()
    for field in fields:
        choices = [name for name in PARAMETERS.get(field.name, ()) if name not in written and name not in names]
        name = random.choice(choices) if choices and random.random() < share else field.name
        names.append(name)
    return tuple(
        replace(
            field,
            name=_styled([name], "camel" if style == "pascal" and random.random() < 0.8 else style),
            description=_parameter_description(field, random),
            fields=_parameters(field.fields, style, random, share),
        )
        for name, field in zip(names, fields, strict=True)
    )


def _parameter_description(field: Parameter, random: Random) -> str:
    text, chance = field.description, random.random()
    if field.maker and field.maker.schema["type"] == "string" and "enum" not in field.maker.schema and chance < 0.12:
        example = field.maker.sample(random).value
        return f"{text}, {random.choice(('e.g.', 'for example', 'such as'))} {example}"
    if chance < 0.24:
        return text + "."
    if chance < 0.3:
        return text[0].lower() + text[1:]
    if chance < 0.34 and field.default is None and not field.is_required:
        return f"{text} (optional)"
    return text


def _description(text: str, random: Random) -> str:
    verb, rest = text.split(" ", 1)
    chance = random.random()
    if chance < 0.35 or not rest:
        return text
    if chance < 0.5:
        return text + "."
    if chance < 0.65 and " and " not in rest:
        return f"{third_person(verb)} {rest}{random.choice(('', '.'))}"
    if chance < 0.8 and verb in DESCRIBED and rest.split()[0] not in PARTICLES:
        return f"{random.choice(DESCRIBED[verb])} {rest}{random.choice(('', '.'))}"
    return random.choice(ANY_CALL).format(verb[0].lower() + verb[1:] + " " + rest)


def third_person(verb: str) -> str:
    """Return the third person of a verb: Get -> Gets, Search -> Searches, Apply -> Applies."""
    if verb.endswith("y") and verb[-2] not in "aeou":
        return verb[:-1] + "ies"
    return verb + ("es" if _TAKES_NO_S.fullmatch(verb) else "s")


def _renamed(before: Sequence[Parameter], after: Sequence[Parameter], values: Arguments) -> dict[str, Any]:
    return {
        new.name: _renamed(old.fields, new.fields, values[old.name]) if old.fields else values[old.name]
        for old, new in zip(before, after, strict=True)
        if old.name in values
    }
