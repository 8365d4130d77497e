"""Metrics compared with values computed by hand, and intervals compared with published values."""

from __future__ import annotations

import json
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.rows import Row
from core.conversation import Call, Message
from evaluate.calls import Score, metrics, normalised, parsed, score
from evaluate.intervals import f1, mcnemar, mean_of, wilson
from tests.support.evaluate_doubles import CITY_FUNCTION, PING_FUNCTION, Json, calling

OSLO: tuple[str, Json] = ("city_weather", {"city": "Oslo"})
ROME: tuple[str, Json] = ("city_weather", {"city": "Rome", "days": 3})
PINGED: tuple[str, Json] = ("ping", {})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def a_row(*expected: tuple[str, Json]) -> Row:
    calls = tuple(Call(name, json.dumps(arguments)) for name, arguments in expected)
    return Row((CITY_FUNCTION, PING_FUNCTION), (Message("user", "?"),), expected=calls)


def scored(expected: list[tuple[str, Json]], *calls: tuple[str, Json | str]) -> Score:
    return score(a_row(*expected), calling(*calls))


@pytest.mark.parametrize(
    ("expected", "answered", "fault"),
    [
        ([OSLO], [OSLO], ""),
        ([OSLO], [("city_weather", {"city": " oSLO "})], ""),
        ([ROME], [("city_weather", {"days": 3.0, "city": "Rome"})], ""),
        ([OSLO, ROME], [ROME, OSLO], ""),
        ([OSLO], [], "no call"),
        ([OSLO], [("city_weather", '{"city": "Oslo"')], "invalid JSON"),
        ([OSLO], [("city_weather", "[]")], "invalid JSON"),
        ([OSLO], [("city_weather", '{"city": NaN}')], "invalid JSON"),
        ([PINGED], [("ping", "")], "invalid JSON"),
        ([OSLO, ROME], [OSLO], "too few calls"),
        ([OSLO], [OSLO, OSLO], "too many calls"),
        ([OSLO], [PINGED], "wrong function"),
        ([OSLO, PINGED], [OSLO, OSLO], "wrong function"),
        ([ROME], [("city_weather", {"city": "Rome"})], "missing argument"),
        ([OSLO], [("city_weather", {"city": "Oslo", "days": 1})], "extra argument"),
        ([OSLO], [("city_weather", {"city": "Bergen"})], "wrong value"),
        ([ROME], [("city_weather", {"city": "Rome", "days": "3"})], "wrong value"),
        ([OSLO, ROME], [OSLO, OSLO], "missing argument"),
        ([], [], ""),
        ([], [PINGED], "unwanted call"),
    ],
)
def test_each_mistake_has_its_class(
    expected: list[tuple[str, Json]], answered: list[tuple[str, Json | str]], fault: str
) -> None:
    assert scored(expected, *answered).fault == fault


def test_a_refused_request_is_never_right() -> None:
    assert score(a_row(), calling(error="too long")).fault == "refused"
    assert score(a_row(OSLO), calling(error="too long")).fault == "refused"


def test_the_metrics_of_five_rows_computed_by_hand() -> None:
    found = metrics(
        [
            scored([OSLO], OSLO),
            scored([ROME], ("city_weather", {"city": "rome", "days": 4})),
            scored([OSLO, PINGED], OSLO),
            scored([PINGED], ("pong", {}), ("ping", "{")),
            scored([], PINGED),
        ]
    )
    assert {name: (round(figure.value, 6), figure.n) for name, figure in found.items()} == {
        "exact_match": (1 / 4, 4),
        "name_f1": (round(2 * 4 / (5 + 5), 6), 4),
        "args_f1": (round(2 * 3 / (4 + 4), 6), 4),
        "call_count": (2 / 4, 4),
        "call_rate": (1, 4),
        "no_call": (0, 1),
        "valid_json": (round(5 / 6, 6), 6),
        "schema_valid": (round(4 / 6, 6), 6),
    }


def test_what_cannot_be_measured_is_left_out() -> None:
    assert metrics([]) == {}
    assert metrics([scored([])]).keys() == {"no_call"}
    assert "valid_json" not in metrics([scored([OSLO])])


