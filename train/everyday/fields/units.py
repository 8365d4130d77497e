"""Tasks about units and currencies. Their results are computed from the arguments."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, need
from train.everyday.values import number, one_of, whole

LENGTHS = {"meters": 1.0, "kilometers": 1000.0, "miles": 1609.344, "feet": 0.3048, "inches": 0.0254}
WEIGHTS = {"kilograms": 1.0, "grams": 0.001, "pounds": 0.45359237, "ounces": 0.028349523}
VOLUMES = {"liters": 1.0, "milliliters": 0.001, "gallons": 3.785411784, "cups": 0.2365882365}
RATES = {"USD": 1.0, "EUR": 1.08, "GBP": 1.27, "JPY": 0.0067, "CHF": 1.12, "CAD": 0.73, "INR": 0.012, "AUD": 0.66}
CURRENCY = one_of("USD", "CHF", "CAD", EUR="euros", GBP="pounds", JPY="yen", INR="rupees", AUD="Australian dollars")


def _converted(factors: dict[str, float], value: float, source: str, target: str) -> float:
    return round(value * factors[source] / factors[target], 2)


def _temperature(value: float, unit: str) -> float:
    return round((value - 32) * 5 / 9, 1) if unit == "celsius" else round(value * 9 / 5 + 32, 1)


FIELD = (
    Task(
        "convert_length",
        "Convert a length from one unit to another",
        (
            need("value", number(1, 200), "The length"),
            need("from_unit", one_of(*LENGTHS), "Unit of the value"),
            need("to_unit", one_of(*LENGTHS), "Unit wanted"),
        ),
        (
            "Convert [{value} {from_unit} to {to_unit}]",
            "How many {to_unit} are [{value} {from_unit}]?",
            "What is [{value} {from_unit} in {to_unit}]?",
        ),
        lambda a, f: {"converted": _converted(LENGTHS, a["value"], a["from_unit"], a["to_unit"])},
        "{value} {from_unit} are {converted} {to_unit}.",
        (Ask("Convert {value} {from_unit}, please.", "To which unit?", "To {to_unit}."),),
    ),
    Task(
        "convert_weight",
        "Convert a weight from one unit to another",
        (
            need("value", number(1, 150), "The weight"),
            need("source", one_of(*WEIGHTS), "Unit of the value"),
            need("target", one_of(*WEIGHTS), "Unit wanted"),
        ),
        (
            "How many {target} are [{value} {source}]?",
            "Convert [{value} {source} to {target}]",
            "The scale says {value} {source}. What is that in {target}?",
        ),
        lambda a, f: {"weight": _converted(WEIGHTS, a["value"], a["source"], a["target"])},
        "That is {weight} {target}.",
        (Ask("I need {value} {source} in another unit.", "In which one?", "In {target}."),),
    ),
    Task(
        "convert_volume",
        "Convert a volume between kitchen and metric units",
        (
            need("amount", number(1, 20), "The volume"),
            need("unit", one_of(*VOLUMES), "Unit of the amount"),
            need("wanted", one_of(*VOLUMES), "Unit wanted"),
        ),
        (
            "What are [{amount} {unit} in {wanted}]?",
            "Convert [{amount} {unit} into {wanted}]",
            "The recipe asks for {amount} {unit}. How many {wanted} is that?",
        ),
        lambda a, f: {"volume": _converted(VOLUMES, a["amount"], a["unit"], a["wanted"])},
        "{amount} {unit} are {volume} {wanted}.",
    ),
    Task(
        "convert_temperature",
        "Convert a temperature between Celsius and Fahrenheit",
        (
            need("degrees", whole(-10, 110), "The temperature"),
            need("to", one_of(celsius="Celsius", fahrenheit="Fahrenheit"), "Scale wanted"),
        ),
        (
            "What's [{degrees} degrees] in {to}?",
            "Convert [{degrees} degrees to {to}]",
            "The oven should be at {degrees} degrees. What is that in {to}?",
        ),
        lambda a, f: {"converted": _temperature(a["degrees"], a["to"])},
        "{degrees} degrees are {converted} degrees {to}.",
        (Ask("Convert a temperature to {to}.", "How many degrees?", "{degrees}"),),
    ),
    Task(
        "convert_currency",
        "Convert money from one currency to another",
        (
            need("amount", number(5, 900), "Amount of money"),
            need("from_currency", CURRENCY, "Code of the currency that the amount is in"),
            need("to_currency", CURRENCY, "Code of the currency wanted"),
        ),
        (
            "Convert [{amount} {from_currency} to {to_currency}]",
            "How much is {amount} {from_currency} in [{to_currency}]?",
            "I have {amount} {from_currency} left. What is that in {to_currency}?",
            "What are [{amount} {from_currency}] worth in {to_currency}?",
        ),
        lambda a, f: {"converted": _converted(RATES, a["amount"], a["from_currency"], a["to_currency"])},
        "{amount} {from_currency} are {converted} {to_currency}.",
        (Ask("Convert {amount} {from_currency}.", "Into which currency?", "Into {to_currency}."),),
    ),
)
