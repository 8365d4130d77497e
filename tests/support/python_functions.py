"""Functions of many kinds and types for tests of Python tools, and the results of calls of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict, Union
from uuid import UUID

from pydantic import BaseModel, Field, field_validator

from agent.calls import Confirmation, run_call
from agent.events import ToolResult
from agent.python.tools import tool
from agent.tools import Tool
from core.conversation import Call


class Unit(Enum):
    """A unit of temperature."""

    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Place:
    """A place on earth.

    Attributes:
        latitude: In degrees.
    """

    latitude: float
    longitude: float = 0.0


class Item(BaseModel):
    """An item of an order."""

    sku: Annotated[str, Field(pattern="^[A-Z]{3}$", description="The article.")]
    count: int = Field(1, ge=1)

    @field_validator("count")
    @classmethod
    def _even(cls, count: int) -> int:
        if count > 1 and count % 2:
            raise ValueError("must be even")
        return count


class Order(TypedDict):
    """An order.

    Args:
        items: All items.
    """

    items: list[Item]
    parent: NotRequired[Order]


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


def get_weather(city: str, unit: Unit = Unit.CELSIUS, *, days: Annotated[int, Field(ge=1, le=14)] = 3) -> str:
    """Get the weather forecast
    of a city.

    It is updated every hour.

    Args:
        city: The city, such as Paris.
        unit (Unit): How to tell
            temperatures.

    Returns:
        The forecast.
    """
    return f"{city}, {unit!r}, {days}"


def places(start: Place, stops: list[Place] | None = None, mode: Literal["car", "foot"] = "car") -> str:
    """Plan a way.

    Parameters
    ----------
    start : Place
        Where to begin.
    """
    return f"{start}, {stops}, {mode}"


def orders(order: Order, level: Level = Level.LOW, day: dt.date | None = None) -> str:
    """Order.

    :param order: What is ordered.
    """
    return f"{order}, {level!r}, {day!r}"


def times(at: dt.datetime, clock: dt.time = dt.time(8), wait: dt.timedelta = dt.timedelta(days=1)) -> str:
    return f"{at.isoformat()}, {clock}, {wait}"


def exact(amount: Decimal, account: UUID, path: Path = Path("/a")) -> str:
    return f"{amount!r}, {account}, {path!r}"


def many(names: set[str], pair: tuple[int, str], table: dict[int, list[float]], more: Iterable[int] = ()) -> str:
    return f"{sorted(names)}, {pair}, {table}, {more}"


def drawn(points: list[Point]) -> str:
    return f"{points}"


def walked(node: Node) -> str:
    return f"{node!r}"


def fed(pet: Annotated[Cat | Dog, Field(discriminator="kind")], other: Union[Cat, Dog, None] = None) -> str:  # noqa: UP007
    """Feed."""
    return f"{pet!r}, {other!r}"


def mixed(value: int | str | list[bool], letter: Optional[Literal["a", "b"]] = None) -> str:  # noqa: UP045
    return f"{value!r}, {letter}"


def odd_names(_x: int, model_config: str, schema: str, json: bool, copy: int = 1, self: int = 2) -> str:
    return f"{_x}, {model_config}, {schema}, {json}, {copy}, {self}"


def positional(a: int, b: int = 2, /, c: int = 3, *, d: int = 4) -> str:
    return f"{a}, {b}, {c}, {d}"


def untyped(a, b=2, c="x", d=None):  # type: ignore[no-untyped-def]
    return f"{a!r}, {b}, {c}, {d}"


def field_defaults(x: int = Field(ge=3, description="Big."), y: str = Field("a", max_length=3)) -> str:
    return f"{x}, {y}"


def implicit(x: int = None, y: Place = Place(1)) -> str:  # type: ignore[assignment]  # noqa: B008, RUF013
    return f"{x}, {y}"


FUNCTIONS: list[Callable[..., Any]] = [get_weather, places, orders, times, exact, many, drawn, walked, fed, mixed]
FUNCTIONS += [odd_names, positional, untyped, field_defaults, implicit]


def properties_of(function: Callable[..., Any]) -> dict[str, Any]:
    properties: dict[str, Any] = (tool(function).function.parameters or {})["properties"]
    return properties


def result_of(made: Tool, arguments: object) -> ToolResult:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return asyncio.run(run_call({made.name: made}, Call(made.name, text, "call_1"), Confirmation(None), 65_536))


def called(function: Callable[..., Any], **arguments: object) -> str:
    return result_of(tool(function), arguments).text
