"""A file of tools as `--tools` takes it: some that work, and one for each way in which a tool can fail."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator

from agent import ToolError, tool
from tests.support.server_tools import RAN


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    RAN.append(f"add {a} {b}")
    return a + b


@tool
async def weather(city: str) -> str:
    """The weather of a city."""
    RAN.append(f"weather {city}")
    return f"{city}: rain"


@tool(confirm=True)
def pay(amount: int) -> str:
    """Pay an amount of money."""
    RAN.append(f"pay {amount}")
    return "paid"


@tool
def raises() -> None:
    """Raise an exception whose text has a path."""
    raise FileNotFoundError(2, "No such file or directory", "/home/ada/secrets/accounts.db")


@tool
def refuses() -> None:
    """Fail with a text for the model."""
    raise ToolError("the account is closed")


@tool
def leaves() -> None:
    """End the process, as a script might."""
    sys.exit(3)


@tool(timeout_s=0.2)
def hangs() -> None:
    """Take longer than a call may."""
    time.sleep(3)


@tool(timeout_s=0.2)
async def blocks() -> None:
    """Block the event loop."""
    time.sleep(3)  # noqa: ASYNC251  (that is the fault)


@tool
def huge() -> str:
    """Return more text than a model can read."""
    return "x" * 100_000_000


@tool
def endless() -> Iterator[str]:
    """Return an iterator without an end."""
    return itertools.repeat("x" * 1000)


@tool
def binary() -> bytes:
    """Return bytes."""
    return b"\xff\x00"


@tool
def cycle() -> object:
    """Return a value that contains itself."""
    whole: list[object] = []
    whole.append(whole)
    return whole


@tool
def odd() -> object:
    """Return a value that JSON does not know."""
    return {"a": float("nan"), "c": {1, 2}}
