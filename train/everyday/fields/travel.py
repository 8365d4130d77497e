"""Tasks about flights, trains and cars."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import (
    CITY,
    COUNTRY,
    DATE,
    FLAG,
    FULL_NAME,
    TIME,
    WHEN,
    code,
    count,
    one_of,
    several,
    text,
)

FLIGHT = code("BA###", "LH####", "UA##", "KL####", "QF#", "TK###")
BOOKING = code("@@@@##", "@#@#@#", "@@##@@")
NATIONALITY = text(("German", "Canadian", "Indian", "Brazilian", "Turkish", "Kenyan", "Korean", "French", "Mexican"))

FIELD = (
    Task(
        "search_flights",
        "Search for flights between two cities",
        (
            need("origin", CITY, "City of departure"),
            need("destination", CITY, "City of arrival"),
            need("date", DATE, "Day of departure, YYYY-MM-DD"),
            may("passengers", count(2, 6), "Number of passengers"),
            may("cabin", one_of("economy", "business", "first"), "Class"),
            may("direct_only", FLAG, "Whether to leave out flights with a stop"),
        ),
        (
            "Find flights from {origin} to [{destination}] on {date}",
            "I need to fly from {origin} to {destination} on {date}, {passengers} people.",
            "Show me {cabin} class flights from {origin} to {destination} on {date}",
            (
                "{passengers} of us fly {cabin} class from {origin} to {destination} on {date}, direct flights only.",
                {"direct_only": True},
            ),
            ("Are there direct flights from {origin} to {destination} on {date}?", {"direct_only": True}),
        ),
        lambda a, f: {"flights": f.whole(1, 14), "cheapest": f.whole(60, 900)},
        "There are {flights} flights from {origin} to {destination} on {date}, from ${cheapest}.",
        (
            Ask("Find me a flight from {origin} to {destination}.", "On which day do you want to leave?", "On {date}."),
            Ask("I want to fly to {destination} on {date}.", "From which city?", "From {origin}."),
        ),
        "And to [{destination}]?",
    ),
    Task(
        "get_flight_status",
        "Check whether a flight is on time",
        (need("flight_number", FLIGHT, "Flight number"), may("day", WHEN, "Day, as said")),
        (
            "Is [flight {flight_number}] on time?",
            "What's the status of [{flight_number}]?",
            "Does {flight_number} {day} leave as planned?",
            "My wife is on {flight_number}. Is it delayed?",
        ),
        lambda a, f: {"delay_minutes": f.pick(0, 0, 10, 25, 50), "gate": f"{f.pick('A', 'B', 'C')}{f.whole(1, 40)}"},
        lambda a, r: (
            f"Flight {a['flight_number']} leaves from gate {r['gate']} "
            + (f"with a delay of {r['delay_minutes']} minutes." if r["delay_minutes"] else "on time.")
        ),
        (Ask("Is my flight on time?", "What is the flight number?", "{flight_number}"),),
        "And [{flight_number}]?",
    ),
    Task(
        "check_in_flight",
        "Check in for a flight and choose a seat",
        (
            need("booking_code", BOOKING, "Code of the booking"),
            need("last_name", text(("Meyer", "Okafor", "Diaz", "Chen", "Larsson", "Demir", "Patel")), "Last name"),
            may("seat", one_of("window", "aisle", "middle"), "Seat wanted"),
            may("bags", count(1, 3), "Number of bags"),
        ),
        (
            "Check me in, booking {booking_code}, name {last_name}.",
            "Check in {last_name} with the code {booking_code} and give me a {seat} seat",
            "I'd like to check in for {booking_code} under {last_name} with {bags} bags.",
        ),
        lambda a, f: {"seat": f"{f.whole(3, 32)}{f.pick('A', 'C', 'D', 'F')}"},
        "You are checked in. Your seat is {seat}.",
        (
            Ask("Check me in, my booking is {booking_code}.", "What is the last name?", "{last_name}"),
            Ask("Check in {last_name} for the flight.", "What is the booking code?", "{booking_code}"),
        ),
    ),
    Task(
        "search_trains",
        "Search for train connections",
        (
            need("start", CITY, "Station of departure"),
            need("goal", CITY, "Station of arrival"),
            may("depart_after", TIME, "Earliest departure"),
            may("day", WHEN, "Day, as said"),
            may("bicycle", FLAG, "Whether a bicycle comes along"),
        ),
        (
            "When does the next train go from {start} to [{goal}]?",
            "Trains from {start} to {goal} after {depart_after}, please.",
            "I want to take the train from {start} to {goal} {day}.",
            ("Find a train from {start} to {goal} on which I can take my bike", {"bicycle": True}),
        ),
        lambda a, f: {"departure": f"{f.whole(6, 21)}:{f.whole(10, 59)}", "changes": f.whole(0, 2)},
        "The next train from {start} to {goal} leaves at {departure} with {changes} changes.",
        (Ask("When is the next train to {goal}?", "From which station?", "From {start}."),),
    ),
    Task(
        "rent_car",
        "Rent a car",
        (
            need("pickup_city", CITY, "Where to pick it up"),
            need("pickup_date", DATE, "Day of pickup, YYYY-MM-DD"),
            need("days", count(2, 10), "Number of days"),
            may("category", one_of("compact", "estate", "van", "convertible"), "Kind of car"),
            may("extras", several(text(("a child seat", "snow chains", "a roof box", "GPS")), 2, 2), "Extras"),
        ),
        (
            "Rent a {category} in {pickup_city} from {pickup_date} for {days} days",
            "I need a car in {pickup_city} for {days} days starting {pickup_date}.",
            "I'd like to rent a {category} with {extras} in {pickup_city} for {days} days from {pickup_date}.",
            "Get me a rental car in {pickup_city} on {pickup_date}, {days} days, with {extras}.",
        ),
        lambda a, f: {"confirmation": f.code("RC"), "price": a["days"] * f.whole(30, 90)},
        "The car is reserved for {days} days at ${price}.",
        (Ask("Rent a car in {pickup_city} from {pickup_date}.", "For how many days?", "{days}"),),
    ),
    Task(
        "get_visa_rules",
        "Tell whether citizens of a country need a visa",
        (need("nationality", NATIONALITY, "Nationality"), need("destination", COUNTRY, "Country to visit")),
        (
            "Do {nationality} citizens need a visa for [{destination}]?",
            "I have a {nationality} passport and want to visit {destination}. Do I need a visa?",
            "Check the visa rules of [{destination}] for {nationality} travellers",
        ),
        lambda a, f: {"visa_needed": f.pick(True, False), "days_allowed": f.pick(30, 60, 90)},
        lambda a, r: (
            f"{a['nationality']} travellers {'need a' if r['visa_needed'] else 'need no'} visa for {a['destination']} "
            f"and may stay up to {r['days_allowed']} days."
        ),
        (Ask("Do I need a visa for {destination}?", "What is your nationality?", "I'm {nationality}."),),
        "And for [{destination}]?",
    ),
    Task(
        "cancel_booking",
        "Cancel a hotel or flight booking",
        (
            need("booking_code", BOOKING, "Code of the booking"),
            may("reason", one_of("illness", change_of_plans="our plans have changed"), "Reason"),
            may("refund_to", FULL_NAME, "Who gets the money back"),
        ),
        (
            "Cancel [booking {booking_code}]",
            "We can't travel, {reason}. Cancel our booking {booking_code}.",
            "Cancel {booking_code} and pay the refund to {refund_to}",
        ),
        lambda a, f: {"refund": f.whole(0, 300)},
        "Booking {booking_code} is cancelled; the refund is ${refund}.",
        (Ask("I have to cancel my booking.", "What is the booking code?", "{booking_code}"),),
    ),
)
