"""Two agents with one role each: a clerk reads an order, a checker looks it up. Run `python3 examples/two_roles.py`.

The clerk must call its function (`tool_choice`), so that its answer is data. The checker gets this data only, not the
letter: what a stranger writes to the clerk cannot talk to the checker.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent import Agent

STOCK = {"desk lamp": 5, "chair": 0}
ORDERS: list[tuple[str, int]] = []


def take_order(product: str, quantity: int) -> str:
    """Take the order of a customer."""
    ORDERS.append((product, quantity))
    return "taken"


def check_stock(product: str) -> dict[str, int]:
    """Check how many pieces of a product are in stock."""
    return {"in stock": STOCK.get(product.lower().removesuffix("s"), 0)}


LETTER = "Please send us 3 desk lamps. Best wishes, Eva"

if __name__ == "__main__":
    clerk = Agent([take_order], temperature=0, tool_choice="required")
    checker = Agent([check_stock], temperature=0)
    print(f"letter   {LETTER}")
    clerk.run(LETTER)
    for product, quantity in ORDERS:
        print(f"clerk    {quantity} x {product}")
        print(f"checker  {checker.run(f'How many {product} are in stock?').text}")
