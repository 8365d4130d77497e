"""Calls that wait for something: for a yes, or for the result of the call before."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from client.rows import Row
from train.everyday.conversations import multi_turn as told_and_followed
from train.everyday.conversations import serve
from train.everyday.dialogue import Dialogue, distractors, unlike
from train.everyday.fields.web_apis import SIGN_IN
from train.everyday.phrasing import finished, say
from train.everyday.tasks import Maker, Said, flat, need, shown

_QUESTIONS = (
    "To confirm: {what}. Shall I go ahead?",
    "I have {what}. Is that correct?",
    "So that is {what}, right?",
    "Just to be sure: {what}. May I proceed?",
)
_ASKED_FOR = (  # without such words a model would ask back whatever it is told
    "Before you call a function, repeat what you understood and wait for a yes.",
    "Always confirm the details with the user before you call a function.",
    "Ask the user for confirmation before you do anything.",
    "You are a careful assistant: never call a function before the user has confirmed.",
    "Confirm first, then act.",
)
_YES = ("Yes, please.", "Yes, go ahead.", "That's right.", "Correct, do it.", "Sure", "yes", "Yes, please do that.")
_CREDENTIALS = (
    "My username is {username} and my password is {password}.",
    "I'm {username}, password {password}.",
    "The account is {username}, the password {password}.",
)
_ASKS = ("Please give me your username and password.", "For that I need to sign you in. Username and password?")


def multi_turn(random: Random) -> Row:
    """All that takes several turns."""
    return random.choices((told_and_followed, confirmed, signed_in), (8, 2, 2))[0](random)


def confirmed(random: Random) -> Row:
    """The system wants it confirmed: the assistant says what it understood, and the call comes after the yes."""
    (task,) = unlike([], random, 1, near=0.0, with_open=True)
    while not task.required:
        (task,) = unlike([], random, 1, near=0.0, with_open=True)
    dialogue = Dialogue([task, *distractors([task], random)], random)
    spoken = say(task, random.choice(task.wordings), random)
    arguments = spoken.calls[0]
    what = ", ".join(f"{key.split('.')[-1].replace('_', ' ')} {shown(value)}" for key, value in flat(arguments).items())
    dialogue.system(random.choice(_ASKED_FOR))
    dialogue.user(spoken.text)
    dialogue.assistant(random.choice(_QUESTIONS).format(what=what))
    dialogue.user(random.choice(_YES))
    serve(dialogue, (task, arguments))
    return dialogue.row("multi_turn")


def signed_in(random: Random) -> Row:
    """A function that needs a token, and the one that gives it, whose result goes into the second call."""
    (task,) = unlike([SIGN_IN], random, 1, near=0.0, with_open=True)
    token = need("token", Maker({"type": "string"}, lambda _: Said("", "")), "Access token of the user")
    guarded = replace(task, parameters=(token, *task.parameters))
    dialogue = Dialogue([SIGN_IN, guarded, *distractors([SIGN_IN, task], random)], random)
    request = say(task, random.choice(task.wordings), random)
    credentials = say(SIGN_IN, random.choice(_CREDENTIALS), random)
    if random.random() < 0.5:
        dialogue.user(f"{finished(request.text)} {credentials.text}")
    else:
        dialogue.user(request.text)
        dialogue.assistant(random.choice(_ASKS))
        dialogue.user(credentials.text)
    dialogue.call((SIGN_IN, credentials.calls[0]))
    (result,) = dialogue.hear((SIGN_IN, credentials.calls[0]))
    serve(dialogue, (guarded, {**result, **request.calls[0]}))
    return dialogue.row("multi_turn")
