"""Tasks about the calendar."""

from __future__ import annotations

from train.everyday.proper_names import FIRST_NAMES
from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import CITY, EMAIL, FLAG, TIME, WHEN, one_of, several, text, whole
from train.everyday.vocabulary import EVENTS

EVENT = text(EVENTS)

FIELD = (
    Task(
        "create_event",
        "Put an event on the calendar",
        (
            need("title", EVENT, "What it is"),
            need("day", WHEN, "Day, as said"),
            need("time", TIME, "Start time, as said"),
            may("duration_minutes", whole(15, 120, 15), "How long it takes"),
            may("location", CITY, "Where"),
        ),
        (
            "Put {title} on my calendar {day} at {time}",
            "Add a calendar entry [{day} at {time}]: {title}.",
            "Schedule {title} {day} at {time} for {duration_minutes} minutes",
            "Add {title} in {location} to my calendar, {day} at {time}, {duration_minutes} minutes long.",
            "I have a {title} in {location} {day} at {time}, add it to my calendar.",
            "Add [{title} {day} at {time}] to my calendar",
        ),
        lambda a, f: {"event_id": f.code("E"), "conflicts": f.pick(0, 0, 0, 1)},
        lambda a, r: (
            f"{a['title'].capitalize()} is on your calendar for {a['day']} at {a['time']}."
            + (" It overlaps with another event." if r["conflicts"] else "")
        ),
        (
            Ask("Put {title} on my calendar {day}.", "At what time?", "At {time}."),
            Ask("Schedule {title} at {time}.", "On which day?", "{day}"),
        ),
    ),
    Task(
        "list_events",
        "List the events of a day",
        (need("day", WHEN, "Day, as said"), may("calendar", one_of("work", "private", "family"), "Which calendar")),
        (
            "What do I have {day}?",
            "What's on my calendar [{day}]?",
            "Show me my {calendar} calendar [{day}]",
            "Am I free {day}?",
        ),
        lambda a, f: {"events": f.some(f.whole(1, 3), "9:00 standup", "12:30 lunch", "15:00 review", "18:00 gym")},
        "You have {events}.",
        (Ask("Show me my appointments.", "For which day?", "{day}"),),
        "And {day}?",
    ),
    Task(
        "move_event",
        "Move an event to another time",
        (
            need("title", EVENT, "Which event"),
            need("new_time", TIME, "New start time"),
            may("new_day", WHEN, "New day"),
        ),
        (
            "Move my {title} to {new_time}",
            "Can we push the {title} to {new_time} {new_day}?",
            "Reschedule [{title} to {new_time}]",
        ),
        lambda a, f: {"moved": True},
        "Your {title} has been moved to {new_time}.",
        (Ask("I need to move my {title}.", "To what time?", "{new_time}"),),
    ),
    Task(
        "cancel_event",
        "Cancel an event and tell the guests if wanted",
        (need("title", EVENT, "Which event"), may("notify_guests", FLAG, "Whether to tell the guests", False)),
        (
            "Cancel [my {title}]",
            "Take the {title} off my calendar",
            ("Cancel the {title} and let the guests know", {"notify_guests": True}),
        ),
        lambda a, f: {"cancelled": True},
        "Your {title} is cancelled.",
        (Ask("Cancel an appointment for me.", "Which one?", "The {title}."),),
    ),
    Task(
        "find_free_slot",
        "Find a time when several people are free",
        (
            need("people", several(text(FIRST_NAMES), 2, 4), "Names"),
            need("duration_minutes", whole(15, 90, 15), "Length of the meeting"),
            may("day", WHEN, "Day, as said"),
        ),
        (
            "When can {people} meet for {duration_minutes} minutes?",
            "Find a {duration_minutes} minute slot {day} for {people}",
            "I need {duration_minutes} minutes with {people}. When are they free?",
        ),
        lambda a, f: {"slot": f"{f.whole(9, 16)}:{f.pick('00', '30')}"},
        "{people} are all free at {slot}.",
        (Ask("When are {people} free?", "How long should the meeting be?", "{duration_minutes} minutes."),),
    ),
    Task(
        "create_recurring_event",
        "Create an event that repeats",
        (
            need("title", EVENT, "What it is"),
            nested(
                "rule",
                "How it repeats",
                need("frequency", one_of(daily="every day", weekly="every week", monthly="every month"), "How often"),
                need("time", TIME, "Start time"),
            ),
        ),
        (
            "Schedule {title} {rule.frequency} at {rule.time}",
            "I have a {title} {rule.frequency} at {rule.time}. Put it on my calendar as a series.",
            "Set up {title} {rule.frequency}, starting at {rule.time}",
        ),
        lambda a, f: {"series_id": f.code("S")},
        "The series {title} is on your calendar.",
        (Ask("Schedule {title} {rule.frequency}.", "At what time?", "At {rule.time}."),),
    ),
    Task(
        "share_calendar",
        "Share a calendar with somebody",
        (
            need("calendar", one_of("work", "private", "family"), "Which calendar"),
            need("with_email", EMAIL, "Address of the person"),
            need("can_edit", FLAG, "Whether the person may change events"),
        ),
        (
            ("Share my {calendar} calendar with [{with_email}], view only.", {"can_edit": False}),
            ("Let {with_email} edit my {calendar} calendar", {"can_edit": True}),
            ("Give [{with_email}] read access to my {calendar} calendar", {"can_edit": False}),
        ),
        lambda a, f: {"shared": True},
        lambda a, r: f"{a['with_email']} can now {'edit' if a['can_edit'] else 'see'} your {a['calendar']} calendar.",
    ),
)
