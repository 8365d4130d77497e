"""Tools for servers in tests: some that work, and one for each way in which a tool can fail."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from agent.python import tool
from agent.tools import Tool, ToolError
from core.conversation import Function

Json = dict[str, Any]

RAN: list[str] = []  # the calls that ran, in order
SOURCE = "my_tools.py"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    RAN.append(f"add {a} {b}")
    return a + b


async def weather(city: str) -> str:
    """The weather of a city."""
    RAN.append(f"weather {city}")
    return f"{city}: rain"


def pay(amount: int) -> str:
    """Pay an amount of money."""
    RAN.append(f"pay {amount}")
    return "paid"


def raises() -> None:
    """Raise an exception whose text has a path."""
    raise FileNotFoundError(2, "No such file or directory", "/home/ada/secrets/accounts.db")


def refuses() -> None:
    """Fail with a text for the model."""
    raise ToolError("the account is closed")


def leaves() -> None:
    """End the process, as a script might."""
    sys.exit(3)


def hangs() -> None:
    """Take longer than a call may."""
    RAN.append("hangs")
    time.sleep(3)


async def blocks() -> None:
    """Block the event loop."""
    time.sleep(3)  # noqa: ASYNC251  (that is the fault)


def huge() -> str:
    """Return more text than a model can read."""
    return "x" * 100_000_000


def odd() -> object:
    """Return a value that is no JSON."""
    return {"a": float("nan"), "b": b"\xff", "c": {1, 2}}


FAST: tuple[Callable[..., Any], ...] = (add, weather, raises, refuses, leaves, huge, odd)
SERVER_TOOLS: tuple[Tool, ...] = tuple(
    replace(made, source=SOURCE)
    for made in (
        *map(tool, FAST),
        replace(tool(pay), needs_confirmation=True),
        replace(tool(hangs), timeout_s=0.2),
        replace(tool(blocks), timeout_s=0.2),
    )
)


def served(name: str, *, source: str = SOURCE, needs_confirmation: bool = False) -> Tool:
    """Return a tool without parameters that returns its name."""

    async def run(_: Json) -> str:
        return name

    ran: Callable[[Json], Awaitable[object]] = run
    return Tool(Function(name), ran, source=source, needs_confirmation=needs_confirmation)
