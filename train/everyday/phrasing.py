"""Turns wordings into users' sentences: fills slots, repeats bracketed parts, turns imperatives into requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from train.everyday.tasks import SLOT, Arguments, PhrasedValue, Task, Wording, joined
from train.everyday.values import DATE

_BRACKET = re.compile(r"\[(.*?)\]")
_PLAIN_LETTER = re.compile(
    r"[A-Z](?=[a-z'])(?!'(?:m|d|ll|ve)\b)"
)  # a capital that may become small; not that of "I", "I'm" or "QR"
_ARTICLE = re.compile(r"\b([Aa]) (?=\{([\w.]+)\})")
_MAX_DRAWS = 200

# Frames of an imperative. {X} is the imperative, {x} the same imperative with a small first letter.
FRAMES = (
    *("{X}", "{X}.", "{X}.", "{X}.", "{X}, please.", "{X} please", "{x}", "{X} now.", "{X}!"),
    *("Please {x}.", "Please {x}.", "please {x}", "Could you {x}?", "Could you {x}?", "Could you please {x}?"),
    *("Can you {x}?", "Can you {x}?", "can you {x}", "Can you {x} for me?", "Can you please {x}", "Would you {x}?"),
    *("Would you mind helping me? {X}.", "Hey, {x}.", "Hey, can you {x}?", "Hi, please {x}.", "Hello, could you {x}?"),
    *("I'd like you to {x}.", "I want you to {x}", "I need you to {x}.", "Go ahead and {x}.", "Just {x}.", "Ok, {x}."),
    *("Kindly {x}.", "Quickly {x}, please.", "Next, {x}.", "Hey there! Please {x}.", "Let's {x}."),
)
OPENINGS = ("Hey, ", "Hi, ", "Hello, ", "Hi there, ", "Quick question: ", "Excuse me, ", "So, ", "Ok, ", "Tell me, ")
CONTEXTS = (
    *("I'm in a hurry.", "I'm planning my week.", "Sorry to bother you again.", "I have my hands full right now."),
    *("My phone is in the other room.", "I just woke up.", "It's been a long day.", "I can't do it myself right now."),
    *("My sister asked me about this.", "I promised a friend to look into this.", "I keep forgetting this."),
    *(
        "I'm on the bus.",
        "We were just talking about it.",
        "I'm a bit tired today.",
        "I need your help with something.",
    ),
    *("I'm sitting in a meeting.", "My colleagues want to know.", "I'm new to this app.", "Good morning!"),
    *("Good evening.", "I have a small job for you.", "One more thing before I go.", "I'm working from home today."),
)
ENDINGS = ("Thanks!", "Thank you.", "Thanks in advance.", "That would be great.", "Thank you so much!", "Cheers.")


@dataclass(frozen=True)
class Utterance:
    """A user's sentence, and the arguments of each call that the sentence asks for, in order."""

    text: str
    calls: tuple[Arguments, ...]


@dataclass(frozen=True)
class Template:
    """A parsed wording.

    repeated: the part in brackets, or "". fixed: the arguments that the words imply.
    """

    before: str
    repeated: str
    after: str
    fixed: Arguments

    @property
    def whole(self) -> str:
        return self.before + self.repeated + self.after

    @property
    def bracketed(self) -> str:
        """Return the wording with its brackets, if it has any."""
        return f"{self.before}[{self.repeated}]{self.after}" if self.repeated else self.whole

    @property
    def is_imperative(self) -> bool:
        return not self.whole.endswith((".", "?", "!"))


def template(wording: Wording) -> Template:
    sentence, fixed = wording if isinstance(wording, tuple) else (wording, {})
    if found := _BRACKET.search(sentence):
        return Template(sentence[: found.start()], found[1], sentence[found.end() :], fixed)
    return Template(sentence, "", "", fixed)


def say(task: Task, wording: Wording, random: Random, num_calls: int = 1) -> Utterance:
    """Fill a wording with random values and frame it as a request. For several calls it needs a part in brackets."""
    parts = template(wording)
    return say_as(task, _framed(parts, random), parts.fixed, random, num_calls=num_calls)


def say_known(task: Task, wording: Wording, random: Random, known: Arguments) -> Utterance:
    """Fill the wording of a follow-up, without a frame. Values that the follow-up does not mention come from `known`.

    The keys of `known` are paths.
    """
    parts = template(wording)
    return say_as(task, parts.whole, parts.fixed, random, known=known)


