"""Whatever a tool returns or raises becomes a bounded text, and the agent goes on."""

from __future__ import annotations

import asyncio
import collections
import datetime as dt
import decimal
import enum
import fractions
import itertools
import json
import math
import pathlib
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, field_serializer

from agent.events import AgentEnd, ToolResult
from agent.loop import Limits, answer
from agent.python.tools import tool
from agent.results import MAX_ERROR, as_text, error_text
from agent.tools import ToolError
from core.conversation import Message
from tests.support.scripted_chat import ScriptedChat


class Unit(enum.Enum):
    CELSIUS = "celsius"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Place:
    name: str
    unit: Unit = Unit.CELSIUS


@dataclass(slots=True)
class Slotted:
    x: object


class Point(NamedTuple):
    x: int
    y: float


class User(BaseModel):
    name: str
    key: SecretStr = SecretStr("s3cret")
    hidden: str = Field(default="hidden", exclude=True)
    born: dt.date = dt.date(2000, 1, 2)
    height: float = math.nan

    @field_serializer("name")
    def _upper(self, name: str) -> str:
        return name.upper()


class Loose(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    x: Any


class Text(str):
    pass


class Told:
    def __str__(self) -> str:
        return "told"


class Silent:
    pass


class Broken:
    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


def itself() -> list[object]:
    value: list[object] = []
    value.append({"a": value})
    return value


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def failing() -> Iterator[int]:
    yield 1
    raise ValueError("no more")


RETURNED: list[tuple[Callable[[], object], str]] = [
    (lambda: "plain", "plain"),
    (lambda: "", ""),
    (lambda: Text("a text"), "a text"),
    (lambda: None, "null"),
    (lambda: True, "true"),
    (lambda: 5, "5"),
    (lambda: -0.5, "-0.5"),
    (lambda: math.nan, "null"),
    (lambda: {"a": [math.inf, -math.inf]}, '{"a": [null, null]}'),
    (lambda: {"ä": "ö\n\"'"}, '{"ä": "ö\\n\\"\'"}'),
    (lambda: {1: 2, None: 3, False: 4, (5, 6): 7}, '{"1": 2, "null": 3, "false": 4, "(5, 6)": 7}'),
    (lambda: {Unit.CELSIUS: 8, 2.5: 9, dt.date(2026, 1, 2): 10}, '{"celsius": 8, "2.5": 9, "2026-01-02": 10}'),
    (lambda: [1, (2, [3])], "[1, [2, [3]]]"),
    (lambda: {3, 1, 2}, "[1, 2, 3]"),
    (lambda: frozenset({"b"}), '["b"]'),
    (lambda: {"a": {}}, '{"a": {}}'),
    (lambda: [[], {}], "[[], {}]"),
    (lambda: Place("Paris"), '{"name": "Paris", "unit": "celsius"}'),
    (lambda: Slotted([Place("P")]), '{"x": [{"name": "P", "unit": "celsius"}]}'),
    (lambda: Point(1, 2.5), '{"x": 1, "y": 2.5}'),
    (lambda: Unit.CELSIUS, '"celsius"'),
    (lambda: [Level.LOW], "[1]"),
    (lambda: dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), '"2026-01-02T03:04:00Z"'),
    (lambda: [dt.date(2026, 1, 2), dt.time(3, 4), dt.timedelta(hours=1)], '["2026-01-02", "03:04:00", "PT1H"]'),
    (lambda: decimal.Decimal("1.50"), '"1.50"'),
    (lambda: uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    (lambda: pathlib.PurePosixPath("/a/b"), '"/a/b"'),
    (lambda: fractions.Fraction(1, 3), '"1/3"'),
    (lambda: 1 + 2j, '"1+2j"'),
    (lambda: User(name="ada"), '{"name": "ADA", "key": "**********", "born": "2000-01-02", "height": null}'),
    (lambda: [Loose(x=Told())], '[{"x": "told"}]'),
    (lambda: MappingProxyType({"a": 1}), '{"a": 1}'),
    (lambda: collections.deque([1, 2]), "[1, 2]"),
    (lambda: collections.Counter("aab"), '{"a": 2, "b": 1}'),
    (lambda: {"a": 1}.keys(), '["a"]'),
    (lambda: range(3), "[0, 1, 2]"),
    (lambda: (n * n for n in range(3)), "[0, 1, 4]"),
    (lambda: {"rows": map(str, range(2))}, '{"rows": ["0", "1"]}'),
    (lambda: np.float32(1.5), "1.5"),
    (lambda: {"n": np.int64(3), "a": np.arange(4).reshape(2, 2)}, '{"n": 3, "a": [[0, 1], [2, 3]]}'),
    (lambda: [np.float64("nan"), np.bool_(True)], "[null, true]"),
    (lambda: Told(), '"told"'),
    (lambda: "\ud800 half", "\ufffd half"),
    (lambda: ["\udfff"], '["\ufffd"]'),
    (lambda: ValueError("returned"), '"returned"'),
    (lambda: 10**4000, "1" + "0" * 4000),
    (lambda: nested(100), "[" * 100 + "1" + "]" * 100),
]

REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: b"\x89PNG" * 30, "Error: the result holds 120 bytes of binary data; a tool returns text"),
    (lambda: {"image": bytearray(3)}, "3 bytes of binary data"),
    (lambda: memoryview(b"ab"), "2 bytes of binary data"),
    (itself, "the result contains itself"),
    (lambda: nested(101), "nests deeper than 100 levels"),
    (lambda: nested(100_000), "nests deeper"),
    (lambda: 10**5000, "more than 4,300 digits"),
    (lambda: Silent(), "holds a Silent, which has no JSON form; a tool returns text"),
    (lambda: [lambda: 1], "holds a function, which has no JSON form"),
    (lambda: [object()], "holds a object"),
    (lambda: Broken(), "Error: RuntimeError: no text"),
    (lambda: [Loose(x=Broken())], "no text"),
    (failing, "Error: ValueError: no more"),
    (lambda: [1, failing()], "Error: ValueError: no more"),
    (lambda: Loose(x=["x" * 100] * 200_000), "holds a Loose of more than 524,288 values and characters; return less"),
]