@given(json_values)
def test_a_value_equals_itself_after_json_and_in_other_case(value: Any) -> None:
    assert normalised(json.loads(json.dumps(value))) == normalised(value)
    if isinstance(value, str):
        assert normalised(f" {value}\n") == normalised(value.casefold())


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, 1), (False, 0), ("1", 1), (None, "null"), ([1, 2], [2, 1]), ({"a": 1}, {"a": 1, "b": None}), ([], {})],
)
def test_values_that_look_alike_are_not_equal(one: object, other: object) -> None:
    assert normalised(one) != normalised(other)


def test_numbers_are_compared_by_value_at_any_depth() -> None:
    assert normalised({"a": [5, {"b": 2.0}]}) == normalised({"a": [5.0, {"b": 2}]})


@given(st.lists(st.sampled_from([OSLO, ROME, PINGED]), max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_calls_does_not_matter_and_a_dropped_call_does(calls: list[tuple[str, Json]], random: Any) -> None:
    shuffled = random.sample(calls, len(calls))
    right = scored(calls, *shuffled)
    assert right.is_exact
    assert right.names.both == right.names.expected == right.names.answered == len(calls)
    assert right.arguments.both == right.arguments.expected == right.arguments.answered
    if calls:
        assert not scored(calls, *shuffled[1:]).is_exact


def test_arguments_that_are_no_object_are_none() -> None:
    deep = "[" * 100_000
    assert [parsed([Call("f", text)]) for text in ("{}", "", "1", "{", deep)] == [[("f", {})], [], [], [], []]


@pytest.mark.parametrize(
    ("num_right", "n", "low", "high"),
    # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(num_right: int, n: int, low: float, high: float) -> None:
    figure = wilson(num_right, n)
    assert (figure.value, figure.n) == (num_right / n, n)
    assert (round(figure.low, 4), round(figure.high, 4)) == (low, high)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_share_within_0_and_1_and_is_symmetric(pair: tuple[int, int]) -> None:
    num_right, n = pair
    figure, mirrored = wilson(num_right, n), wilson(n - num_right, n)
    assert 0 <= figure.low <= figure.value <= figure.high <= 1
    assert figure.low < figure.high
    assert figure.low == pytest.approx(1 - mirrored.high)


def test_f1_is_micro_averaged_with_an_interval_around_it() -> None:
    figure = f1([(1, 2, 1), (0, 1, 2), (2, 2, 2)] * 20)
    assert figure is not None
    assert figure.value == pytest.approx(2 * 3 / 10)
    assert 0.4 < figure.low < figure.value < figure.high < 0.8
    assert f1([(1, 2, 1), (0, 1, 2), (2, 2, 2)] * 20) == figure  # equal in every run, since the bootstrap is seeded
    assert f1([(0, 0, 0)]) is None
    certain = f1([(1, 1, 1)] * 5)
    assert certain is not None
    assert (certain.low, certain.high) == (1, 1)


def test_mean_of_has_an_interval_that_narrows_with_more_values() -> None:
    few, many = mean_of([2, 4, 6, 8]), mean_of([2, 4, 6, 8] * 25)
    assert few.value == many.value == 5
    assert 2 <= few.low < many.low < 5 < many.high < few.high <= 8
    assert (mean_of([7.0]).low, mean_of([7.0]).high) == (7, 7)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 0), (8, 2), (3, 3), (40, 20)])
def test_mcnemar_is_the_two_sided_sign_test_on_rows_that_differ(gained: int, lost: int) -> None:
    pairs = [(True, False)] * gained + [(False, True)] * lost + [(True, True)] * 9 + [(False, False)] * 4
    n, fewer = gained + lost, min(gained, lost)
    tail = sum(comb(n, k) * 0.5**n for k in range(fewer + 1))
    assert mcnemar(pairs) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(pairs) == mcnemar([(second, first) for first, second in pairs])


def test_mcnemar_knows_its_textbook_values_and_bears_many_rows() -> None:
    assert mcnemar([(True, False)] * 5) == 0.0625
    assert mcnemar([(True, False)] * 8 + [(False, True)] * 2) == pytest.approx(0.109375)
    assert 0 <= mcnemar([(True, False)] * 5000 + [(False, True)] * 4000) < 1e-20
