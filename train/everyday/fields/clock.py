"""Tasks about timers, alarms, dates and time zones."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import CITY, DATE, FLAG, TIME, count, one_of, several, text, whole
from train.everyday.vocabulary import FOODS, MONTHS, WEEKDAYS

WEEKDAY = text(WEEKDAYS, enum=list(WEEKDAYS))
SOUND = text(("birdsong", "bells", "waves", "piano", "radio"))
ACTIVITY = text(("writing the report", "gardening", "client work", "coding", "homework", "cleaning", "piano practice"))
YEAR = whole(1960, 2030)


def _days_between(start: str, end: str) -> int:
    return abs((date.fromisoformat(end) - date.fromisoformat(start)).days)


def _weekday(day: str) -> str:
    return WEEKDAYS[date.fromisoformat(day).weekday()]


def _in_words(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


FIELD = (
    Task(
        "set_timer",
        "Start a countdown timer",
        (
            need("minutes", count(2, 60), "Length in minutes"),
            may("label", text(FOODS), "What the timer is for"),
        ),
        (
            "Set a timer for [{minutes} minutes]",
            "Start a {minutes} minute timer for the {label}",
            "The {label} needs {minutes} minutes, set a timer.",
            "Timer, {minutes} minutes.",
        ),
        lambda a, f: {"timer_id": f.code("T"), "seconds": a["minutes"] * 60},
        "Your timer for {minutes} minutes is running.",
        (Ask("Set a timer for the {label}.", "For how many minutes?", "{minutes}"),),
        "And another one for [{minutes} minutes], please.",
    ),
    Task(
        "set_alarm",
        "Set an alarm clock",
        (
            need("time", TIME, "Time of the alarm, as said"),
            may("repeat", several(WEEKDAY, 1, 3), "Days on which it repeats"),
            may("sound", SOUND, "Sound of the alarm"),
        ),
        (
            "Wake me up [at {time}]",
            "Set an alarm [for {time}]",
            "Set an alarm for {time} every {repeat}",
            "I want to wake up at {time} to the sound of {sound}.",
        ),
        lambda a, f: {"alarm_id": f.code("A")},
        "Your alarm is set for {time}.",
        (Ask("Wake me up tomorrow.", "At what time?", "At {time}."), Ask("I need an alarm.", "For when?", "{time}")),
    ),
    Task(
        "cancel_timer",
        "Stop the running timer with a label",
        (need("label", text(FOODS), "What the timer was for"),),
        ("Stop the timer for [the {label}]", "Cancel my {label} timer", "The {label} is done, stop its timer."),
        lambda a, f: {"seconds_left": f.whole(5, 300)},
        "I stopped the timer for the {label} with {seconds_left} seconds left.",
        (Ask("Stop the timer.", "Several are running. Which one do you mean?", "The one for the {label}."),),
    ),
    Task(
        "get_time",
        "Get the current time in a city",
        (need("city", CITY, "City"), may("twelve_hour", FLAG, "Whether to use am and pm")),
        ("What time is it [in {city}]?", "What's the time [in {city}] now?", "Tell me the time [in {city}]"),
        lambda a, f: {"time": f"{f.whole(0, 23):02}:{f.whole(0, 59):02}"},
        "It's {time} in {city}.",
        (Ask("What time is it over there?", "Where do you mean?", "In {city}."),),
        "And [in {city}]?",
    ),
    Task(
        "convert_time",
        "Convert a clock time from one city to another",
        (
            need("time", TIME, "The time"),
            need("from_city", CITY, "City in which it is that time"),
            need("to_city", CITY, "City to convert to"),
        ),
        (
            "When it's {time} in {from_city}, what time is it in [{to_city}]?",
            "Convert {time} in {from_city} to the time in [{to_city}]",
            "My call is at {time} {from_city} time. When is that in {to_city}?",
        ),
        lambda a, f: {"converted": f"{f.whole(0, 23):02}:{f.pick('00', '30')}"},
        "{time} in {from_city} is {converted} in {to_city}.",
        (Ask("What is {time} in {from_city} over here?", "Which city are you in?", "I'm in {to_city}."),),
    ),
    Task(
        "days_between",
        "Count the days between two dates",
        (need("start", DATE, "First date, YYYY-MM-DD"), need("end", DATE, "Second date, YYYY-MM-DD")),
        (
            "How many days are there [between {start} and {end}]?",
            "Count the days [from {start} to {end}]",
            "My lease runs from {start} to {end}. How many days is that?",
        ),
        lambda a, f: {"days": _days_between(a["start"], a["end"])},
        "There are {days} days between {start} and {end}.",
        (Ask("How many days are there from {start}?", "Until which date?", "Until {end}."),),
    ),
    Task(
        "shift_date",
        "Find the date some days before or after another date",
        (
            need("start", DATE, "Date to start from, YYYY-MM-DD"),
            need("days", whole(5, 120, 5), "Number of days"),
            need("direction", one_of("after", "before"), "Which way to count"),
        ),
        (
            "What date is [{days} days {direction} {start}]?",
            "Which day comes {days} days {direction} {start}?",
            "Tell me the date {days} days {direction} {start}",
        ),
        lambda a, f: {
            "date": _in_words(
                date.fromisoformat(a["start"]) + timedelta(a["days"] * (1 if a["direction"] == "after" else -1))
            )
        },
        "{days} days {direction} {start} is {date}.",
        (
            Ask(
                "What date is {days} days from another date?", "Which date, and before or after?", "{direction} {start}"
            ),
        ),
    ),
    Task(
        "get_weekday",
        "Tell on which weekday a date falls",
        (need("date", DATE, "The date, YYYY-MM-DD"),),
        ("What weekday is [{date}]?", "On which day of the week does [{date}] fall?", "Is {date} a weekend?"),
        lambda a, f: {"weekday": _weekday(a["date"])},
        "{date} is a {weekday}.",
        (Ask("What day of the week is my exam?", "On which date is it?", "{date}"),),
        "And [{date}]?",
    ),
    Task(
        "is_leap_year",
        "Check whether a year is a leap year",
        (need("year", YEAR, "The year"),),
        ("Is [{year}] a leap year?", "Was February 29 days long in {year}?", "Check if [{year}] is a leap year"),
        lambda a, f: {"leap": calendar.isleap(a["year"])},
        lambda a, r: f"{a['year']} is {'' if r['leap'] else 'not '}a leap year.",
        (),
        "What about [{year}]?",
    ),
    Task(
        "age_on_date",
        "Work out somebody's age from the year of birth",
        (
            need("birth_year", whole(1935, 2015), "Year of birth"),
            need("in_year", whole(2024, 2050), "Year of interest"),
        ),
        (
            "How old will somebody born in [{birth_year}] turn in {in_year}?",
            "I was born in {birth_year}. How old will I be in {in_year}?",
            "Work out the age in {in_year} of someone born in [{birth_year}]",
        ),
        lambda a, f: {"age": a["in_year"] - a["birth_year"]},
        "Born in {birth_year}, one turns {age} in {in_year}.",
        (Ask("How old will I be in {in_year}?", "In which year were you born?", "In {birth_year}."),),
    ),
    Task(
        "start_stopwatch",
        "Start measuring the time spent on something",
        (need("activity", ACTIVITY, "What is being timed"),),
        (
            "Start timing my {activity}",
            "I'm starting with {activity}, track the time.",
            "Track the time I spend on [{activity}]",
        ),
        lambda a, f: {"started": True},
        "The clock is running for {activity}.",
        (Ask("Track my time.", "What are you working on?", "{activity}"),),
    ),
    Task(
        "create_countdown",
        "Count down the days to an occasion",
        (
            need(
                "occasion",
                text(("our wedding", "the marathon", "graduation", "Zoe's birthday", "the move")),
                "Occasion",
            ),
            need("date", DATE, "Date, YYYY-MM-DD"),
            may("show_on_home_screen", FLAG, "Whether to show it on the home screen"),
        ),
        (
            "Start a countdown to {occasion} on {date}",
            "Count down the days until [{occasion} on {date}]",
            ("Make a countdown to {occasion}, {date}, and put it on my home screen.", {"show_on_home_screen": True}),
        ),
        lambda a, f: {"countdown_id": f.code("CD")},
        "The countdown to {occasion} is running.",
        (Ask("Start a countdown to {occasion}.", "On which date is it?", "{date}"),),
    ),
    Task(
        "get_public_holidays",
        "List the public holidays of a month",
        (need("month", text(MONTHS, enum=list(MONTHS)), "Month"), need("year", whole(2024, 2028), "Year")),
        (
            "Which public holidays are there [in {month}] {year}?",
            "List the holidays of {month} {year}",
            "Are there any bank holidays in {month} {year}?",
        ),
        lambda a, f: {"holidays": f.some(f.whole(1, 2), "Monday the 1st", "Friday the 14th", "Thursday the 20th")},
        "In {month} {year} there is a holiday on {holidays}.",
        (Ask("Which holidays are there in {month}?", "Of which year?", "{year}"),),
    ),
)
