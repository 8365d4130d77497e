"""Tasks about jobs, homes, teachers and craftsmen."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import (
    CITY,
    FLAG,
    FULL_NAME,
    LANGUAGE,
    PERSON,
    PHONE,
    TIME,
    WHEN,
    count,
    one_of,
    several,
    text,
    whole,
)

JOB = text(
    (
        "nurse",
        "web developer",
        "electrician",
        "teacher",
        "accountant",
        "chef",
        "bus driver",
        "graphic designer",
        "biologist",
    )
)
SUBJECT = text(("algebra", "physics", "guitar", "chess", "drawing", "chemistry", "singing", "economics"))

FIELD = (
    Task(
        "search_jobs",
        "Search for open jobs",
        (
            need("title", JOB, "Title of the job"),
            need("city", CITY, "City"),
            may("min_salary", whole(25000, 90000, 1000), "Lowest salary a year"),
            may("remote", FLAG, "Whether it must be possible from home"),
            may("contract", one_of("full_time", "part_time", "freelance"), "Kind of contract"),
        ),
        (
            "Are there jobs as a {title} [in {city}]?",
            "Find {contract} jobs for a {title} in {city}",
            ("I'm looking for remote work as a {title} in {city}.", {"remote": True}),
            "Show me {title} jobs in {city} that pay at least {min_salary}",
        ),
        lambda a, f: {"jobs": f.whole(1, 80)},
        "There are {jobs} jobs for a {title} in {city}.",
        (Ask("Find me a job as a {title}.", "In which city?", "In {city}."),),
        "And [in {city}]?",
    ),
    Task(
        "search_homes",
        "Search for flats and houses",
        (
            need("city", CITY, "City"),
            need("offer", one_of("rent", "buy"), "Rent or buy"),
            may("rooms", count(2, 6), "Lowest number of rooms"),
            nested(
                "price",
                "Limits of the price",
                may("low", whole(300, 700, 50), "Lowest"),
                need("high", whole(800, 2500, 50), "Highest"),
                is_required=False,
            ),
            may(
                "features",
                several(text(("a balcony", "a garden", "an elevator", "a garage", "a cellar")), 1, 3),
                "What it needs",
            ),
            may("pets_allowed", FLAG, "Whether pets must be allowed"),
        ),
        (
            "I want to {offer} a flat in {city} with {rooms} rooms.",
            "Find something to {offer} in {city} with {features}",
            (
                "We {offer} in {city}: {rooms} rooms, {features}, {price.low} to {price.high}, pets allowed.",
                {"pets_allowed": True},
            ),
            "What could I {offer} in {city} between {price.low} and {price.high}?",
            (
                "We have a dog and want to {offer} a place in {city} for no more than {price.high}.",
                {"pets_allowed": True},
            ),
        ),
        lambda a, f: {"homes": f.whole(1, 60)},
        "I found {homes} homes in {city}.",
        (Ask("I'm looking for a flat to {offer}.", "In which city?", "In {city}."),),
    ),
    Task(
        "book_haircut",
        "Book an appointment at a hairdresser",
        (
            need("day", WHEN, "Day, as said"),
            need("time", TIME, "Time, as said"),
            may("services", several(one_of("cut", "wash", "color", "beard"), 1, 3), "What is to be done"),
            may("stylist", PERSON, "Who should do it"),
        ),
        (
            "Book me a haircut {day} at {time}",
            "I need the hairdresser {day} at {time}: {services}.",
            "Make a hair appointment with {stylist} {day} at {time}",
        ),
        lambda a, f: {"price": f.whole(20, 90)},
        "Your appointment is at {time} and costs ${price}.",
        (Ask("Book me a haircut {day}.", "At what time?", "At {time}."),),
    ),
    Task(
        "find_tutor",
        "Find a private teacher for a subject",
        (
            need("subject", SUBJECT, "Subject"),
            need("city", CITY, "City"),
            may("max_hourly_rate", whole(10, 60, 5), "Dollars an hour"),
            may("online", FLAG, "Whether lessons are online"),
            may("languages", several(LANGUAGE, 1, 2), "Languages spoken"),
        ),
        (
            "Find a {subject} teacher [in {city}]",
            "Who teaches {subject} in {city} for up to ${max_hourly_rate} an hour?",
            ("I want online lessons in {subject}, the teacher should live in {city}.", {"online": True}),
            "We need a {subject} tutor in {city} who speaks {languages}.",
        ),
        lambda a, f: {"name": f.pick("Ms. Hart", "Mr. Vega", "Ms. Ito"), "rate": f.whole(15, 50)},
        "{name} teaches {subject} in {city} for ${rate} an hour.",
        (Ask("Find me a {subject} teacher.", "In which city?", "{city}"),),
    ),
    Task(
        "hire_craftsman",
        "Ask a craftsman to come",
        (
            need("trade", one_of("plumber", "painter", "carpenter", "locksmith", "electrician"), "Trade"),
            need(
                "problem",
                text(
                    ("the tap drips", "the lock is jammed", "a window is broken", "the wall is damp", "a socket sparks")
                ),
                "Problem",
            ),
            nested(
                "contact", "Who opens the door", need("name", FULL_NAME, "Name"), need("phone", PHONE, "Phone number")
            ),
            may("urgent", FLAG, "Whether it is urgent"),
        ),
        (
            "Get me a {trade}, {problem}. Contact {contact.name}, {contact.phone}.",
            ("I urgently need a {trade} because {problem}. Call {contact.name} at {contact.phone}.", {"urgent": True}),
            "Send a {trade} to look at this: {problem}. {contact.name} is at home, phone {contact.phone}.",
        ),
        lambda a, f: {"arrives": f.pick("today at 5 pm", "tomorrow at 9 am", "on Monday"), "job": f.code("J")},
        "The {trade} comes {arrives}.",
        (
            Ask(
                "I need a {trade}, {problem}.",
                "Who can open the door, and what is the phone number?",
                "{contact.name}, {contact.phone}.",
            ),
        ),
    ),
)
