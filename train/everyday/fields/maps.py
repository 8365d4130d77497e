"""Tasks about directions and places."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import (
    ADDRESS,
    CITY,
    FLAG,
    PERSON,
    TIME,
    number,
    one_of,
    several,
    text,
    whole,
)
from train.everyday.vocabulary import PLACES, SIGHTS

SPOT = text(SIGHTS)
MODE = one_of(driving="by car", walking="on foot", cycling="by bike", transit="by bus")
SHOP = text(PLACES)

FIELD = (
    Task(
        "get_directions",
        "Get directions from one place to another",
        (
            need("origin", SPOT, "Where to start"),
            need("destination", ADDRESS, "Where to go"),
            may("mode", MODE, "How to travel", "driving"),
            may("avoid", several(one_of("tolls", "highways", "ferries"), 1, 2), "What to avoid"),
            may("arrive_by", TIME, "Latest arrival"),
        ),
        (
            "How do I get from {origin} to [{destination}]?",
            "Directions from {origin} to {destination} {mode}, please.",
            "Navigate from {origin} to {destination} and avoid {avoid}",
            "I'm at {origin} and must be at {destination} by {arrive_by}.",
            "Take me from {origin} to {destination} {mode}",
        ),
        lambda a, f: {"minutes": f.whole(4, 70), "km": f.number(0.5, 40)},
        "It's {km} km from {origin} to {destination} and takes {minutes} minutes.",
        (
            Ask("How do I get to {destination}?", "Where do you start?", "From {origin}."),
            Ask("Give me directions from {origin}.", "Where do you want to go?", "To {destination}."),
        ),
    ),
    Task(
        "find_nearby",
        "Find shops and services near a place",
        (
            need("category", SHOP, "What to look for"),
            need("near", SPOT, "Place"),
            may("radius_m", whole(200, 3000, 100), "How far around, in meters"),
            may("open_now", FLAG, "Only what is open now"),
            may("min_rating", number(3, 5), "Lowest rating"),
        ),
        (
            "Where is the nearest [{category}] to {near}?",
            "Find a {category} within {radius_m} meters of {near}",
            ("Is there a {category} open now near {near}?", {"open_now": True}),
            "I need a {category} close to {near} with at least {min_rating} stars.",
        ),
        lambda a, f: {"name": f.pick("Corner House", "Golden Gate", "Number One"), "distance_m": f.whole(5, 190) * 10},
        "The next {category} is {name}, {distance_m} meters from {near}.",
        (Ask("Where is the nearest {category}?", "Near which place?", "Near {near}."),),
        "And a [{category}]?",
    ),
    Task(
        "get_distance",
        "Compute the distance between two cities",
        (
            need("from_city", CITY, "First city"),
            need("to_city", CITY, "Second city"),
            may("unit", one_of("km", "miles"), "Unit", "km"),
        ),
        (
            "How far is it from {from_city} to [{to_city}]?",
            "What's the distance between [{from_city} and {to_city}] in {unit}?",
            "How many {unit} is {to_city} away from {from_city}?",
        ),
        lambda a, f: {"distance": f.whole(40, 9000), "unit": a.get("unit", "km")},
        "From {from_city} to {to_city} it is {distance} {unit}.",
        (Ask("How far away is {to_city}?", "From which city?", "From {from_city}."),),
        "And to [{to_city}]?",
    ),
    Task(
        "share_location",
        "Share the own location with people for some time",
        (need("people", several(PERSON, 1, 3), "Names"), need("minutes", whole(15, 240, 15), "For how long")),
        (
            "Share my location with {people} for {minutes} minutes",
            "Let {people} see where I am for the next {minutes} minutes",
        ),
        lambda a, f: {"active": True},
        "{people} can see where you are for {minutes} minutes.",
        (Ask("Share my location with {people}.", "For how many minutes?", "{minutes}"),),
    ),
    Task(
        "plan_round_trip",
        "Plan the shortest round trip through several places",
        (
            need("stops", several(SPOT, 3, 4), "Places to visit"),
            may("mode", MODE, "How to travel"),
            nested(
                "start",
                "Where it begins",
                need("address", ADDRESS, "Address"),
                may("time", TIME, "Time"),
                is_required=False,
            ),
        ),
        (
            "Plan a tour of {stops}",
            "What's the shortest way to visit {stops} {mode}?",
            "Plan a trip {mode} from {start.address} at {start.time} through {stops}",
        ),
        lambda a, f: {"km": f.number(3, 40), "minutes": f.whole(30, 300)},
        "The round trip is {km} km long and takes {minutes} minutes.",
        (Ask("Plan a round trip {mode}.", "Which places do you want to visit?", "{stops}"),),
    ),
    Task(
        "save_place",
        "Save a place under a name",
        (
            need("label", text(("home", "work", "gym", "grandma", "my favourite bar", "the good baker")), "Name"),
            nested(
                "position",
                "Position",
                need("latitude", number(-60, 70, 4), "Latitude"),
                need("longitude", number(-170, 170, 4), "Longitude"),
            ),
        ),
        (
            "Save {position.latitude}, {position.longitude} as {label}",
            "Mark the point at latitude {position.latitude} and longitude {position.longitude} as {label}",
        ),
        lambda a, f: {"saved": True},
        "{label} is saved on your map.",
        (Ask("Save the point {position.latitude}, {position.longitude}.", "Under which name?", "{label}"),),
    ),
)
