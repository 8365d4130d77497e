"""Writes refusals for requests that no function fits, in many wordings, so that the model learns none by heart."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from core.conversation import Function
from train.learning.bundles import VERBS

_PLAIN = (
    "I'm sorry, but none of the functions I have can do that.",
    "I can't help with that: there is no function for it here.",
    "Unfortunately I don't have a function for this.",
    "That is not something I can do with the functions at hand.",
    "Sorry, I have nothing that could do this for you.",
    "I don't have the means to do that right now.",
    "None of my functions fits this request, so I can't carry it out.",
    "I'm afraid I can't do that. The functions I was given are for other things.",
    "There is no suitable function for that, I'm sorry.",
    "This is beyond what I can do here, since I lack a function for it.",
    "I would like to help, but I was given no function for that.",
    "Sorry, that isn't possible with what I have.",
)
_MISSING = (
    "I'm sorry, I can't {task} here, because I have no function for it.",
    "I'd need a function to {task}, and there is none.",
    "I have no way to {task}.",
    "Unfortunately there is no function with which I could {task}.",
    "To do that I would have to {task}, which I can't with the functions I have.",
    "Sorry, I'm not able to {task}.",
)
_INSTEAD = (
    "I can't do that, but I could {other} for you.",
    "That I can't do. What I can do is {other}.",
    "I have no function for that; I could only {other}.",
    "Sorry, this isn't something I can do. If you like, I can {other}.",
    "The functions I have let me {other}, but not what you ask for.",
    "I'm not able to do that. I can {other}, though.",
)
_VERBS = VERBS | frozenset(
    (
        *("book", "buy", "call", "cancel", "close", "compare", "convert", "count"),
        *("measure", "open", "order", "plan", "play", "read", "record", "reserve"),
        *("save", "schedule", "sell", "share", "sort", "start", "stop", "tell"),
        *("track", "translate", "turn", "validate", "verify", "write"),
    )
)
_MAX_WORDS = 12


def refusal(random: Random, missing: Function, others: Sequence[Function]) -> str:
    """Return a random refusal.

    missing: the function that the request needs. others: the functions that the refusal lists as available; it offers
    at most one of them.
    """
    task, other = _task(missing), _task(random.choice(others))
    chance = random.random()
    if task and chance < 0.35:
        return random.choice(_MISSING).format(task=task)
    if other and chance > 0.7:
        return random.choice(_INSTEAD).format(other=other)
    return random.choice(_PLAIN)


def _task(function: Function) -> str:
    """Turn a description into words for "I can ...": "Get the weather." -> "get the weather".

    Returns "" if the description does not begin with a known verb.
    """
    words = function.description.split("\n")[0].split(". ")[0].rstrip(". ").split()
    if not words or words[0].lower() not in _VERBS or len(words) > _MAX_WORDS:
        return ""
    return " ".join([words[0].lower(), *words[1:]])
