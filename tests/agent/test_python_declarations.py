"""Python functions become tools by their signatures, annotations and docstrings."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Annotated, Any, Optional

import jsonschema
import pytest
import typing_extensions
from pydantic import BaseModel, Field

from agent import Agent
from agent.python.tools import PythonTool, tool
from agent.tools import ToolSourceError
from json_schema.check import check_parameters
from schema import typescript
from tests.support.python_functions import (
    FUNCTIONS,
    Item,
    Place,
    called,
    fed,
    get_weather,
    orders,
    places,
    positional,
    properties_of,
    result_of,
)


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


def test_an_ellipsis_is_no_default() -> None:
    def f(x: int = ..., y: str = Field(...)) -> None: ...

    assert (tool(f).function.parameters or {})["required"] == ["x", "y"]


def test_types_that_are_local_to_a_function_are_found() -> None:
    """`from __future__ import annotations` leaves names only, and those of a function are not in its module."""

    class Local(BaseModel):
        x: int

    def f(value: Local, others: list[Local] | None = None) -> str:
        return f"{value}"

    assert called(f, value={"x": 1}) == "x=1"
    assert Agent([f]).tools[0].function == tool(f).function


def test_types_inside_a_type_may_be_names() -> None:
    """Without `from __future__ import annotations`, a hint such as list["Item"] keeps the name of a later class."""

    def f(items: Any, other: Any = None) -> str:
        return f"{items}, {other}"

    f.__annotations__.update(items=list["Item"], other=Optional["Place"])
    text = "[Item(sku='ABC', count=1)], Place(latitude=1.0, longitude=0.0)"
    assert called(f, items=[{"sku": "ABC"}], other={"latitude": 1}) == text


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
def _self(x: list[typing_extensions.Self]) -> None: ...  # type: ignore[misc]
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
        (_self, "parameter 'x' has the type list[typing.Self], which cannot be written as JSON Schema (Self names"),
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
