"""Python functions become tools by their signatures, annotations and docstrings, and get converted arguments."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import functools
import inspect
import json
import math
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict, Union
from uuid import UUID

import jsonschema
import pytest
import typing_extensions
from pydantic import BaseModel, Field, TypeAdapter, field_validator

from agent import Agent
from agent.calls import run_call
from agent.events import ToolResult
from agent.python import PythonTool, tool
from agent.tools import Tool, ToolSourceError
from client.rows import call_fault
from core.conversation import Call
from json_schema.check import check_parameters
from schema import typescript


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
    return asyncio.run(run_call({made.name: made}, Call(made.name, text, "call_1"), None, 65_536))


def called(function: Callable[..., Any], **arguments: object) -> str:
    return result_of(tool(function), arguments).text


# Declarations


def test_a_function_is_declared_by_its_signature_and_docstring() -> None:
    declared = tool(get_weather).function
    assert declared.name == "get_weather"
    assert declared.description == "Get the weather forecast of a city. It is updated every hour."
    assert declared.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city, such as Paris."},
            "unit": {"$ref": "#/$defs/Unit", "description": "How to tell temperatures.", "default": "celsius"},
            "days": {"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
        },
        "required": ["city"],
        "additionalProperties": False,
        "$defs": {
            "Unit": {
                "type": "string",
                "enum": ["celsius", "fahrenheit"],
                "description": "A unit of temperature.",
            }
        },
    }


def test_the_model_reads_short_declarations() -> None:
    shown = typescript([tool(one).function for one in (get_weather, places, orders, fed)])
    assert (
        shown
        == """// Supported function definitions that should be called when necessary.
namespace functions {

// Get the weather forecast of a city. It is updated every hour.
type get_weather = (_: {
// The city, such as Paris.
city: string,
// How to tell temperatures. Default="celsius".
unit?: "celsius" | "fahrenheit",
// Default=3. Maximum=14 Minimum=1
days?: number,
}) => any;

// Plan a way.
type places = (_: {
// Where to begin.
start: {
    // In degrees.
    latitude: number,
    // Default=0.0.
    longitude?: number,
},
// Items: A place on earth.
stops?: {
    // In degrees.
    latitude: number,
    // Default=0.0.
    longitude?: number,
}[],
// Default="car".
mode?: "car" | "foot",
}) => any;

// Order.
type orders = (_: {
// What is ordered.
order: {
    // All items. Items: An item of an order.
    items: {
        // The article. Pattern=^[A-Z]{3}$
        sku: string,
        // Default=1. Minimum=1
        count?: number,
    }[],
    parent?: Order,
},
// Default=1.
level?: 1 | 2,
// Format=date
day?: string,
}) => any;

// Feed.
type fed = (_: {
pet: {
    kind: "cat",
} | {
    kind: "dog",
    // Default=[].
    tricks?: string[],
},
other?: {
    kind: "cat",
} | {
    kind: "dog",
    // Default=[].
    tricks?: string[],
},
}) => any;

} // namespace functions"""
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_declaration_passes_the_checks_of_a_request(function: Callable[..., Any]) -> None:
    declared = tool(function).function
    check_parameters(declared.parameters, owner="f", param="p")
    jsonschema.Draft202012Validator.check_schema(declared.parameters)
    assert '"title"' not in json.dumps(declared.parameters)
    assert declared.name in typescript([declared])


def test_descriptions_of_parameters() -> None:
    def f(
        a: Annotated[str, "The a."],
        b: Annotated[int, typing_extensions.Doc("The b.")] = 1,
        c: Annotated[Optional[str], "The c."] = None,  # noqa: UP045
        d: Annotated[str, Field(description="The d.")] = "",
        e: str = "",
        g: Annotated[str, Field(min_length=1)] = "x",
    ) -> None:
        """Do it.

        Args:
            a: not shown
            d: not shown
            e: The e.
            g: The g.
        """

    assert [one["description"] for one in properties_of(f).values()] == [f"The {name}." for name in "abcdeg"]


def test_defaults_are_shown_if_json_can_hold_them() -> None:
    place, unknown = Place(1), object()

    def f(a: int = unknown, b: float = math.nan, c: Place = place, d: Any = len, e: int | None = None) -> str:  # type: ignore[assignment]
        return f"{type(a)}, {b}, {c}, {d}, {e}"

    shown = {name: one.get("default", "none") for name, one in properties_of(f).items()}
    assert shown == {"a": "none", "b": "none", "c": {"latitude": 1, "longitude": 0.0}, "d": "none", "e": "none"}
    assert called(f) == f"{object}, nan, {Place(1)}, {len}, None"


