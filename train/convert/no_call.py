"""Turns prompts into rows with a refusal. Each row has only functions that do not fit its prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from client.rows import Row
from core.conversation import Function, Message
from train.convert import hwu64, snips
from train.convert.common import Item, Reject, checked, tokens, with_distractors
from train.convert.intents import read_table

MAX_FUNCTIONS = 4
MAX_WORDS = 60
ANSWERS = (
    *("I have no function for that, I'm sorry.", "Sorry, none of my functions can answer this."),
    *("That is outside of what my functions do.", "I can't look that up with the functions that I have."),
    *("Unfortunately I have nothing that could help with that.", "There is no function here that fits your request."),
    *("I'm afraid I can't do that with my current functions.", "My functions don't cover this, sorry."),
    *("I would need another function for that.", "I'm not able to help with this one; the right function is missing."),
    *("Sorry, that is something I can't do here.", "No function of mine is made for that."),
)
OFFERS = (
    *("I have no function for that. I could {can} instead.", "Sorry, I can't do that, but I can {can}."),
    *("That is beyond my functions: they let me {can}.", "I can't help with that. What I can do is {can}."),
    *("None of my functions fits; I'm able to {can}.", "I'm afraid not. Here I can only {can}."),
    *("For that I lack a function. I can {can}, if that is of use.", "Sorry, no. Ask me to {can} and I will."),
)


def pool() -> list[Function]:
    """Return all functions of the SNIPS and HWU64 tables, except answer_question, each with the first of its names."""
    tables = (read_table(snips.TABLE), read_table(hwu64.TABLE))
    functions = [intent.function for table in tables for intent in table.intents.values()]
    # answer_question fits every question, so a refusal would be wrong in a row that has this function.
    return [function for function in functions if function.name != "answer_question"]


def rows(prompts: Iterable[tuple[str, str]], source: str) -> Iterator[Item]:
    """Yield a row or a reject for each pair (text, position). No function of a row shares a word with the text."""
    functions, seen = pool(), set[str]()
    for text, where in prompts:
        key = " ".join(tokens(text))
        if not key or len(key.split()) > MAX_WORDS or key in seen:
            yield Reject(where, "an empty, overlong or repeated prompt")
            continue
        seen.add(key)
        random = Random(f"{source} {key}")
        unfit = [function for function in functions if not _words(function) & _stems(text)]
        if not unfit:
            yield Reject(where, "every function shares a word with the prompt")
            continue
        chosen = with_distractors([random.choice(unfit)], unfit, random, MAX_FUNCTIONS - 1)
        messages = (Message("user", text), Message("assistant", _answer(chosen, random)))
        yield checked(Row(chosen, messages, source, {"kind": "irrelevant"}, where))


def _answer(functions: tuple[Function, ...], random: Random) -> str:
    if random.random() < 0.5:
        return random.choice(ANSWERS)
    deeds = [function.description[0].lower() + function.description[1:] for function in functions[:2]]
    return random.choice(OFFERS).format(can=" or ".join(deeds))


def _words(function: Function) -> set[str]:
    names = " ".join((function.parameters or {})["properties"])
    return _stems(f"{function.name.replace('_', ' ')} {function.description} {names.replace('_', ' ')}")


def _stems(text: str) -> set[str]:
    """Return the stems of all words of more than three letters. "plays" and "play" have the same stem."""
    return {word[:5].removesuffix("s") for word in tokens(text) if len(word) > 3}
