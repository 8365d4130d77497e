"""Tasks about parties, presents, pets and loans."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import (
    DATE,
    FLAG,
    FULL_NAME,
    PERSON,
    TIME,
    WHEN,
    count,
    number,
    one_of,
    several,
    text,
    whole,
)
from train.everyday.vocabulary import EVENTS, PRODUCTS, SENTENCES

PET = text(("Bella", "Rocky", "Mimi", "Simba", "Coco", "Balu", "Luna", "Oreo", "Pepper"))
GIFT = text(PRODUCTS)

FIELD = (
    Task(
        "add_pet_record",
        "Record a pet's weight, food or vaccination",
        (
            need("pet", PET, "Name of the pet"),
            need("kind", one_of("weight", "vaccination", "feeding"), "What is recorded"),
            may("kilograms", number(1, 40), "Weight"),
            may("date", DATE, "Day, YYYY-MM-DD"),
        ),
        (
            ("{pet} weighs {kilograms} kilos, note that.", {"kind": "weight"}),
            ("{pet} was vaccinated on {date}, please record it.", {"kind": "vaccination"}),
            ("I have just fed {pet}, write it down.", {"kind": "feeding"}),
        ),
        lambda a, f: {"entries": f.whole(2, 50)},
        "Saved. {pet} has {entries} entries now.",
    ),
    Task(
        "invite_guests",
        "Send invitations to a party",
        (
            need("occasion", text(EVENTS), "Occasion"),
            need("guests", several(PERSON, 2, 4), "Names"),
            need("day", WHEN, "Day, as said"),
            may("time", TIME, "Time, as said"),
            may("bring_partner", FLAG, "Whether partners may come"),
        ),
        (
            "Invite {guests} to the {occasion} {day}",
            "Send invitations for the {occasion} {day} at {time} to {guests}",
            ("Ask {guests} to come to the {occasion} {day} with their partners", {"bring_partner": True}),
        ),
        lambda a, f: {"sent": len(a["guests"])},
        "I sent {sent} invitations.",
        (Ask("Invite {guests} to the {occasion}.", "On which day is it?", "{day}"),),
    ),
    Task(
        "answer_invitation",
        "Accept or decline an invitation",
        (
            need("occasion", text(EVENTS), "Occasion"),
            need("accept", FLAG, "True to accept"),
            may("guests", count(2, 5), "How many come"),
            may("comment", text(SENTENCES), "Comment"),
        ),
        (
            ("Accept the invitation to [the {occasion}]", {"accept": True}),
            ("Decline the {occasion}", {"accept": False}),
            ("Tell them we're coming to the {occasion}, {guests} of us.", {"accept": True}),
            ('Turn down the {occasion} with the comment "{comment}"', {"accept": False}),
        ),
        lambda a, f: {"host": f.pick("Marta", "Ravi", "Felix")},
        lambda a, r: f"I told {r['host']} that you {'will' if a['accept'] else 'cannot'} come to the {a['occasion']}.",
    ),
    Task(
        "add_gift_idea",
        "Save an idea for a present",
        (
            need("person", PERSON, "Who gets it"),
            need("gift", GIFT, "Present"),
            may("price", whole(5, 200, 5), "Price in dollars"),
            may("occasion", one_of("birthday", "wedding", "graduation"), "Occasion"),
        ),
        (
            "Save [{gift}] as a present for {person}",
            "{person} would like {gift} for the {occasion}, remember that.",
            "Note {gift} for {person}, about ${price}",
        ),
        lambda a, f: {"ideas": f.whole(1, 9)},
        "Saved. You have {ideas} ideas for {person}.",
        (Ask("Save a present idea for {person}.", "What is it?", "{gift}"),),
    ),
    Task(
        "lend_item",
        "Record that something was lent to somebody",
        (
            need("item", GIFT, "What was lent"),
            need("borrower", FULL_NAME, "Who has it"),
            may("due_date", DATE, "When it is due, YYYY-MM-DD"),
        ),
        (
            "I lent my {item} to {borrower}.",
            "Write down that {borrower} has my {item} until {due_date}",
            "Record [{item} lent to {borrower}]",
        ),
        lambda a, f: {"loans": f.whole(1, 7)},
        "Noted: {borrower} has your {item}. You have lent out {loans} things.",
        (Ask("I lent somebody my {item}, note that.", "Who has it?", "{borrower}"),),
    ),
)
