"""The kinds of rows, one function each: a seeded random in, a conversation out."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from client.rows import Row
from train.everyday.catalogue import BY_HEART, FIELD_OF, OPEN, TASKS, are_rivals
from train.everyday.dialogue import Dialogue, distractors, unlike
from train.everyday.joining import say_together
from train.everyday.phrasing import say, say_known, template
from train.everyday.refusals import refusal
from train.everyday.small_talk import chat, greeting, thanks
from train.everyday.tasks import SLOT, Arguments, Ask, Task, Wording, flat

SHARE_TOLD = 0.5  # of the calls that end a conversation: those with the result and the sentence after them
_SHARE_STOPPED = 0.15
_SHARE_TWO_SENTENCES = 0.3
_REPEATABLE = [task for task in TASKS if any(template(wording).repeated for wording in task.wordings)]
_ASKING = [task for task in TASKS if task.asks]
# More to fill in, more to learn; codes for names and calls without arguments are told nowhere else.
_WEIGHTS = [(4 if FIELD_OF[task.name] == "web_apis" else 1) * max(2, 1 + len(task.parameters)) for task in TASKS]


def single(random: Random) -> Row:
    task = random.choices(TASKS, _WEIGHTS)[0]
    dialogue = _about([task], random)
    _ask_for(dialogue, task)
    return dialogue.row("single")


def parallel(random: Random) -> Row:
    """One function, two to four calls in one turn: a repeated part, or two sentences."""
    text, calls = _two_sentences(random) if random.random() < _SHARE_TWO_SENTENCES else _repeated(random)
    dialogue = _about([calls[0][0]], random)
    dialogue.user(text)
    serve(dialogue, *calls)
    return dialogue.row("parallel")


def parallel_multiple(random: Random) -> Row:
    """Two to four functions in one turn."""
    asked = unlike([], random, random.choice((2, 2, 2, 2, 3, 3, 4)), near=0.0, with_open=True)
    text, calls = say_together([(task, _wording(task, random)) for task in asked], random)
    dialogue = _about(asked, random)
    dialogue.user(text)
    serve(dialogue, *calls)
    return dialogue.row("parallel_multiple")


def multi_turn(random: Random) -> Row:
    """A call told in a sentence, and what people say after it; now and then a greeting before it."""
    first, second = unlike([], random, 2, near=0.0, with_open=True)
    dialogue = _about([first, second], random)
    if random.random() < 0.2:
        _exchange(dialogue, *greeting(random))
    arguments = _ask_for(dialogue, first, is_told=True)
    match random.choices(("again", "other", "missing", "thanks", "refused"), (4, 4, 2, 2, 1))[0]:
        case "again" if first.again and set(flat(arguments)) == first.required:
            spoken = say_known(first, first.again, random, flat(arguments))
            dialogue.user(spoken.text)
            serve(dialogue, (first, spoken.calls[0]))
        case "missing" if second.asks:
            _ask_back(dialogue, second, random.choice(second.asks))
        case "thanks":
            _exchange(dialogue, *thanks(random))
            if random.random() < 0.4:
                _ask_for(dialogue, second)
        case "refused" if OPEN.isdisjoint((first.name, second.name)):
            _refuse(dialogue)
        case _:
            _ask_for(dialogue, second)
    return dialogue.row("multi_turn")


def missing_param(random: Random) -> Row:
    """Something is missing; the assistant asks back, and calls after the reply."""
    task = random.choice(_ASKING)
    dialogue = _about([task], random)
    _ask_back(dialogue, task, random.choice(task.asks), may_stop=True)
    return dialogue.row("missing_param")


def irrelevant(random: Random) -> Row:
    """Functions of other fields only; the assistant says that it cannot."""
    return _unserved(random, near=0.0, kind="irrelevant")


def near_miss(random: Random) -> Row:
    """Functions mostly of the same field, none of which serves."""
    return _unserved(random, near=0.8, kind="near_miss")


def small_talk(random: Random) -> Row:
    dialogue = Dialogue(unlike([], random, random.randint(1, 4), near=0.0), random)
    _exchange(dialogue, *chat(dialogue.listed, random))
    if random.random() < 0.15:
        task = random.choice(dialogue.listed)
        _ask_for(dialogue, task)
    return dialogue.row("small_talk")


def _wording(task: Task, random: Random) -> Wording:
    """Wordings that mention much are drawn more often: one argument is what a model learns anyway."""
    mentioned = [SLOT.findall(template(wording).whole) for wording in task.wordings]
    return random.choices(task.wordings, [1 + len(slots) for slots in mentioned])[0]


def _repeated(random: Random) -> tuple[str, list[tuple[Task, Arguments]]]:
    task = random.choice(_REPEATABLE)
    wording = random.choice([wording for wording in task.wordings if template(wording).repeated])
    spoken = say(task, wording, random, num_calls=random.choice((2, 2, 2, 3, 3, 4)))
    while not _are_distinct(spoken.calls):
        spoken = say(task, wording, random, num_calls=2)  # three of a kind that has two
    return spoken.text, [(task, arguments) for arguments in spoken.calls]


def _two_sentences(random: Random) -> tuple[str, list[tuple[Task, Arguments]]]:
    """The same asked for twice, in other words and with other values."""
    while True:
        task = random.choice(TASKS)
        text, calls = say_together([(task, wording) for wording in random.sample(task.wordings, 2)], random)
        if _are_distinct([arguments for _, arguments in calls]):
            return text, calls


def _are_distinct(calls: Sequence[Arguments]) -> bool:
    return all(arguments not in calls[:index] for index, arguments in enumerate(calls))


def _unserved(random: Random, *, near: float, kind: str) -> Row:
    task = random.choice([task for task in TASKS if task.name not in BY_HEART])
    spoken = say(task, random.choice(task.wordings), random)
    dialogue = Dialogue(unlike([task], random, random.choice((1, 1, 2, 2, 3, 3, 4)), near=near), random)
    dialogue.user(spoken.text)
    dialogue.assistant(refusal(dialogue.listed, random))
    return dialogue.row(kind)


def _refuse(dialogue: Dialogue) -> None:
    """A request that no listed function serves, and the answer."""
    random = dialogue.random
    others = [task for task in TASKS if task.name not in BY_HEART]
    task = random.choice([task for task in others if not any(are_rivals(task, listed) for listed in dialogue.listed)])
    dialogue.user(say(task, random.choice(task.wordings), random).text)
    dialogue.assistant(refusal(dialogue.listed, random))


def _ask_for(dialogue: Dialogue, task: Task, *, is_told: bool = False) -> Arguments:
    random = dialogue.random
    spoken = say(task, _wording(task, random), random)
    dialogue.user(spoken.text)
    serve(dialogue, (task, spoken.calls[0]), is_told=is_told)
    return spoken.calls[0]


def serve(dialogue: Dialogue, *called: tuple[Task, Arguments], is_told: bool = False) -> None:
    """The calls; then, always or in about half of the rows, their results and the sentence about them."""
    dialogue.call(*called)
    if is_told or dialogue.random.random() < SHARE_TOLD:
        dialogue.tell(*called)


def _ask_back(dialogue: Dialogue, task: Task, ask: Ask, *, may_stop: bool = False) -> None:
    """The request, the question, the reply, the call; a part of the rows stops at the question if it may."""
    random = dialogue.random
    asked = say(task, ask.wording, random)
    known = flat(asked.calls[0])
    question = SLOT.sub(lambda slot: str(known[slot[1]]), ask.question)
    _exchange(dialogue, asked.text, question)
    if may_stop and random.random() < _SHARE_STOPPED:
        return
    reply = say_known(task, ask.reply, random, known)
    dialogue.user(reply.text)
    serve(dialogue, (task, reply.calls[0]))


def _exchange(dialogue: Dialogue, message: str, answer: str) -> None:
    dialogue.user(message)
    dialogue.assistant(answer)


def _about(asked: Sequence[Task], random: Random) -> Dialogue:
    """Lists the tasks asked for and some that could serve none of them."""
    return Dialogue([*asked, *distractors(asked, random)], random)
