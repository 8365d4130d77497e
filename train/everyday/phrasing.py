"""From a wording to what a person says: slots filled, brackets repeated, imperatives framed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from train.everyday.tasks import SLOT, Arguments, Said, Task, Wording, joined
from train.everyday.values import DATE

_BRACKET = re.compile(r"\[(.*?)\]")
_PLAIN_LETTER = re.compile(r"[A-Z](?=[a-z'])(?!'(?:m|d|ll|ve)\b)")  # not that of "I" or "I'm", nor of "QR"
_ARTICLE = re.compile(r"\b([Aa]) (?=\{([\w.]+)\})")
_MAX_DRAWS = 200

# How an imperative is said: {x} with a small letter, {X} with a capital one.
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
class Spoken:
    """A sentence, and the arguments of each call that it asks for, in order."""

    text: str
    calls: tuple[Arguments, ...]


@dataclass(frozen=True)
class Template:
    """A wording taken apart; `repeated` is the bracketed part, "" where there is none."""

    before: str
    repeated: str
    after: str
    fixed: Arguments

    @property
    def whole(self) -> str:
        return self.before + self.repeated + self.after

    @property
    def bracketed(self) -> str:
        """With the brackets, where there are some."""
        return f"{self.before}[{self.repeated}]{self.after}" if self.repeated else self.whole

    @property
    def is_imperative(self) -> bool:
        return not self.whole.endswith((".", "?", "!"))


def template(wording: Wording) -> Template:
    sentence, fixed = wording if isinstance(wording, tuple) else (wording, {})
    if found := _BRACKET.search(sentence):
        return Template(sentence[: found.start()], found[1], sentence[found.end() :], fixed)
    return Template(sentence, "", "", fixed)


def say(task: Task, wording: Wording, random: Random, num_calls: int = 1) -> Spoken:
    """The wording with drawn values, framed as people frame requests. Several calls need a wording with brackets."""
    parts = template(wording)
    return say_as(task, _framed(parts, random), parts.fixed, random, num_calls=num_calls)


def say_known(task: Task, wording: Wording, random: Random, known: Arguments) -> Spoken:
    """What follows an earlier request, as it is written; values of `known` (by path) that it does not change stay."""
    parts = template(wording)
    return say_as(task, parts.whole, parts.fixed, random, known=known)


def finished(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!")) else sentence + "."


def small(text: str) -> str:
    """With a small first letter where that is right: not for "I" and not for what a slot begins."""
    return text[0].lower() + text[1:] if _PLAIN_LETTER.match(text) else text


def fill(sentence: str, said: dict[str, Said]) -> str:
    """The sentence with each slot's words, and "an" before a vowel."""
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
) -> Spoken:
    """A sentence with slots, its brackets (if any) filled for each call; one in small letters may lower its values."""
    parts = template(sentence)
    shared = draw(task, SLOT.findall(parts.before + parts.after), random, {})
    each: list[dict[str, Said]] = []
    for _ in range(num_calls):
        taken = {f"{number}.{slot}": said for number, one in enumerate(each) for slot, said in one.items()}
        each.append(draw(task, SLOT.findall(parts.repeated), random, {**shared, **taken}))
    if sentence == sentence.lower() and random.random() < 0.5:
        shared, each = _lowered(task, shared), [_lowered(task, one) for one in each]
    middle = joined([fill(parts.repeated, one) for one in each])
    text = fill(parts.before, shared) + middle + fill(parts.after, shared)
    values = [{slot: said.value for slot, said in {**shared, **one}.items()} for one in each]
    return Spoken(text, tuple(task.ordered({**(known or {}), **fixed, **one}) for one in values))


def article_end(words: str) -> str:
    """What follows the "a" before these words: "n " or a blank."""
    return "n " if re.match("(?i)(?!uni|eu|one|use)[aeiou]", words) else " "


def draw(task: Task, slots: Sequence[str], random: Random, taken: dict[str, Said]) -> dict[str, Said]:
    """A value for each slot, no two of one request alike where there are enough; dates in order."""
    said: dict[str, Said] = {}
    for slot in dict.fromkeys(slots):
        maker = task.parameter(slot).maker
        if maker is None:
            raise ValueError(f"{task.name}: a wording names the object {slot!r}, not a field of it")
        used = [*taken.values(), *said.values()]
        said[slot] = maker.draw(random)
        for _ in range(_MAX_DRAWS):
            if all(said[slot].words != one.words and said[slot].value != one.value for one in used):
                break
            said[slot] = maker.draw(random)
    dates = [slot for slot in said if task.parameter(slot).maker is DATE]
    return {
        **said,
        **dict(zip(dates, sorted((said[slot] for slot in dates), key=lambda date: date.words), strict=True)),
    }


def _framed(parts: Template, random: Random) -> str:
    """The sentence as someone might say it, brackets kept."""
    sentence = parts.bracketed
    if parts.is_imperative:
        frame = random.choice(FRAMES)
        sentence = frame.replace("{X}", sentence).replace("{x}", small(sentence))
    elif random.random() < 0.12:
        sentence = random.choice(OPENINGS) + small(sentence)
    return "".join(_around(sentence, random))


def _around(sentence: str, random: Random) -> Iterator[str]:
    """Now and then hasty (no capitals, no question mark), with a sentence before or a thank-you after it."""
    draw = random.random()
    if draw < 0.12:
        yield sentence.lower().rstrip("?.!")
        return
    if draw < 0.22:
        yield sentence.rstrip("?.")
        return
    if draw > 0.9:
        yield random.choice(CONTEXTS) + " "
        sentence = finished(sentence)
    yield sentence
    if 0.84 < draw < 0.9:
        yield ("" if sentence.endswith((".", "?", "!")) else ".") + " " + random.choice(ENDINGS)


def _lowered(task: Task, said: dict[str, Said]) -> dict[str, Said]:
    """What is said in a hurry, in small letters; the values too, but for enums, codes and digits."""
    return {slot: one if "enum" in str(task.parameter(slot).schema) else _low(one) for slot, one in said.items()}


def _low(said: Said) -> Said:
    match said.value:
        case str(value) if not re.search(r"\d", said.words):
            is_code = value != said.words or value.isupper()
            return Said(value if is_code else value.lower(), said.words.lower())
        case [*values] if values and all(isinstance(value, str) for value in values):
            return Said([value.lower() for value in values], said.words.lower())
        case _:
            return said
