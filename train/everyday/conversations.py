"""Builds conversations, with one function for each kind of row. The given random generator makes all choices."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from client.rows import Row
from train.everyday.catalogue import ANSWERABLE_WITHOUT_FUNCTION, FIELD_OF, GENERAL, TASKS, are_rivals
from train.everyday.dialogue import Dialogue, distractors, sample_unrelated
from train.everyday.joining import say_together
from train.everyday.phrasing import say, say_known, template
from train.everyday.refusals import refusal
from train.everyday.small_talk import chat, greeting, thanks
from train.everyday.tasks import SLOT, Arguments, Ask, Task, Wording, flat

SHARE_WITH_RESULTS = 0.5  # share of the conversations with calls that go on with the results and an answer
_SHARE_STOPPED = 0.15
_SHARE_TWO_SENTENCES = 0.3
_REPEATABLE = [task for task in TASKS if any(template(wording).repeated for wording in task.wordings)]
_ASKING = [task for task in TASKS if task.asks]
# Tasks with more parameters are chosen more often, since they teach more. web_apis is chosen more often too: only its
# tasks have codes for names and calls without arguments.
_WEIGHTS = [(4 if FIELD_OF[task.name] == "web_apis" else 1) * max(2, 1 + len(task.parameters)) for task in TASKS]


def single(random: Random) -> Row:
    task = random.choices(TASKS, _WEIGHTS)[0]
    dialogue = _about([task], random)
    _ask_for(dialogue, task)
    return dialogue.row("single")


def parallel(random: Random) -> Row:
    """Build a request that needs two to four calls of one function in one turn.

    The request is one sentence that has a part for each call ("Convert 3 miles and 10 miles"), or two sentences.
    """
    text, calls = _two_sentences(random) if random.random() < _SHARE_TWO_SENTENCES else _repeated(random)
    dialogue = _about([calls[0][0]], random)
    dialogue.user(text)
    add_calls(dialogue, *calls)
    return dialogue.row("parallel")


def parallel_multiple(random: Random) -> Row:
    """Build a request that needs calls of two to four functions in one turn."""
    asked = sample_unrelated([], random, random.choice((2, 2, 2, 2, 3, 3, 4)), near=0.0, with_general=True)
    text, calls = say_together([(task, _wording(task, random)) for task in asked], random)
    dialogue = _about(asked, random)
    dialogue.user(text)
    add_calls(dialogue, *calls)
    return dialogue.row("parallel_multiple")


def multi_turn(random: Random) -> Row:
    """Build a conversation with a call, its answer and a further request or remark.

    A fifth of these conversations begin with a greeting.
    """
    first, second = sample_unrelated([], random, 2, near=0.0, with_general=True)
    dialogue = _about([first, second], random)
    if random.random() < 0.2:
        _exchange(dialogue, *greeting(random))
    arguments = _ask_for(dialogue, first, has_results=True)
    match random.choices(("again", "other", "missing", "thanks", "refused"), (4, 4, 2, 2, 1))[0]:
        case "again" if first.again and set(flat(arguments)) == first.required:
            utterance = say_known(first, first.again, random, flat(arguments))
            dialogue.user(utterance.text)
            add_calls(dialogue, (first, utterance.calls[0]))
        case "missing" if second.asks:
            _ask_back(dialogue, second, random.choice(second.asks))
        case "thanks":
            _exchange(dialogue, *thanks(random))
            if random.random() < 0.4:
                _ask_for(dialogue, second)
        case "refused" if GENERAL.isdisjoint((first.name, second.name)):
            _refuse(dialogue)
        case _:
            _ask_for(dialogue, second)
    return dialogue.row("multi_turn")


def missing_param(random: Random) -> Row:
    """Build a request without a required value. The assistant asks for the value, and calls after the reply."""
    task = random.choice(_ASKING)
    dialogue = _about([task], random)
    _ask_back(dialogue, task, random.choice(task.asks), may_stop=True)
    return dialogue.row("missing_param")


def irrelevant(random: Random) -> Row:
    """Build a request that no function fits, since all listed functions have other topics. The assistant refuses."""
    return _unserved(random, near=0.0, kind="irrelevant")


def near_miss(random: Random) -> Row:
    """Build a request that no function fits, though most of them have its topic. The assistant refuses."""
    return _unserved(random, near=0.8, kind="near_miss")


def small_talk(random: Random) -> Row:
    dialogue = Dialogue(sample_unrelated([], random, random.randint(1, 4), near=0.0), random)
    _exchange(dialogue, *chat(dialogue.listed, random))
    if random.random() < 0.15:
        task = random.choice(dialogue.listed)
        _ask_for(dialogue, task)
    return dialogue.row("small_talk")


def _wording(task: Task, random: Random) -> Wording:
    """Choose a wording. Wordings with more slots are more likely, since calls with few arguments are easy to learn."""
    mentioned = [SLOT.findall(template(wording).whole) for wording in task.wordings]
    return random.choices(task.wordings, [1 + len(slots) for slots in mentioned])[0]


def _repeated(random: Random) -> tuple[str, list[tuple[Task, Arguments]]]:
    task = random.choice(_REPEATABLE)
    wording = random.choice([wording for wording in task.wordings if template(wording).repeated])
    utterance = say(task, wording, random, num_calls=random.choice((2, 2, 2, 3, 3, 4)))
    while not _are_distinct(utterance.calls):
        utterance = say(task, wording, random, num_calls=2)  # fewer than three different values may exist
    return utterance.text, [(task, arguments) for arguments in utterance.calls]


def _two_sentences(random: Random) -> tuple[str, list[tuple[Task, Arguments]]]:
    """Write two requests for the same task, with different wordings and values, as one message."""
    while True:
        task = random.choice(TASKS)
        text, calls = say_together([(task, wording) for wording in random.sample(task.wordings, 2)], random)
        if _are_distinct([arguments for _, arguments in calls]):
            return text, calls


def _are_distinct(calls: Sequence[Arguments]) -> bool:
    return all(arguments not in calls[:index] for index, arguments in enumerate(calls))


def _unserved(random: Random, *, near: float, kind: str) -> Row:
    task = random.choice([task for task in TASKS if task.name not in ANSWERABLE_WITHOUT_FUNCTION])
    utterance = say(task, random.choice(task.wordings), random)
    dialogue = Dialogue(sample_unrelated([task], random, random.choice((1, 1, 2, 2, 3, 3, 4)), near=near), random)
    dialogue.user(utterance.text)
    dialogue.assistant(refusal(dialogue.listed, random))
    return dialogue.row(kind)


def _refuse(dialogue: Dialogue) -> None:
    """Add a request that no listed function fits, and the assistant's refusal."""
    random = dialogue.random
    others = [task for task in TASKS if task.name not in ANSWERABLE_WITHOUT_FUNCTION]
    task = random.choice([task for task in others if not any(are_rivals(task, listed) for listed in dialogue.listed)])
    dialogue.user(say(task, random.choice(task.wordings), random).text)
    dialogue.assistant(refusal(dialogue.listed, random))