def test_types_that_are_local_to_a_function_are_found() -> None:
    """`from __future__ import annotations` leaves names only, and those of a function are not in its module."""

    class Local(BaseModel):
        x: int

    def f(value: Local, others: list[Local] | None = None) -> str:
        return f"{value}"

    assert called(f, value={"x": 1}) == "x=1"
    assert Agent([f]).tools[0].function == tool(f).function


def test_a_name_or_a_description_can_be_given() -> None:
    @tool(name="best", description="Find.", confirm=True, timeout_s=1.5)
    def f(x: int) -> int:
        """Not this."""
        return x

    assert (f.name, f.function.description, f.needs_confirmation, f.timeout_s) == ("best", "Find.", True, 1.5)
    assert tool(lambda: 1, name="one").name == "one"


def test_a_tool_is_called_like_its_function() -> None:
    @tool
    def f(x: int, y: int = 2) -> int:
        return x + y

    assert isinstance(f, PythonTool) and f(1) == 3 and f(1, y=5) == 6


class Shop:
    def __init__(self) -> None:
        self.sold = 0

    def sell(self, count: int) -> int:
        """Sell."""
        self.sold += count
        return self.sold

    @classmethod
    def named(cls, x: int) -> str:
        """Name."""
        return f"{cls.__name__} {x}"

    @staticmethod
    def plain(x: int) -> int:
        """Plain."""
        return x

    def __call__(self, y: int) -> int:
        """Called."""
        return y


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> object:
        return f"<{function(*args, **kwargs)}>"

    return wrapper


@pytest.mark.parametrize(
    ("function", "name", "description", "text"),
    [
        (Shop().sell, "sell", "Sell.", "1"),
        (Shop.named, "named", "Name.", "Shop 1"),
        (Shop.plain, "plain", "Plain.", "1"),
        (Shop(), "Shop", "Called.", "1"),
        (wrapped(Shop.plain), "plain", "Plain.", "<1>"),
        (functools.partial(positional, 7), "positional", "", "7, 2, 1, 4"),
    ],
)
def test_whatever_can_be_called_is_a_tool(function: Callable[..., Any], name: str, description: str, text: str) -> None:
    made = tool(function)
    assert (made.name, made.function.description) == (name, description)
    first = "c" if isinstance(function, functools.partial) else next(iter(properties_of(function)))
    assert result_of(made, {first: 1}).text == text


def test_what_a_partial_has_set_is_not_shown() -> None:
    """A default in a schema is a text that the model reads, and a partial may hold a key."""

    def f(city: str, key: str) -> str:
        return f"{city} {key}"

    made = tool(functools.partial(f, key="s3cret"))
    assert "key" not in json.dumps(made.function.parameters) and result_of(made, {"city": "P"}).text == "P s3cret"
    assert "'key'" in result_of(made, {"city": "P", "key": "other"}).text


class Unknown:
    pass


