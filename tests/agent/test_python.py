"""Python functions get converted arguments, and nothing invalid reaches them."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from agent.calls import Confirmation, run_call
from agent.python.tools import tool
from client.rows import call_fault
from core.conversation import Call
from tests.support.python_functions import (
    Place,
    called,
    drawn,
    exact,
    fed,
    field_defaults,
    get_weather,
    implicit,
    many,
    mixed,
    odd_names,
    orders,
    places,
    positional,
    result_of,
    times,
    untyped,
    walked,
)

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
            result = await run_call(
                {made.name: made}, Call(made.name, json.dumps(arguments), "1"), Confirmation(None), 1_000
            )
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