def _ask_for(dialogue: Dialogue, task: Task, *, has_results: bool = False) -> Arguments:
    random = dialogue.random
    utterance = say(task, _wording(task, random), random)
    dialogue.user(utterance.text)
    add_calls(dialogue, (task, utterance.calls[0]), has_results=has_results)
    return utterance.calls[0]


def add_calls(dialogue: Dialogue, *called: tuple[Task, Arguments], has_results: bool = False) -> None:
    """Add calls. Results and the answer follow always if `has_results`, else in about half of the rows."""
    dialogue.call(*called)
    if has_results or dialogue.random.random() < SHARE_WITH_RESULTS:
        dialogue.add_results_and_answer(*called)


def _ask_back(dialogue: Dialogue, task: Task, ask: Ask, *, may_stop: bool = False) -> None:
    """Add a request, the assistant's question, the reply and the call.

    With `may_stop` some of the conversations end with the assistant's question.
    """
    random = dialogue.random
    asked = say(task, ask.wording, random)
    known = flat(asked.calls[0])
    question = SLOT.sub(lambda slot: str(known[slot[1]]), ask.question)
    _exchange(dialogue, asked.text, question)
    if may_stop and random.random() < _SHARE_STOPPED:
        return
    reply = say_known(task, ask.reply, random, known)
    dialogue.user(reply.text)
    add_calls(dialogue, (task, reply.calls[0]))


def _exchange(dialogue: Dialogue, message: str, answer: str) -> None:
    dialogue.user(message)
    dialogue.assistant(answer)


def _about(asked: Sequence[Task], random: Random) -> Dialogue:
    """Begin a conversation that lists the requested tasks and some distractors."""
    return Dialogue([*asked, *distractors(asked, random)], random)