def _star(*cities: str) -> None: ...
def _stars(**cities: str) -> None: ...
def _unknown(good: int, bad: Unknown) -> None: ...
def _callback(done: Callable[[int], int]) -> None: ...
def _undefined(x: Undefined) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _nested(x: dict[str, list[Unknown]]) -> None: ...
def _not_a_type(x: 5) -> None: ...  # type: ignore[valid-type]
def _unsatisfiable(x: Annotated[str, Field(pattern="(")]) -> None: ...
def größe(x: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_star, "_star: '*cities' stands for any number of arguments; a tool needs each by its name"),
        (_stars, "'**cities'"),
        (_unknown, "_unknown: parameter 'bad' has the type"),
        (_callback, "parameter 'done' has the type"),
        (_nested, "parameter 'x' has the type"),
        (_not_a_type, "parameter 'x'"),
        (_unsatisfiable, "'x'"),
        (_undefined, "_undefined: its type hints use 'Undefined', which is not defined; import it"),
        (größe, "'größe' cannot be a tool's name, which has at most 64 of the characters A-Z"),
        (lambda x: x, "'<lambda>' cannot be a tool's name"),
        (Shop.sell, "sell: it is a method without its object; use the bound method: tool(object.sell)"),
        (Shop.__dict__["named"], "cannot be called; name the method of its class: tool(Class.method)"),
        (5, "5 cannot be called; a tool is made of a function"),
        (max, "its signature cannot be read"),
        (print, "'*args'"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_an_error_of_one_line(function: Any, words: str) -> None:
    with pytest.raises(ToolSourceError) as raised:
        tool(function)
    assert words in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_the_error_for_a_type_names_what_is_supported() -> None:
    with pytest.raises(ToolSourceError, match=r"supported are str, int, .* dataclasses, pydantic models"):
        tool(_unknown)


# Calls


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (get_weather, {"city": "P", "unit": "fahrenheit"}, "P, <Unit.FAHRENHEIT: 'fahrenheit'>, 3"),
        (get_weather, {"city": "P", "days": 5.0}, "P, <Unit.CELSIUS: 'celsius'>, 5"),
        (places, {"start": {"latitude": 1}, "stops": [{"latitude": 2}]}, f"{Place(1.0)}, [{Place(2.0)}], car"),
        (places, {"start": {"latitude": 1}, "stops": None}, f"{Place(1.0)}, None, car"),
        (
            orders,
            {"order": {"items": [{"sku": "ABC"}], "parent": {"items": []}}, "level": 2, "day": "2026-01-02"},
            "{'items': [Item(sku='ABC', count=1)], 'parent': {'items': []}}, <Level.HIGH: 2>, "
            "datetime.date(2026, 1, 2)",
        ),
        (times, {"at": "2026-01-02T03:04:05Z"}, "2026-01-02T03:04:05+00:00, 08:00:00, 1 day, 0:00:00"),
        (times, {"at": "2026-01-02T03:04", "wait": "PT1H"}, "2026-01-02T03:04:00, 08:00:00, 1:00:00"),
        (
            exact,
            {"amount": 0.1, "account": "12345678123456781234567812345678", "path": "/b"},
            "Decimal('0.1'), 12345678-1234-5678-1234-567812345678, PosixPath('/b')",
        ),
        (
            many,
            {"names": ["b", "a"], "pair": [1, "x"], "table": {"1": [2]}, "more": [3]},
            "['a', 'b'], (1, 'x'), {1: [2.0]}, [3]",
        ),
        (drawn, {"points": [[1, 2], [3]]}, "[Point(x=1.0, y=2.0), Point(x=3.0, y=0.0)]"),
        (walked, {"node": {"value": 1, "children": [{"value": 2}]}}, ""),
        (fed, {"pet": {"kind": "dog", "tricks": ["sit"]}, "other": None}, "Dog(kind='dog', tricks=['sit']), None"),
        (mixed, {"value": "5"}, "'5', None"),
        (mixed, {"value": [True], "letter": "b"}, "[True], b"),
        (odd_names, {"_x": 1, "model_config": "c", "schema": "s", "json": True, "self": 3}, "1, c, s, True, 1, 3"),
        (positional, {"a": 1, "c": 5}, "1, 2, 5, 4"),
        (untyped, {"a": {"b": [None]}}, "{'b': [None]}, 2, x, None"),
        (field_defaults, {"x": 3}, "3, a"),
        (implicit, {"x": None}, f"None, {Place(1)}"),
    ],
)
def test_a_function_gets_the_types_that_it_names(
    function: Callable[..., Any], arguments: dict[str, object], text: str
) -> None:
    result = result_of(tool(function), arguments)
    assert not result.is_error and (not text or result.text == text)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (times, {"at": "yesterday"}, "not valid: at: Input should be a valid datetime"),
        (times, {"at": "1700000000"}, "$.at: '1700000000' is not a 'date-time'"),
        (orders, {"order": {"items": []}, "day": "1699920000"}, "$.day: '1699920000' is not a 'date'"),
        (times, {"at": "2026-01-02T03:04:05Z", "wait": "3600"}, "wait: Input should be a valid duration"),
        (exact, {"amount": "1", "account": "x"}, "amount"),
        (exact, {"amount": 1, "account": "x"}, "account: Input should be a valid UUID"),
        (orders, {"order": {"items": [{"sku": "ABC", "count": 3}]}}, "order.items.0.count: Value error, must be even"),
        (many, {"names": ["a"], "pair": [1, "x"], "table": {"x": []}}, "table.x"),
        (get_weather, {"city": "P", "days": "3"}, "'3' is not of type 'integer'"),
        (get_weather, {"city": "P", "days": True}, "True is not of type 'integer'"),
        (get_weather, {"city": "P", "unit": "kelvin"}, "kelvin"),
        (get_weather, {"city": "P", "state": "x"}, "state"),
        (get_weather, {}, "'city' is a required property"),
        (untyped, {"a": "\ud800"}, "not valid"),
    ],
)
def test_arguments_that_do_not_fit_are_a_short_error(
    function: Callable[..., Any], arguments: dict[str, object], words: str
) -> None:
    result = result_of(tool(function), arguments)
    assert result.is_error and words in result.text
    assert result.text.startswith("Error: not run: ") and "http" not in result.text and "\n" not in result.text
    assert len(result.text) < 300


