"""Tasks about traffic, taxis and parking."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import (
    ADDRESS,
    FLAG,
    TIME,
    code,
    composed,
    count,
    number,
    one_of,
    several,
    text,
)
from train.everyday.vocabulary import SIGHTS

SPOT = text(SIGHTS)
ROAD = composed("the {letter}{number}", letter=("A", "M", "B"), number=("1", "7", "9", "25", "40", "66", "81", "404"))
STOP = text(
    (
        "Main Square",
        "Central Station",
        "Hill Road",
        "University",
        "Old Bridge",
        "Airport Terminal 2",
        "City Hall",
        "Zoo",
    )
)
LINE = text(("M10", "U3", "42", "S5", "7", "101", "Red Line", "N6"))

FIELD = (
    Task(
        "get_traffic",
        "Get the traffic on a road",
        (need("road", ROAD, "Road"), may("direction", one_of("north", "south", "east", "west"), "Direction")),
        (
            "How is the traffic on [{road}]?",
            "Is there a jam on {road} going {direction}?",
            "Check the traffic on [{road}]",
        ),
        lambda a, f: {"delay_minutes": f.pick(0, 5, 12, 30), "cause": f.pick("road works", "an accident", "rush hour")},
        lambda a, r: (
            f"There is a delay of {r['delay_minutes']} minutes on {a['road']} because of {r['cause']}."
            if r["delay_minutes"]
            else f"The traffic on {a['road']} is flowing."
        ),
        (Ask("How's the traffic?", "On which road?", "On {road}."),),
        "And on [{road}]?",
    ),
    Task(
        "call_taxi",
        "Order a taxi",
        (
            need("pickup", ADDRESS, "Address to pick up"),
            need("destination", SPOT, "Where to go"),
            may("time", TIME, "When; at once if left out"),
            may("passengers", count(2, 6), "Number of people"),
            may(
                "needs",
                several(one_of(child_seat="a child seat", wheelchair="wheelchair access", pets="room for a dog"), 1, 2),
                "Needs",
            ),
        ),
        (
            "Call me a taxi from {pickup} to {destination}",
            "I need a cab at {time} from {pickup} to {destination}.",
            "Get a taxi for {passengers} people at {pickup}, we're going to {destination}.",
            "Send a taxi with {needs} to {pickup} at {time}, we are {passengers} people going to {destination}.",
            "Order a taxi with {needs} from {pickup} to {destination}",
        ),
        lambda a, f: {"plate": f.code("TX-"), "minutes": f.whole(2, 15), "price": f.whole(8, 50)},
        "Taxi {plate} arrives in {minutes} minutes; the ride costs about ${price}.",
        (
            Ask("Call me a taxi to {destination}.", "Where should it pick you up?", "{pickup}"),
            Ask("I need a taxi at {pickup}.", "Where do you want to go?", "To {destination}."),
        ),
    ),
    Task(
        "get_departures",
        "Get the next departures of a line at a stop",
        (
            need("stop", STOP, "Name of the stop"),
            may("line", LINE, "Line"),
            may("count", count(2, 6), "How many departures"),
        ),
        (
            "When does the next bus leave [from {stop}]?",
            "Next {count} departures from {stop}, please.",
            "When does the {line} leave from {stop}?",
            "Show me the departures [at {stop}]",
        ),
        lambda a, f: {"line": a.get("line", f.pick("42", "7", "M10")), "minutes": f.whole(1, 20)},
        "Line {line} leaves from {stop} in {minutes} minutes.",
        (Ask("When does the {line} leave?", "From which stop?", "From {stop}."),),
        "And [from {stop}]?",
    ),
    Task(
        "find_parking",
        "Find a place to park",
        (
            need("near", SPOT, "Where"),
            need("hours", count(2, 9), "For how many hours"),
            may("max_price", number(3, 25), "Highest price in all"),
            may(
                "features", several(one_of("covered", "guarded", charging="with a charger"), 1, 2), "What it should be"
            ),
        ),
        (
            "Find parking near [{near} for {hours} hours]",
            "Where can I park for {hours} hours at {near} for less than ${max_price}?",
            "I want to leave my car near {near} for {hours} hours, {features} if possible.",
        ),
        lambda a, f: {"garage": f.pick("Garage West", "P2", "Market Garage"), "price": f.number(2, 24, 2)},
        "{garage} has free places: {hours} hours cost ${price}.",
        (Ask("Where can I park at {near}?", "For how many hours?", "{hours}"),),
    ),
    Task(
        "report_road_problem",
        "Report a problem on a street to the city",
        (
            need("address", ADDRESS, "Where"),
            need("problem", one_of("pothole", "broken_light", "fallen_tree", "blocked_path"), "What is wrong"),
            may("dangerous", FLAG, "Whether somebody could get hurt"),
            may("photo", code("IMG_####.jpg", "photo##.png"), "File with a photo"),
        ),
        (
            "There is a {problem} at {address}, report it.",
            "Report a {problem} at [{address}]",
            ("There's a dangerous {problem} at {address}. Tell the city.", {"dangerous": True}),
            "Report the {problem} at {address} with my photo {photo}",
        ),
        lambda a, f: {"ticket": f.code("RP"), "days": f.whole(1, 14)},
        "Reported as {ticket}. The city will see to it within {days} days.",
        (Ask("Report a {problem} in my street.", "At which address?", "{address}"),),
    ),
)
