"""Three Python functions become an agent. Run `python3 examples/three_functions.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent import Agent


def get_price(product: str) -> str:
    """Get the price of a product."""
    return {"apples": "2 euros", "bread": "3 euros"}.get(product.lower(), "not sold here")


def get_opening_hours(day: str) -> str:
    """Get the opening hours of the shop on a day of the week."""
    return "closed" if day.lower() == "sunday" else "9:00 to 18:00"


def add_to_cart(product: str, quantity: int) -> str:
    """Put a product into the shopping cart."""
    return f"{quantity} {product} are in the cart"


print(Agent([get_price, get_opening_hours, add_to_cart], temperature=0).run("When is the shop open on Sunday?").text)
