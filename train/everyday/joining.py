"""Joins several requests into one message: "Please book a table and text Ana." """

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from train.everyday.phrasing import Template, lower_first, say_as, template, with_full_stop
from train.everyday.tasks import Arguments, Task, Wording

# {0} {1} {2} are the requests as written, {a} {b} {c} the same requests with a small first letter. `|` marks where the
# part of one request ends and that of the next begins.
TWO_IMPERATIVES = (
    *("{0} and|{b}.", "{0} and|{b}", "Please {a} and|{b}.", "Could you {a} and|{b}?", "Can you {a} and also|{b}?"),
    *("{0}, and also|{b}.", "{0}.|Then {b}.", "{0} and then|{b}.", "First {a},|then {b}.", "{0}, then|{b}, please."),
    *("I need you to {a} and|{b}.", "Hey, {a} and|{b}.", "{0}.|Also, {b}.", "Two things: {a}, and|{b}.", "{0}.|{1}."),
)
THREE_IMPERATIVES = (
    *("{0},|{b} and|{c}.", "Please {a},|{b} and|{c}.", "First {a}.|Then {b}.|Finally, {c}.", "{0}.|{1}.|{2}."),
    *("Could you {a},|{b} and|{c}?", "Three things: {a},|{b}, and|{c}.", "{0}.|Also, {b},|and {c}."),
)
LINKS = ("Also, {x}", "And {x}", "{X}", "{X}", "Oh, and {x}", "One more thing: {x}", "Besides that, {x}", "Next: {x}")
_SHARE_REPEATED = 0.12


def say_together(asked: Sequence[tuple[Task, Wording]], random: Random) -> tuple[str, list[tuple[Task, Arguments]]]:
    """Write several requests as one message. Returns it with the calls, in the order of the requests.

    Some wordings have a part that can be repeated, such as "[{amount} miles]". Some of the messages repeat this part
    and then need two calls of that task.
    """
    parts = [template(wording) for _, wording in asked]
    texts, calls = list[str](), list[tuple[Task, Arguments]]()
    for (task, _), part, sentence in zip(asked, parts, _sentences(parts, random), strict=True):
        num_calls = 2 if part.repeated and random.random() < _SHARE_REPEATED else 1
        utterance = say_as(task, sentence, part.fixed, random, num_calls=num_calls)
        texts.append(utterance.text)
        calls += [(task, arguments) for arguments in utterance.calls]
    return " ".join(texts), calls


def _sentences(parts: Sequence[Template], random: Random) -> list[str]:
    if len(parts) <= 3 and all(part.is_imperative for part in parts):
        return _in_one(random.choice(TWO_IMPERATIVES if len(parts) == 2 else THREE_IMPERATIVES), parts)
    sentences = [with_full_stop(part.bracketed) if part.is_imperative else part.bracketed for part in parts]
    return [sentences[0], *(_linked(sentence, random) for sentence in sentences[1:])]


def _in_one(pattern: str, parts: Sequence[Template]) -> list[str]:
    """Fill the pattern with the requests and return one piece for each request, in order."""
    words = {str(index): part.bracketed for index, part in enumerate(parts)}
    words |= {"abc"[index]: lower_first(part.bracketed) for index, part in enumerate(parts)}
    pieces = pattern.split("|")
    for key, word in words.items():
        pieces = [piece.replace("{" + key + "}", word) for piece in pieces]
    return pieces


def _linked(sentence: str, random: Random) -> str:
    return random.choice(LINKS).replace("{x}", lower_first(sentence)).replace("{X}", sentence)
