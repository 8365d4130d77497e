"""Tasks about hotels and sights."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import (
    CITY,
    DATE,
    FLAG,
    count,
    one_of,
    several,
    text,
    whole,
)
from train.everyday.vocabulary import SIGHTS

HOTEL = text(
    ("Hotel Aurora", "the Grand Plaza", "Casa Miramar", "the Old Mill Inn", "Hotel Bellevue", "The Fox & Anchor")
)
AMENITY = text(("wifi", "parking", "breakfast", "a pool", "a gym", "air conditioning", "a kitchen", "a balcony"))

FIELD = (
    Task(
        "book_hotel",
        "Book a hotel room",
        (
            need("city", CITY, "City"),
            need("check_in", DATE, "Day of arrival, YYYY-MM-DD"),
            need("nights", count(2, 10), "Number of nights"),
            may("guests", count(2, 5), "Number of guests"),
            may("room_type", one_of("single", "double", "suite"), "Kind of room"),
            may("breakfast", FLAG, "Whether breakfast is included"),
        ),
        (
            "Book a hotel [in {city} for {nights} nights from {check_in}]",
            "I need a {room_type} room in {city} from {check_in}, {nights} nights.",
            "Get us a hotel in {city}: {guests} guests, {nights} nights, arriving {check_in}.",
            (
                "A {room_type} room with breakfast for {guests} in {city} from {check_in}, {nights} nights.",
                {"breakfast": True},
            ),
            (
                "Reserve a {room_type} room with breakfast in {city} on {check_in} for {nights} nights",
                {"breakfast": True},
            ),
        ),
        lambda a, f: {
            "hotel": f.pick("Hotel Aurora", "City Inn", "Park Lodge"),
            "total": a["nights"] * f.whole(60, 180),
        },
        "I booked {hotel} in {city}: {nights} nights for ${total}.",
        (
            Ask("Book a hotel in {city} from {check_in}.", "For how many nights?", "{nights} nights."),
            Ask("I need a hotel for {nights} nights, from {check_in}.", "In which city?", "In {city}."),
        ),
    ),
    Task(
        "search_hotels",
        "Search for hotels with certain amenities",
        (
            need("city", CITY, "City"),
            may("amenities", several(AMENITY, 2, 3), "What the hotel has to offer"),
            may("max_price", whole(60, 300, 10), "Highest price for a night"),
            may("min_stars", count(3, 5), "Lowest number of stars"),
        ),
        (
            "Which hotels [in {city}] are there?",
            "Find a hotel in {city} with {amenities}",
            "Show me hotels in {city} below ${max_price} a night with at least {min_stars} stars",
            "I'm looking for a place to stay in {city} for less than ${max_price}.",
        ),
        lambda a, f: {"found": f.whole(2, 40), "best": f.pick("Hotel Aurora", "the Grand Plaza", "Casa Miramar")},
        "I found {found} hotels in {city}; the best rated is {best}.",
        (Ask("Find a hotel with {amenities}.", "In which city?", "{city}"),),
    ),
    Task(
        "book_tour",
        "Book tickets for a guided tour",
        (
            need("sight", text(SIGHTS), "What to see"),
            need("city", CITY, "City"),
            nested(
                "tickets",
                "How many tickets",
                need("adults", count(1, 4), "Adults"),
                may("children", count(1, 4), "Children"),
            ),
            may("tour_language", one_of("English", "Spanish", "German"), "Language of the guide"),
        ),
        (
            "Book a tour of {sight} in {city} for {tickets.adults} adults",
            "We'd like to see {sight} in {city} with a guide: {tickets.adults} adults and {tickets.children} children.",
            "Get tickets for a {tour_language} tour of {sight} in {city}, {tickets.adults} adults.",
        ),
        lambda a, f: {"starts": f"{f.whole(9, 16)}:00", "booking": f.code("TO")},
        "Your tour of {sight} starts at {starts}; the booking is {booking}.",
        (Ask("Book a tour of {sight} in {city}.", "For how many adults?", "{tickets.adults}"),),
    ),
    Task(
        "find_attractions",
        "Find things to see in a city",
        (
            need("city", CITY, "City"),
            may("kinds", several(one_of("museum", "park", "church", "market", "theatre"), 2, 3), "Kinds of sights"),
            may("free_only", FLAG, "Only those without an entrance fee"),
        ),
        (
            "What should I see [in {city}]?",
            "What is there to do in {city}?",
            ("Show me free attractions [in {city}]", {"free_only": True}),
            "I'd like to see something like a {kinds} in {city}.",
        ),
        lambda a, f: {"sights": f.some(2, "the old harbour", "the castle hill", "the glass market", "the river walk")},
        "In {city} have a look at {sights}.",
        (Ask("What should we visit on our trip?", "Where are you going?", "To {city}."),),
        "And [in {city}]?",
    ),
    Task(
        "review_hotel",
        "Leave a rating for a hotel after a stay",
        (
            need("hotel", HOTEL, "Name of the hotel"),
            nested(
                "ratings",
                "Points from 1 to 10",
                need("cleanliness", whole(3, 10), "Cleanliness"),
                need("service", whole(3, 10), "Service"),
            ),
        ),
        (
            "Rate {hotel} with {ratings.cleanliness} points for cleanliness and {ratings.service} for service",
            "{hotel} gets {ratings.cleanliness} out of 10 for cleanliness and {ratings.service} for service from me.",
        ),
        lambda a, f: {"thanks": True},
        "Your rating of {hotel} has been saved.",
        (
            Ask(
                "I want to rate {hotel}.",
                "How many points do you give for cleanliness and for service?",
                "{ratings.cleanliness} for cleanliness, {ratings.service} for service.",
            ),
        ),
    ),
)
