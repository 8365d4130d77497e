"""Changes a bundle's functions at random, so that the model learns to read declarations instead of names.

Functions and parameters are renamed or masked, descriptions and called functions are removed, and distractors and
unused parameters are added. All choices are made with the given random generator.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from core.conversation import Call, Function, JsonSchema, Message
from train.learning.bundles import Bundle, calls_of, topics
from train.learning.refusals import refusal

SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant that can call functions.",
    "Be brief and friendly.",
    "You are the voice assistant of a phone. Keep your answers short.",
    "Use the functions when they help; otherwise answer from what you know.",
    "You are a polite and precise assistant. Don't make assumptions about values that the user did not give.",
    "Answer in plain English.",
    "You help customers of a small company.",
)
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Rates:
    """The probability of each change.

    The fields from `renaming` to `many_distractors`, and `removal` and `system`, are probabilities per bundle. All
    other fields are probabilities per function. `many_distractors` is the share of the bundles with distractors that
    get 5 to 8 of them; the remaining ones get up to 4.
    """

    renaming: float = 1 / 3
    masking: float = 1 / 6
    distractors: float = 0.45
    many_distractors: float = 0.05
    parameter_undescribed: float = 0.10
    function_undescribed: float = 0.05
    unused_parameter: float = 0.05
    removal: float = 0.15
    system: float = 0.12


NO_CHANGES = Rates(*[0.0] * 9)


def augmented(bundle: Bundle, random: Random, pool: Sequence[Function], rates: Rates = Rates()) -> Bundle:
    """Return a random variant of the bundle. Distractors come from `pool`, a list of functions of other rows."""
    if random.random() < rates.removal:
        bundle = without_right_function(bundle, random)
    bundle = with_distractors(bundle, random, pool, rates)
    bundle = _with_each(bundle, lambda function: _with_unused_parameter(function, random, pool, rates.unused_parameter))
    if random.random() < rates.masking:
        bundle = masked(bundle, random)
    else:
        bundle = _with_each(bundle, lambda function: _less_described(function, random, rates))
        if random.random() < rates.renaming:
            bundle = renamed(bundle, random)
    if random.random() < rates.system and bundle.conversations[0][0].role != "system":
        system = Message("system", random.choice(SYSTEMS))
        bundle = replace(bundle, conversations=tuple((system, *conversation) for conversation in bundle.conversations))
    functions = list(bundle.functions)
    random.shuffle(functions)
    return replace(bundle, functions=tuple(functions))


def without_right_function(bundle: Bundle, random: Random) -> Bundle:
    """Remove the function that one conversation calls, and replace the conversation's calls by a refusal.

    The bundle stays as it is in three cases: another conversation calls that function, it is the only function, or the
    conversation does not begin with a request and its calls.
    """
    number = random.randrange(len(bundle.conversations))
    conversation = bundle.conversations[number]
    names = {call.name for call in calls_of(conversation)}
    others = {call.name for i, other in enumerate(bundle.conversations) if i != number for call in calls_of(other)}
    kept = tuple(function for function in bundle.functions if function.name not in names)
    if (
        len(names) != 1
        or names & others
        or not kept
        or [message.role for message in conversation[:2]] != ["user", "assistant"]
    ):
        return bundle
    if not conversation[1].calls:  # the assistant first asks for a missing value here
        return bundle
    missing = next(function for function in bundle.functions if function.name in names)
    answer = Message("assistant", refusal(random, missing, kept))
    conversations = (*bundle.conversations[:number], (conversation[0], answer), *bundle.conversations[number + 1 :])
    return replace(bundle, functions=kept, conversations=conversations)


def with_distractors(bundle: Bundle, random: Random, pool: Sequence[Function], rates: Rates) -> Bundle:
    """Add functions of the pool whose names share no topic with the bundle's functions and first messages."""
    if random.random() >= rates.distractors or not pool:
        return bundle
    if random.random() < rates.many_distractors / max(rates.distractors, 1e-9):
        wanted = random.randint(5, 8)
    else:
        wanted = max(0, random.randint(1, 4) - len(bundle.conversations) // 2)
    asked = " ".join((conversation[0].content or "").lower() for conversation in bundle.conversations)
    known = set().union(*(topics(function.name) for function in bundle.functions))
    functions = list(bundle.functions)
    for candidate in random.choices(pool, k=3 * wanted):
        about = topics(candidate.name)
        if len(functions) - len(bundle.functions) >= wanted:
            break
        if not about & known and not any(word in asked for word in about if len(word) > 2):
            functions.append(candidate)
            known |= about
    return replace(bundle, functions=tuple(functions))


def renamed(bundle: Bundle, random: Random) -> Bundle:
    """Rewrite the names of functions and top-level parameters in one random style, such as camelCase."""
    style = random.choice((_snake, _camel, _pascal, _dotted))
    parameter_style = random.choice((_snake, _camel)) if style is _dotted or style is _pascal else style
    return _respelled(bundle, lambda name: style(_words(name)), lambda name: parameter_style(_words(name)))


def masked(bundle: Bundle, random: Random) -> Bundle:
    """Replace names by random letters: those of all functions, and of the parameters that have a description.

    The bundle stays as it is if a function has no description.
    """
    spelled: dict[tuple[str, bool], str] = {}

    def mask(low: int, high: int, is_function: bool) -> Callable[[str], str]:
        def spell(name: str) -> str:
            letters = "".join(random.choices(string.ascii_lowercase, k=random.randint(low, high)))
            return spelled.setdefault((name, is_function), letters)

        return spell

    described = [function for function in bundle.functions if function.description]
    if len(described) < len(bundle.functions):
        return bundle
    return _respelled(bundle, mask(5, 15, True), mask(4, 10, False), only_described=True)


def _respelled(
    bundle: Bundle,
    spell_function: Callable[[str], str],
    spell_parameter: Callable[[str], str],
    only_described: bool = False,
) -> Bundle:
    """Rename functions and parameters, in declarations and calls. A name is kept where two would become equal."""
    names = {function.name: spell_function(function.name) for function in bundle.functions}
    if len(set(names.values())) < len(names) or "all" in names.values():
        return bundle
    parameters = {
        function.name: _parameter_names(function, spell_parameter, only_described) for function in bundle.functions
    }

    def respell(call: Call) -> Call:
        arguments = json.loads(call.arguments)
        mapped = {parameters[call.name].get(key, key): value for key, value in arguments.items()}
        return replace(call, name=names[call.name], arguments=json.dumps(mapped, ensure_ascii=False))

    functions = tuple(
        replace(
            function, name=names[function.name], parameters=_with_names(function.parameters, parameters[function.name])
        )
        for function in bundle.functions
    )
    conversations = tuple(
        tuple(
            replace(
                message,
                calls=tuple(map(respell, message.calls)),
                name=names.get(message.name, message.name),
            )
            for message in conversation
        )
        for conversation in bundle.conversations
    )
    return replace(bundle, functions=functions, conversations=conversations)


def _parameter_names(function: Function, spell: Callable[[str], str], only_described: bool) -> dict[str, str]:
    properties: dict[str, Any] = (function.parameters or {}).get("properties", {})
    names = {
        name: spell(name) if _PLAIN.fullmatch(name) and (not only_described or value.get("description")) else name
        for name, value in properties.items()
    }
    return names if len(set(names.values())) == len(names) else {}


def _with_names(parameters: JsonSchema | None, names: dict[str, str]) -> JsonSchema | None:
    if not parameters or not names:
        return parameters
    changed = {**parameters, "properties": {names.get(k, k): v for k, v in parameters.get("properties", {}).items()}}
    if "required" in parameters:
        changed["required"] = [names.get(name, name) for name in parameters["required"]]
    return changed


def _with_each(bundle: Bundle, change: Callable[[Function], Function]) -> Bundle:
    return replace(bundle, functions=tuple(map(change, bundle.functions)))


def _less_described(function: Function, random: Random, rates: Rates) -> Function:
    description = "" if random.random() < rates.function_undescribed else function.description
    properties = (function.parameters or {}).get("properties", {})
    if not properties:
        return replace(function, description=description)
    fewer = {
        name: _undescribed(value) if random.random() < rates.parameter_undescribed else value
        for name, value in properties.items()
    }
    return replace(function, description=description, parameters={**(function.parameters or {}), "properties": fewer})


def _undescribed(schema: JsonSchema) -> JsonSchema:
    return {key: value for key, value in schema.items() if key != "description"}


def _with_unused_parameter(function: Function, random: Random, pool: Sequence[Function], rate: float) -> Function:
    """Add an optional parameter, from a function of the pool, with probability `rate`. No call uses it."""
    properties = (function.parameters or {}).get("properties", {})
    if not properties or not pool or random.random() >= rate:
        return function
    donor = (random.choice(pool).parameters or {}).get("properties", {})
    described = [(name, value) for name, value in donor.items() if _is_flat(value) and name not in properties]
    if not described:
        return function
    name, value = random.choice(described)
    return replace(function, parameters={**(function.parameters or {}), "properties": {**properties, name: value}})


def _is_flat(value: JsonSchema) -> bool:
    return value.get("type") in ("string", "integer", "boolean", "number") and "description" in value


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)] or [name]


def _snake(words: Iterable[str]) -> str:
    return "_".join(words)


def _camel(words: Sequence[str]) -> str:
    return words[0] + "".join(word.capitalize() for word in words[1:])


def _pascal(words: Iterable[str]) -> str:
    return "".join(word.capitalize() for word in words)


def _dotted(words: Sequence[str]) -> str:
    return f"{words[-1]}.{'_'.join(words[:-1])}" if len(words) > 1 else words[0]
