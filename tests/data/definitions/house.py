"""Functions of a house, for the reader of signatures; never run."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal


class Mode(Enum):
    """How to heat."""

    ECO = "eco"
    COMFORT = "comfort"


@dataclass
class Lamp:
    """One lamp.

    Args:
        name: What people call it.
    """

    name: str
    brightness: int = 100


def set_heating(
    room: str,
    degrees: float = 20.5,
    mode: Mode = Mode.ECO,
    *,
    until: datetime.datetime | None = None,
) -> str:
    """Heat a room.

    The valve answers within a minute.

    Args:
        room (str): The room, as it is
            written on its door.
        degrees: Wanted temperature in Celsius.

    Returns:
        degrees: not a parameter any more.
    """
    return f"{room} {degrees} {mode} {until}"


def switch_lamps(lamps: list[Lamp], state: Literal["on", "off"]) -> int:
    """Switch lamps on or off.

    Parameters
    ----------
    lamps : list of Lamp
        All lamps that
        are meant.
    state
        What they shall be.

    Returns
    -------
    state
        How many there were.
    """
    return len(lamps) + len(state)


async def open_shutter(window: Annotated[str, "Which window."], percent: int = 100) -> None:
    """Open a shutter.

    :param int percent: How far,
        0 is closed.
    :returns: nothing
    """


def _hidden(x: int) -> int:
    """Private."""
    return x


def log(*lines: str) -> None:
    """Write lines."""


def untold(number: int) -> int:
    return number


def swap(pair: complex) -> complex:
    """Swap the parts of a number."""
    return pair
