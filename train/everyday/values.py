"""The kinds of values that people say, and how one of each is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from train.everyday import proper_names as names
from train.everyday import vocabulary as words
from train.everyday.tasks import Maker, Said, joined

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def text(choices: Sequence[str], **schema: Any) -> Maker:
    """One of many texts, said word for word."""
    return Maker({"type": "string", **schema}, lambda random: (lambda word: Said(word, word))(random.choice(choices)))


def composed(*patterns: str, **pools: Sequence[str]) -> Maker:
    """A text put together from words: composed("{color} {thing}", color=COLORS, thing=PRODUCTS)."""

    def draw(random: Random) -> Said:
        made = random.choice(patterns).format_map({name: random.choice(pool) for name, pool in pools.items()})
        return Said(made, made)

    return Maker({"type": "string"}, draw)


def one_of(*choices: str, **said: str) -> Maker:
    """An enum. `said` maps values to the words for them; underscores in other values are said as blanks."""
    values = {**{choice: choice.replace("_", " ") for choice in choices}, **said}

    def draw(random: Random) -> Said:
        value = random.choice(list(values))
        return Said(value, values[value])

    return Maker({"type": "string", "enum": list(values)}, draw)


def whole(low: int, high: int, step: int = 1) -> Maker:
    """A whole number, said in digits."""

    def draw(random: Random) -> Said:
        value = random.randrange(low, high + 1, step)
        return Said(value, str(value))

    return Maker({"type": "integer"}, draw)


def count(low: int, high: int) -> Maker:
    """A small number of things, now and then said as a word."""

    def draw(random: Random) -> Said:
        value = random.randint(low, high)
        return Said(value, NUMBER_WORDS[value] if value <= 10 and random.random() < 0.3 else str(value))

    return Maker({"type": "integer"}, draw)


def number(low: float, high: float, digits: int = 1) -> Maker:
    """A number: a round one mostly, else with some digits after the point."""

    def draw(random: Random) -> Said:
        if random.random() < 0.6:
            value: float = random.randint(round(low), round(high))
            value = value if value < 100 or random.random() < 0.4 else value // 10 * 10
        else:
            value = round(random.uniform(low, high), digits)
        value = int(value) if float(value).is_integer() and value else value or round(high)
        return Said(value, str(value))

    return Maker({"type": "number"}, draw)


def several(item: Maker, low: int, high: int) -> Maker:
    """A list of different values: "3, 5 and 8"."""

    def draw(random: Random) -> Said:
        size, drawn = random.randint(low, high), list[Said]()
        while len(drawn) < size:
            said = item.draw(random)
            if said not in drawn:
                drawn.append(said)
        return Said([said.value for said in drawn], joined([said.words for said in drawn]))

    return Maker({"type": "array", "items": item.schema}, draw)


def lines(things: Sequence[str], name: str, amount: str) -> Maker:
    """A list of objects: "2 lemons and 3 apples". `things` are plurals."""
    shape = {
        "type": "object",
        "properties": {name: {"type": "string"}, amount: {"type": "integer"}},
        "required": [name, amount],
    }

    def draw(random: Random) -> Said:
        chosen = [(thing, random.randint(2, 6)) for thing in random.sample(things, random.randint(2, 3))]
        said = joined([f"{amount} {thing}" for thing, amount in chosen])
        return Said([{name: thing, amount: num} for thing, num in chosen], said)

    return Maker({"type": "array", "items": shape}, draw)


def _when(random: Random) -> Said:
    """A day with its preposition; the value is the day alone."""
    if random.random() < 0.35:
        weekday = random.choice(words.WEEKDAYS)
        day = random.choice(
            ("today", "tomorrow", "tomorrow", "the day after tomorrow", f"next {weekday}", f"this {weekday}")
        )
        return Said(day, day)
    day = _day(random).value
    return Said(day, f"on {day}")


def _day(random: Random) -> Said:
    if random.random() < 0.5:
        day = random.choice(words.WEEKDAYS)
    else:
        month, number = random.choice(words.MONTHS), random.randint(1, 28)
        day = random.choice((f"{month} {number}", f"{number} {month}"))
    return Said(day, day)


def _date(random: Random) -> Said:
    date = f"{random.randint(2023, 2027)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    return Said(date, date)


def _time(random: Random) -> Said:
    hour, minute = random.randint(1, 12), random.choice((0, 0, 0, 15, 30, 45, 10))
    draw = random.random()
    if draw < 0.1:
        time = random.choice(
            (f"{hour} o'clock", f"half past {NUMBER_WORDS[max(hour - 2, 1)]}", "noon", f"{hour} in the morning")
        )
    elif draw < 0.35:
        time = f"{hour + random.choice((6, 11))}:{minute:02}"
    else:
        shown = f"{hour}:{minute:02}" if minute else f"{hour}"
        time = shown + random.choice((" am", " pm", "am", "pm", " pm"))
    return Said(time, time)


def _email(random: Random) -> Said:
    first, last = random.choice(names.FIRST_NAMES).lower(), random.choice(names.LAST_NAMES).lower()
    address = random.choice((f"{first}.{last}", f"{first}{random.randint(2, 99)}", f"{first[0]}.{last}"))
    address += random.choice(("@example.com", "@example.org", "@mail.example", "@office.example"))
    return Said(address, address)


def _phone(random: Random) -> Said:
    tail = f"{random.randint(100, 999)} {random.randint(1000, 9999)}"
    phone = random.choice((f"555 {tail}", f"+44 20 {tail}", f"0171 {tail}", tail.replace(" ", "-")))
    return Said(phone, phone)


def _full_name(random: Random) -> Said:
    name = f"{random.choice(names.FIRST_NAMES)} {random.choice(names.LAST_NAMES)}"
    return Said(name, name)


def _address(random: Random) -> Said:
    address = f"{random.randint(2, 180)} {random.choice(names.STREETS)}"
    return Said(address, address)


def code(*patterns: str) -> Maker:
    """Numbers and codes: # is a digit, @ a capital letter."""

    def draw(random: Random) -> Said:
        drawn = {"#": lambda: str(random.randint(1, 9)), "@": lambda: random.choice("ABCDEFGHKLMNPRSTUVWX")}
        made = "".join(drawn[sign]() if sign in drawn else sign for sign in random.choice(patterns))
        return Said(made, made)

    return Maker({"type": "string"}, draw)


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
FLAG = Maker({"type": "boolean"}, lambda random: Said(True, "yes"))  # fixed by the wording, never said
