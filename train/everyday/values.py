"""Defines the kinds of values in requests, and how a value of each kind is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from train.everyday import proper_names as names
from train.everyday import vocabulary as words
from train.everyday.tasks import Maker, PhrasedValue, joined

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def text(choices: Sequence[str], **schema: Any) -> Maker:
    """Make one of several texts. The request has it verbatim."""
    return Maker(
        {"type": "string", **schema}, lambda random: (lambda word: PhrasedValue(word, word))(random.choice(choices))
    )


def composed(*patterns: str, **pools: Sequence[str]) -> Maker:
    """Make a text composed of words: composed("{color} {thing}", color=COLORS, thing=PRODUCTS)."""

    def sample(random: Random) -> PhrasedValue:
        made = random.choice(patterns).format_map({name: random.choice(pool) for name, pool in pools.items()})
        return PhrasedValue(made, made)

    return Maker({"type": "string"}, sample)


def one_of(*choices: str, **said: str) -> Maker:
    """Make a value of an enum. `said` maps values to their words in a request.

    The words of all other values are the values with spaces instead of underscores.
    """
    values = {**{choice: choice.replace("_", " ") for choice in choices}, **said}

    def sample(random: Random) -> PhrasedValue:
        value = random.choice(list(values))
        return PhrasedValue(value, values[value])

    return Maker({"type": "string", "enum": list(values)}, sample)


def whole(low: int, high: int, step: int = 1) -> Maker:
    """Make a whole number, written in digits."""

    def sample(random: Random) -> PhrasedValue:
        value = random.randrange(low, high + 1, step)
        return PhrasedValue(value, str(value))

    return Maker({"type": "integer"}, sample)


def count(low: int, high: int) -> Maker:
    """Make a small number of things, which some requests write as a word."""

    def sample(random: Random) -> PhrasedValue:
        value = random.randint(low, high)
        return PhrasedValue(value, NUMBER_WORDS[value] if value <= 10 and random.random() < 0.3 else str(value))

    return Maker({"type": "integer"}, sample)


def number(low: float, high: float, digits: int = 1) -> Maker:
    """Make a number, mostly a round one, else one with decimals."""

    def sample(random: Random) -> PhrasedValue:
        if random.random() < 0.6:
            value: float = random.randint(round(low), round(high))
            value = value if value < 100 or random.random() < 0.4 else value // 10 * 10
        else:
            value = round(random.uniform(low, high), digits)
        value = int(value) if float(value).is_integer() and value else value or round(high)
        return PhrasedValue(value, str(value))

    return Maker({"type": "number"}, sample)


def several(item: Maker, low: int, high: int) -> Maker:
    """Make a list of distinct values: "3, 5 and 8"."""

    def sample(random: Random) -> PhrasedValue:
        size, drawn = random.randint(low, high), list[PhrasedValue]()
        while len(drawn) < size:
            said = item.sample(random)
            if said not in drawn:
                drawn.append(said)
        return PhrasedValue([said.value for said in drawn], joined([said.words for said in drawn]))

    return Maker({"type": "array", "items": item.schema}, sample)


def lines(things: Sequence[str], name: str, amount: str) -> Maker:
    """Make a list of objects: "2 lemons and 3 apples". `things` are plural nouns; `name` and `amount` are the keys."""
    shape = {
        "type": "object",
        "properties": {name: {"type": "string"}, amount: {"type": "integer"}},
        "required": [name, amount],
    }

    def sample(random: Random) -> PhrasedValue:
        chosen = [(thing, random.randint(2, 6)) for thing in random.sample(things, random.randint(2, 3))]
        said = joined([f"{amount} {thing}" for thing, amount in chosen])
        return PhrasedValue([{name: thing, amount: num} for thing, num in chosen], said)

    return Maker({"type": "array", "items": shape}, sample)


def _when(random: Random) -> PhrasedValue:
    """Sample a day. Its words in the request have a preposition ("on Monday"), its value in the call has none."""
    if random.random() < 0.35:
        weekday = random.choice(words.WEEKDAYS)
        day = random.choice(
            ("today", "tomorrow", "tomorrow", "the day after tomorrow", f"next {weekday}", f"this {weekday}")
        )
        return PhrasedValue(day, day)
    day = _day(random).value
    return PhrasedValue(day, f"on {day}")


def _day(random: Random) -> PhrasedValue:
    if random.random() < 0.5:
        day = random.choice(words.WEEKDAYS)
    else:
        month, number = random.choice(words.MONTHS), random.randint(1, 28)
        day = random.choice((f"{month} {number}", f"{number} {month}"))
    return PhrasedValue(day, day)


def _date(random: Random) -> PhrasedValue:
    date = f"{random.randint(2023, 2027)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    return PhrasedValue(date, date)


def _time(random: Random) -> PhrasedValue:
    hour, minute = random.randint(1, 12), random.choice((0, 0, 0, 15, 30, 45, 10))
    chance = random.random()
    if chance < 0.1:
        time = random.choice(
            (f"{hour} o'clock", f"half past {NUMBER_WORDS[max(hour - 2, 1)]}", "noon", f"{hour} in the morning")
        )
    elif chance < 0.35:
        time = f"{hour + random.choice((6, 11))}:{minute:02}"
    else:
        shown = f"{hour}:{minute:02}" if minute else f"{hour}"
        time = shown + random.choice((" am", " pm", "am", "pm", " pm"))
    return PhrasedValue(time, time)


def _email(random: Random) -> PhrasedValue:
    first, last = random.choice(names.FIRST_NAMES).lower(), random.choice(names.LAST_NAMES).lower()
    address = random.choice((f"{first}.{last}", f"{first}{random.randint(2, 99)}", f"{first[0]}.{last}"))
    address += random.choice(("@example.com", "@example.org", "@mail.example", "@office.example"))
    return PhrasedValue(address, address)


def _phone(random: Random) -> PhrasedValue:
    tail = f"{random.randint(100, 999)} {random.randint(1000, 9999)}"
    phone = random.choice((f"555 {tail}", f"+44 20 {tail}", f"0171 {tail}", tail.replace(" ", "-")))
    return PhrasedValue(phone, phone)


def _full_name(random: Random) -> PhrasedValue:
    name = f"{random.choice(names.FIRST_NAMES)} {random.choice(names.LAST_NAMES)}"
    return PhrasedValue(name, name)


def _address(random: Random) -> PhrasedValue:
    address = f"{random.randint(2, 180)} {random.choice(names.STREETS)}"
    return PhrasedValue(address, address)


def code(*patterns: str) -> Maker:
    """Make a number or code from a pattern. # is a digit, @ a capital letter."""

    def sample(random: Random) -> PhrasedValue:
        drawn = {"#": lambda: str(random.randint(1, 9)), "@": lambda: random.choice("ABCDEFGHKLMNPRSTUVWX")}
        made = "".join(drawn[sign]() if sign in drawn else sign for sign in random.choice(patterns))
        return PhrasedValue(made, made)

    return Maker({"type": "string"}, sample)


WHEN = Maker({"type": "string"}, _when)
DAY = Maker({"type": "string"}, _day)
DATE = Maker({"type": "string", "format": "date"}, _date)
TIME = Maker({"type": "string"}, _time)
EMAIL = Maker({"type": "string"}, _email)
PHONE = Maker({"type": "string"}, _phone)
FULL_NAME = Maker({"type": "string"}, _full_name)
ADDRESS = Maker({"type": "string"}, _address)
PERSON = text(names.FIRST_NAMES)
CITY = text(names.CITIES)
COUNTRY = text(names.COUNTRIES)
LANGUAGE = text(names.LANGUAGES)
ROOM = text(words.ROOMS)
FLAG = Maker(
    {"type": "boolean"}, lambda random: PhrasedValue(True, "yes")
)  # no values to sample: the words of a wording imply a flag's value