def results_of(function: Callable[[], object], limits: Limits | None = None) -> list[ToolResult]:
    """Let an agent call a function, and return the results, after a check that the agent answered."""

    async def run() -> list[ToolResult]:
        model = ScriptedChat([("f", {})], "Done.")
        made = [tool(function, name="f")]
        found = [one async for one in answer(model, [Message("user", "?")], made, limits=limits or Limits())]
        end = found[-1]
        assert isinstance(end, AgentEnd) and end.messages[-1].content == "Done."
        return [one for one in found if isinstance(one, ToolResult)]

    return asyncio.run(run())


@pytest.mark.parametrize(("function", "text"), RETURNED)
def test_a_returned_value_is_text_for_the_model(function: Callable[[], object], text: str) -> None:
    (result,) = results_of(function)
    assert not result.is_error
    assert result.text == text
    if not isinstance(function(), str):
        json.loads(result.text, parse_constant=pytest.fail)
    result.text.encode()


@pytest.mark.parametrize(("function", "words"), REFUSED)
def test_a_value_without_a_text_is_an_error_and_the_agent_goes_on(function: Callable[[], object], words: str) -> None:
    (result,) = results_of(function)
    assert result.is_error and words in result.text
    assert len(result.text) <= MAX_ERROR and "\n" not in result.text


# Sizes


def test_a_long_text_is_cut_with_its_length() -> None:
    text = as_text("x" * 1_000_000, 1_000)
    assert len(text) == 1_000 and text.endswith("xxx\n[cut: the result has 1,000,000 characters]")


def test_a_long_value_is_cut() -> None:
    text = as_text(list(range(100_000)), 1_000)
    assert len(text) == 1_000 and text.endswith("\n[cut: the result has more than 1,000 characters]")


