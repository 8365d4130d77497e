"""Writes refusals for requests that no listed function fits.

{can} stands for what the listed functions do, such as "send an email".
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from train.everyday.tasks import Task

PLAIN = (
    *("I'm sorry, but I have no function for that.", "Sorry, none of my functions can do that."),
    *("I can't help with that using the functions I have.", "That's beyond what my functions can do, I'm afraid."),
    *("Unfortunately I have no tool for this request.", "I don't have a way to do that here."),
    *("I'm afraid that is not something I can do with the tools at hand.", "No function of mine covers that, sorry."),
    *(
        "Sorry, I'm not able to do that at the moment: the function for it is missing.",
        "I would need another tool for that.",
    ),
    *("There is no function available to me for this.", "I can't do that for you, since I have no suitable function."),
    *("That isn't possible with the functions I was given.", "Sorry, this is outside of what I can look up or do."),
    *("My tools don't reach that far, I'm sorry.", "I'd like to help, but nothing I can call does that."),
    *("None of the available functions fits your request.", "I have nothing that could do this, sorry."),
    *("I'm not equipped for that one, I'm afraid.", "For that I'd need a function that I do not have."),
)
WITH_OFFER = (
    *("I'm sorry, I have no function for that. What I can do is {can}.", "I can't do that, but I can {can}."),
    *("That's not something I can do here. I am able to {can}, if that helps.", "Sorry, I can only {can}."),
    *("None of my functions does that. I could {can} instead.", "I'm afraid I can't. My functions are there to {can}."),
    *("Unfortunately not: all I can do right now is {can}.", "I lack a tool for this. I can {can}, though."),
    *("No, I'm sorry. I was set up to {can}.", "That's outside my reach. Would you like me to {can}?"),
    *("Sorry, I can't help with this one. Ask me to {can} and I will.", "My tools only let me {can}."),
    *(
        "I don't see a function for this. With what I have I can {can}.",
        "That I cannot do. I can {can} for you, however.",
    ),
    *("I would if I could, but I'm limited to one kind of job: I can {can}.", "Not with these functions: they {can}."),
    *("Sorry, no tool of mine fits. They are made to {can}.", "I have to pass on that. What I can offer is to {can}."),
)
MAX_OFFERED = 3


def refusal(listed: Sequence[Task], random: Random) -> str:
    """Return a random refusal. About half of the refusals offer what the tasks `listed` do."""
    fitting = [form for form in WITH_OFFER if len(listed) == 1 or "one kind of job" not in form]
    if len(listed) > MAX_OFFERED or random.random() < 0.5:
        return random.choice(PLAIN)
    return random.choice(fitting).format(can=offer(listed))


def offer(listed: Sequence[Task]) -> str:
    """Describe what the functions do, as the end of "I can ...": "send an email or look up a word"."""
    deeds = [task.description[0].lower() + task.description[1:] for task in listed]
    return deeds[0] if len(deeds) == 1 else f"{', '.join(deeds[:-1])} or {deeds[-1]}"
