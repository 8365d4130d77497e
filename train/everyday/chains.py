"""Builds conversations whose call depends on an earlier message: on the user's yes, or on another call's result."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from client.rows import Row
from train.everyday.conversations import add_calls
from train.everyday.conversations import multi_turn as answered_and_continued
from train.everyday.dialogue import Dialogue, distractors, sample_unrelated
from train.everyday.fields.web_apis import SIGN_IN
from train.everyday.phrasing import say, with_full_stop
from train.everyday.tasks import Maker, PhrasedValue, flat, need, shown

_QUESTIONS = (
    "To confirm: {what}. Shall I go ahead?",
    "I have {what}. Is that correct?",
    "So that is {what}, right?",
    "Just to be sure: {what}. May I proceed?",
)
_CONFIRM_FIRST = (  # without this instruction a model would learn to ask for confirmation of every request
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
    """Build a conversation with several turns, of a random kind."""
    return random.choices((answered_and_continued, confirmed, signed_in), (8, 2, 2))[0](random)


def confirmed(random: Random) -> Row:
    """Build a conversation whose system message requires confirmation of calls.

    The assistant repeats the request, and calls after the user's yes.
    """
    (task,) = sample_unrelated([], random, 1, near=0.0, with_general=True)
    while not task.required:
        (task,) = sample_unrelated([], random, 1, near=0.0, with_general=True)
    dialogue = Dialogue([task, *distractors([task], random)], random)
    utterance = say(task, random.choice(task.wordings), random)
    arguments = utterance.calls[0]
    what = ", ".join(f"{key.split('.')[-1].replace('_', ' ')} {shown(value)}" for key, value in flat(arguments).items())
    dialogue.system(random.choice(_CONFIRM_FIRST))
    dialogue.user(utterance.text)
    dialogue.assistant(random.choice(_QUESTIONS).format(what=what))
    dialogue.user(random.choice(_YES))
    add_calls(dialogue, (task, arguments))
    return dialogue.row("multi_turn")


def signed_in(random: Random) -> Row:
    """Build a conversation about a function that needs a token.

    The assistant first calls the sign-in function, and then passes the token from its result on.
    """
    (task,) = sample_unrelated([SIGN_IN], random, 1, near=0.0, with_general=True)
    token = need("token", Maker({"type": "string"}, lambda _: PhrasedValue("", "")), "Access token of the user")
    guarded = replace(task, parameters=(token, *task.parameters))
    dialogue = Dialogue([SIGN_IN, guarded, *distractors([SIGN_IN, task], random)], random)
    request = say(task, random.choice(task.wordings), random)
    credentials = say(SIGN_IN, random.choice(_CREDENTIALS), random)
    if random.random() < 0.5:
        dialogue.user(f"{with_full_stop(request.text)} {credentials.text}")
    else:
        dialogue.user(request.text)
        dialogue.assistant(random.choice(_ASKS))
        dialogue.user(credentials.text)
    dialogue.call((SIGN_IN, credentials.calls[0]))
    (result,) = dialogue.add_results((SIGN_IN, credentials.calls[0]))
    add_calls(dialogue, (guarded, {**result, **request.calls[0]}))
    return dialogue.row("multi_turn")