def chunks() -> Iterator[str]:
    """Yield 1 GB of text."""
    for _ in range(1_000):
        yield "x" * 1_000_000


ENORMOUS: list[Callable[[], object]] = [
    chunks,
    lambda: itertools.count(),
    lambda: itertools.repeat([]),
    lambda: {"a": itertools.repeat("")},
    lambda: np.broadcast_to(np.zeros(1), (10_000, 100_000)),
    lambda: {"rows": [{"x": [0] * 1_000}] * 1_000_000},
    lambda: range(10**15),
    lambda: collections.UserDict({"a": chunks()}),
    lambda: set(range(200_000)),
    lambda: Loose(x=[[[[0] * 100] * 100] * 100] * 100),
]


def peak_memory(*, reset: bool = True) -> int:
    """Return the peak of this process's memory in bytes since the last reset."""
    if reset:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not pathlib.Path("/proc/self/clear_refs").exists(), reason="the peak of memory is Linux's")
@pytest.mark.parametrize("function", ENORMOUS)
def test_an_enormous_value_takes_little_time_and_memory(function: Callable[[], object]) -> None:
    """1 GB that a generator yields raises the memory by less than 8 MiB, and no JSON of it is made."""
    results_of(lambda: ["x" * 100] * 1_000)  # loads what is loaded once
    held = function()
    before, started = peak_memory(), time.monotonic()
    (result,) = results_of(lambda: held)
    assert time.monotonic() - started < 10
    assert peak_memory(reset=False) - before < 8 * 2**20
    assert len(result.text) <= 65_536
    assert "[cut: the result has more than 65,536 characters]" in result.text or "return less" in result.text


def test_the_limit_is_the_agents() -> None:
    (result,) = results_of(lambda: list(range(1_000)), Limits(max_result=100))
    assert len(result.text) == 100
    (result,) = results_of(lambda: ["x" * 1_000] * 100, Limits(max_result=200_000))
    assert len(json.loads(result.text)) == 100


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters(), max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.integers(0, 60))
@settings(deadline=None)
def test_what_json_can_hold_is_written_as_json_does_within_the_limit(value: object, limit: int) -> None:
    whole = as_text(value, 1_000_000)
    if not isinstance(value, str):
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        assert whole == re.sub("[\ud800-\udfff]", "\ufffd", json.dumps(finite, ensure_ascii=False))
    cut = as_text(value, limit)
    assert len(cut) <= limit and (cut == whole or len(whole) > limit)


# Errors


class Unspeakable(Exception):
    def __str__(self) -> NoReturn:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("wrong"), "Error: ValueError: wrong"),
        (ValueError(), "Error: ValueError"),
        (ToolError("said plainly"), "Error: said plainly"),
        (KeyError("x"), "Error: KeyError: 'x'"),
        (Unspeakable(), "Error: Unspeakable: its message cannot be read"),
        (ValueError("\ud800"), "Error: ValueError: \ufffd"),
        (StopIteration(), "Error: StopIteration"),
        (SystemExit(3), "Error: SystemExit: 3"),
        (KeyboardInterrupt(), "Error: KeyboardInterrupt"),
        (GeneratorExit(), "Error: GeneratorExit"),
        (asyncio.CancelledError(), "Error: CancelledError"),
        (RecursionError("too deep"), "Error: RecursionError: too deep"),
        (TimeoutError("slow"), "Error: TimeoutError: slow"),
    ],
)
def test_an_exception_is_class_and_message_without_a_traceback(error: BaseException, text: str) -> None:
    def function() -> None:
        raise error

    (result,) = results_of(function)
    assert result.is_error and result.text == text


def test_a_long_message_is_cut() -> None:
    assert len(error_text(ValueError("x" * 1_000_000))) == MAX_ERROR


def test_an_error_names_no_file_of_the_traceback() -> None:
    def function() -> int:
        return 1 // 0

    (result,) = results_of(function)
    assert result.text == "Error: ZeroDivisionError: integer division or modulo by zero"