VALID: dict[Callable[..., Any], dict[str, Any]] = {
    get_weather: {"city": "P", "unit": "fahrenheit", "days": 3},
    places: {"start": {"latitude": 1}, "stops": [{"latitude": 2.5, "longitude": 0}], "mode": "foot"},
    orders: {"order": {"items": [{"sku": "ABC", "count": 2}]}, "level": 2, "day": "2026-01-02"},
    times: {"at": "2026-01-02T03:04:05Z", "clock": "03:04", "wait": "P1D"},
    exact: {"amount": 1.5, "account": "12345678123456781234567812345678", "path": "/a"},
    many: {"names": ["a", "b"], "pair": [1, "x"], "table": {"1": [2]}, "more": [1]},
    drawn: {"points": [[1, 2], [3]]},
    walked: {"node": {"value": 1, "children": [{"value": 2, "children": []}]}},
    fed: {"pet": {"kind": "dog", "tricks": ["sit"]}, "other": {"kind": "cat"}},
    mixed: {"value": [True, False], "letter": "a"},
    odd_names: {"_x": 1, "model_config": "a", "schema": "b", "json": True, "copy": 1, "self": 2},
    positional: {"a": 1, "b": 2, "c": 3, "d": 4},
    field_defaults: {"x": 3, "y": "abc"},
    implicit: {"x": 1, "y": {"latitude": 1}},
}
ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2.5,
    5.0,
    10**20,
    "",
    "a",
    "celsius",
    "cat",
    "ABC",
    "5",
    "true",
    "null",
    "é",
]
ODD_VALUES += ["2026-01-02", "2026-01-02T03:04:05Z", "1700000000", "1699920000", "03:04", "P1D", "1.5", "\u0000"]
ODD_VALUES += ["12345678123456781234567812345678", "__class__", "lambda: 1", "../../etc", [], {}, [1], ["a"], {"x": 1}]


def changed(value: Any, chance: random.Random) -> Any:
    """Return a copy of valid arguments in which any value, at any depth, may be another, missing or added."""
    if chance.random() < 0.1:
        return chance.choice(ODD_VALUES)
    if isinstance(value, list):
        kept = [changed(one, chance) for one in value if chance.random() < 0.95]
        return kept + [chance.choice(ODD_VALUES)] * (chance.random() < 0.05)
    if isinstance(value, dict):
        members = {name: changed(one, chance) for name, one in value.items() if chance.random() < 0.95}
        return {**members, chance.choice(["zzz", "p0", "kind", "x"]): 1} if chance.random() < 0.03 else members
    return value


@pytest.mark.parametrize("function", VALID)
def test_nothing_invalid_reaches_a_function(function: Callable[..., Any]) -> None:
    """500 random arguments for each tool: those that run have the declared types, and the schema allows them."""
    chance = random.Random(function.__name__)
    reached: list[dict[str, Any]] = []
    signature = inspect.signature(function, eval_str=True)

    @functools.wraps(function)
    def noted(*args: Any, **kwargs: Any) -> str:
        reached.append(signature.bind(*args, **kwargs).arguments)
        return ""

    made = tool(noted)
    types = {
        one.name: TypeAdapter(one.annotation | None if one.default is None else one.annotation)
        for one in signature.parameters.values()
        if function is not orders or one.name != "order"  # pydantic takes no typing.TypedDict before Python 3.12
    }

    async def run() -> tuple[int, int]:
        num_runs = num_errors = 0
        for _ in range(500):
            arguments = {name: changed(value, chance) for name, value in VALID[function].items()}
            arguments = {name: value for name, value in arguments.items() if chance.random() < 0.95}
            reached.clear()
            result = await run_call({made.name: made}, Call(made.name, json.dumps(arguments), "1"), None, 1_000)
            assert bool(reached) != result.is_error
            if not reached:
                num_errors += 1
                continue
            num_runs += 1
            assert not call_fault([made.function], made.name, arguments)
            for name, value in reached[0].items():
                if name in types and name != "more":
                    types[name].validate_python(value, strict=True)
        return num_runs, num_errors

    num_runs, num_errors = asyncio.run(run())
    assert num_runs > 20 and num_errors > 20


# Kinds of functions


def test_an_async_function_runs_in_the_running_loop() -> None:
    async def main() -> None:
        here = asyncio.get_running_loop()

        async def f(x: int) -> int:
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is here
            return x + 1

        assert await tool(f).run({"x": 1}) == "2"
        assert await tool(functools.partial(f, 5)).run({}) == "6"

    asyncio.run(main())


def test_a_plain_function_that_returns_a_coroutine_is_awaited() -> None:
    async def later(x: int) -> int:
        return x

    def f(x: int) -> Any:
        return later(x)

    assert called(f, x=1) == "1"


def test_an_async_generator_is_read_up_to_the_limit() -> None:
    closed = []

    async def numbers() -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 1_000
        finally:
            closed.append(True)

    result = result_of(tool(numbers), {})
    assert len(result.text) == 65_536 and "cut" in result.text and closed == [True]

    async def few() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert called(few) == "[1, 2]"


def test_context_variables_reach_the_thread() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")

    def f() -> str:
        return user.get()

    async def main() -> object:
        user.set("ada")
        return await tool(f).run({})

    assert asyncio.run(main()) == "ada"