def with_full_stop(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else sentence + "."


def lower_first(text: str) -> str:
    """Make the first letter small, unless the text begins with "I" or a slot."""
    return text[0].lower() + text[1:] if _PLAIN_LETTER.match(text) else text


def fill(sentence: str, said: dict[str, PhrasedValue]) -> str:
    """Replace each slot by its words, and "a" by "an" before a vowel."""
    sentence = _ARTICLE.sub(lambda found: found[1] + article_end(said[found[2]].words), sentence)
    return SLOT.sub(lambda slot: said[slot[1]].words, sentence)


def say_as(
    task: Task,
    sentence: str,
    fixed: Arguments,
    random: Random,
    *,
    num_calls: int = 1,
    known: Arguments | None = None,
) -> Utterance:
    """Fill a sentence with random values. The part in brackets is written once for each call.

    In half of the sentences without capitals the values are written without capitals too.
    """
    parts = template(sentence)
    shared = sample(task, SLOT.findall(parts.before + parts.after), random, {})
    each: list[dict[str, PhrasedValue]] = []
    for _ in range(num_calls):
        taken = {f"{number}.{slot}": said for number, one in enumerate(each) for slot, said in one.items()}
        each.append(sample(task, SLOT.findall(parts.repeated), random, {**shared, **taken}))
    if sentence == sentence.lower() and random.random() < 0.5:
        shared, each = _lowered(task, shared), [_lowered(task, one) for one in each]
    middle = joined([fill(parts.repeated, one) for one in each])
    text = fill(parts.before, shared) + middle + fill(parts.after, shared)
    values = [{slot: said.value for slot, said in {**shared, **one}.items()} for one in each]
    return Utterance(text, tuple(task.ordered({**(known or {}), **fixed, **one}) for one in values))


def article_end(words: str) -> str:
    """Return what follows the letter "a" of the article before the words: "n " (as in "an apple") or a space."""
    return "n " if re.match("(?i)(?!uni|eu|one|use)[aeiou]", words) else " "


def sample(task: Task, slots: Sequence[str], random: Random, taken: dict[str, PhrasedValue]) -> dict[str, PhrasedValue]:
    """Sample a value for each slot. Values differ if there are enough of a kind; dates are in order."""
    said: dict[str, PhrasedValue] = {}
    for slot in dict.fromkeys(slots):
        maker = task.parameter(slot).maker
        if maker is None:
            raise ValueError(f"{task.name}: a wording names the object {slot!r}, not a field of it")
        used = [*taken.values(), *said.values()]
        said[slot] = maker.sample(random)
        for _ in range(_MAX_DRAWS):
            if all(said[slot].words != one.words and said[slot].value != one.value for one in used):
                break
            said[slot] = maker.sample(random)
    dates = [slot for slot in said if task.parameter(slot).maker is DATE]
    return {
        **said,
        **dict(zip(dates, sorted((said[slot] for slot in dates), key=lambda date: date.words), strict=True)),
    }


def _framed(parts: Template, random: Random) -> str:
    """Put a frame such as "Could you ...?" around an imperative, as users do. Brackets are kept."""
    sentence = parts.bracketed
    if parts.is_imperative:
        frame = random.choice(FRAMES)
        sentence = frame.replace("{X}", sentence).replace("{x}", lower_first(sentence))
    elif random.random() < 0.12:
        sentence = random.choice(OPENINGS) + lower_first(sentence)
    return "".join(_varied(sentence, random))


def _varied(sentence: str, random: Random) -> Iterator[str]:
    """Yield variations of the sentence: without capitals or punctuation, with context before it or thanks after it."""
    chance = random.random()
    if chance < 0.12:
        yield sentence.lower().rstrip("?.!")
        return
    if chance < 0.22:
        yield sentence.rstrip("?.")
        return
    if chance > 0.9:
        yield random.choice(CONTEXTS) + " "
        sentence = with_full_stop(sentence)
    yield sentence
    if 0.84 < chance < 0.9:
        yield ("" if sentence.endswith((".", "?", "!")) else ".") + " " + random.choice(ENDINGS)


def _lowered(task: Task, said: dict[str, PhrasedValue]) -> dict[str, PhrasedValue]:
    """Write the words of the values in small letters, and the values too, except enums, codes and digits."""
    return {slot: one if "enum" in str(task.parameter(slot).schema) else _low(one) for slot, one in said.items()}


def _low(said: PhrasedValue) -> PhrasedValue:
    match said.value:
        case str(value) if not re.search(r"\d", said.words):
            is_code = value != said.words or value.isupper()
            return PhrasedValue(value if is_code else value.lower(), said.words.lower())
        case [*values] if values and all(isinstance(value, str) for value in values):
            return PhrasedValue([value.lower() for value in values], said.words.lower())
        case _:
            return said
