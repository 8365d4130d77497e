"""Tasks about arithmetic and statistics. Their results are computed from the arguments."""

from __future__ import annotations

import math
import statistics

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import count, number, one_of, several, whole

NUMBERS = several(whole(1, 99), 3, 6)


def _loan(amount: float, rate: float, years: int) -> float:
    monthly, months = rate / 1200, years * 12
    return round(amount * monthly / (1 - (1 + monthly) ** -months), 2)


FIELD = (
    Task(
        "calculate",
        "Apply an arithmetic operation to two numbers",
        (
            need("first", number(1, 500), "First number"),
            need("operation", one_of(add="plus", subtract="minus", multiply="times", divide="divided by"), "Operation"),
            need("second", number(2, 99), "Second number"),
        ),
        (
            "What's [{first} {operation} {second}]?",
            "How much is [{first} {operation} {second}]?",
            "Calculate [{first} {operation} {second}]",
        ),
        lambda a, f: {
            "result": round(
                {
                    "add": a["first"] + a["second"],
                    "subtract": a["first"] - a["second"],
                    "multiply": a["first"] * a["second"],
                    "divide": a["first"] / a["second"],
                }[a["operation"]],
                4,
            )
        },
        "The result is {result}.",
        (),
        "And [{first} {operation} {second}]?",
    ),
    Task(
        "sum_numbers",
        "Add up a list of numbers",
        (need("numbers", NUMBERS, "The numbers"),),
        ("What do {numbers} add up to?", "Add up {numbers}", "What's the sum of {numbers}?"),
        lambda a, f: {"sum": sum(a["numbers"])},
        "The sum is {sum}.",
        (Ask("Add up some numbers for me.", "Which numbers?", "{numbers}"),),
    ),
    Task(
        "average",
        "Compute the mean or median of a list of numbers",
        (need("values", NUMBERS, "The numbers"), may("kind", one_of("mean", "median"), "Which average", "mean")),
        (
            "What's the average of {values}?",
            "Give me the {kind} of {values}",
            "My scores were {values}. What's the {kind}?",
        ),
        lambda a, f: {
            "average": round(
                float((statistics.median if a.get("kind") == "median" else statistics.mean)(a["values"])), 2
            )
        },
        "It is {average}.",
        (Ask("Work out the {kind} of my scores.", "What are the scores?", "{values}"),),
    ),
    Task(
        "sort_numbers",
        "Sort numbers by size",
        (
            need("numbers", NUMBERS, "The numbers"),
            need("order", one_of("ascending", "descending"), "Direction"),
        ),
        (
            "Sort {numbers} in {order} order",
            "Put the numbers {numbers} into {order} order",
            "Can you arrange {numbers} in {order} order?",
        ),
        lambda a, f: {"sorted": sorted(a["numbers"], reverse=a["order"] == "descending")},
        "In {order} order: {sorted}.",
        (Ask("Put some numbers into {order} order.", "Which numbers are they?", "{numbers}"),),
    ),
    Task(
        "percentage_of",
        "Compute a percentage of an amount",
        (need("percent", whole(5, 95, 5), "Percent"), need("amount", number(20, 900), "Amount")),
        (
            "What's [{percent} percent of {amount}]?",
            "How much is [{percent}% of {amount}]?",
            "Work out [{percent}% of {amount}]",
        ),
        lambda a, f: {"result": round(a["percent"] * a["amount"] / 100, 2)},
        "{percent} percent of {amount} is {result}.",
        (Ask("What's {percent} percent of my salary?", "How much do you earn?", "{amount}"),),
    ),
    Task(
        "split_bill",
        "Split a restaurant bill between people, with a tip",
        (
            need("total", number(20, 300, 2), "Amount of the bill"),
            need("people", count(2, 9), "Number of people"),
            may("tip_percent", whole(5, 20, 5), "Tip in percent"),
        ),
        (
            "Split a bill of ${total} between {people} people",
            "The bill is ${total} and there are {people} of us. What does each pay with a {tip_percent}% tip?",
            "Divide ${total} by {people} people including a {tip_percent} percent tip",
        ),
        lambda a, f: {"each": round(a["total"] * (1 + a.get("tip_percent", 0) / 100) / a["people"], 2)},
        "Each person pays ${each}.",
        (Ask("Split the bill of ${total}.", "Between how many people?", "{people}"),),
    ),
    Task(
        "square_root",
        "Compute the square root of a number",
        (need("number", whole(4, 900), "The number"),),
        (
            "What's the square root of [{number}]?",
            "Take the square root of [{number}]",
            "Which number times itself makes {number}?",
        ),
        lambda a, f: {"root": round(math.sqrt(a["number"]), 4)},
        "The square root of {number} is {root}.",
        (Ask("Take a square root for me.", "Of which number?", "{number}"),),
        "And of [{number}]?",
    ),
    Task(
        "area_of_rectangle",
        "Compute the area of a rectangle",
        (need("width", number(2, 30), "Width in meters"), need("height", number(2, 30), "Height in meters")),
        (
            "What's the area of a room that is [{width} by {height}] meters?",
            "Area of a rectangle, {width} m wide and {height} m high?",
            "My wall is {width} meters wide and {height} meters high. How big is its area?",
        ),
        lambda a, f: {"area": round(a["width"] * a["height"], 2)},
        "The area is {area} square meters.",
        (Ask("How big is a room that is {width} meters wide?", "And how long is it?", "{height} meters."),),
    ),
    Task(
        "circle_measure",
        "Compute the area or circumference of a circle",
        (need("radius", number(1, 50), "Radius"), need("measure", one_of("area", "circumference"), "What to compute")),
        (
            "What's the {measure} of a circle with radius [{radius}]?",
            "Compute the [{measure}] of a circle with a radius of {radius}",
        ),
        lambda a, f: {
            "result": round(math.pi * a["radius"] ** 2 if a["measure"] == "area" else math.tau * a["radius"], 2)
        },
        "The {measure} is {result}.",
        (Ask("Compute the {measure} of a circle.", "What is the radius?", "{radius}"),),
    ),
    Task(
        "is_prime",
        "Check whether a number is prime",
        (need("number", whole(11, 999, 2), "Number to check"),),
        (
            "Is [{number}] a prime number?",
            "Check whether [{number}] is prime",
            "Can {number} be divided, or is it prime?",
        ),
        lambda a, f: {"prime": all(a["number"] % d for d in range(2, math.isqrt(a["number"]) + 1))},
        lambda a, r: f"{a['number']} is {'a' if r['prime'] else 'not a'} prime number.",
        (),
        "And [{number}]?",
    ),
    Task(
        "roll_dice",
        "Roll some dice",
        (need("count", count(2, 6), "How many dice"), may("sides", whole(6, 20, 2), "Sides of each", 6)),
        (
            "Roll {count} dice",
            "Throw {count} dice with {sides} sides each",
            "Roll {count} {sides}-sided dice for me, please.",
        ),
        lambda a, f: {"rolls": [f.whole(1, a.get("sides", 6)) for _ in range(a["count"])]},
        lambda a, r: f"You rolled {', '.join(map(str, r['rolls']))}, which makes {sum(r['rolls'])}.",
        (Ask("Roll the dice.", "How many of them?", "{count}"),),
    ),
    Task(
        "loan_payment",
        "Compute the monthly payment of a loan",
        (
            need("amount", whole(5000, 300000, 5000), "Amount borrowed"),
            need("yearly_rate", number(2, 9), "Interest per year in percent"),
            need("years", whole(5, 30, 5), "Years to pay it back"),
        ),
        (
            "What's the monthly payment on a loan of ${amount} at {yearly_rate}% over {years} years?",
            "I want to borrow ${amount} for {years} years at {yearly_rate} percent. What would I pay a month?",
            "Compute the payments on [${amount} over {years} years at {yearly_rate}%]",
        ),
        lambda a, f: {"monthly": _loan(a["amount"], a["yearly_rate"], a["years"])},
        "You would pay ${monthly} a month.",
        (Ask("What would I pay a month on ${amount} at {yearly_rate}%?", "Over how many years?", "{years} years."),),
    ),
    Task(
        "random_number",
        "Draw a random whole number from a range",
        (need("low", count(1, 10), "Smallest number"), need("high", whole(20, 100, 10), "Largest number")),
        (
            "Pick a random number between {low} and {high}",
            "Give me a number [from {low} to {high}]",
            "Think of a number between {low} and {high}.",
        ),
        lambda a, f: {"number": f.whole(a["low"], a["high"])},
        "How about {number}?",
    ),
)
