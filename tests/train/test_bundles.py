"""Bundles: no row is lost, and every bundle has the functions that its rows call."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.rows import Row
from core.conversation import Function
from tests.support.training_rows import TEN, TIMER, WEATHER, calls, row, says, user
from train.learning.bundles import MAX_FUNCTIONS, Bundle, bundled, calls_of, can_stand_in, single_bundle, topics


def texts(bundles: list[Bundle]) -> Counter[str]:
    return Counter(talk[0].content or "" for bundle in bundles for talk in bundle.conversations)


@given(rows=st.lists(st.sampled_from(TEN), max_size=40), seed=st.text(max_size=3), share=st.sampled_from([0.0, 0.7, 1]))
def test_no_row_is_lost_and_none_comes_twice(rows: list[Row], seed: str, share: float) -> None:
    copies = [replace(one) for one in rows]
    made = list(bundled(copies, seed=seed, max_tokens=400, share=share))
    assert texts(made) == Counter(one.messages[0].content or "" for one in rows)
    for bundle in made:
        names = [function.name for function in bundle.functions]
        assert len(set(names)) == len(names) <= MAX_FUNCTIONS
        assert {call.name for talk in bundle.conversations for call in calls_of(talk)} <= set(names)
    again = list(bundled([replace(one) for one in rows], seed=seed, max_tokens=400, share=share))
    assert [bundle.conversations for bundle in again] == [bundle.conversations for bundle in made]


def test_questions_share_what_they_call_and_nothing_else() -> None:
    rows = [TEN[0], TEN[2], TEN[4]]
    (bundle,) = bundled(rows, seed="0", max_tokens=2000, share=1.0)
    assert {function.name for function in bundle.functions} == {"get_weather", "set_timer", "switchLight"}
    assert len(bundle.conversations) == 3


def test_functions_of_one_topic_are_not_bundled() -> None:
    """Rows whose functions have one topic are not put into one bundle.

    If two forecast functions are declared, a request has two right answers, and training would allow only one.
    """
    other = Function("weatherForecast", "Forecast", WEATHER.parameters)
    rows = [TEN[0], row([other], user("Forecast for Oslo"), calls(("weatherForecast", {"city": "Oslo"})))]
    made = list(bundled(rows, seed="0", max_tokens=2000, share=1.0))
    assert [len(bundle.conversations) for bundle in made] == [1, 1]


def test_rows_without_a_call_and_dialogues_are_not_bundled() -> None:
    """Rows without a call, and dialogues, are not put into a bundle with other rows.

    A function of another row might be right for them.
    """
    rows = [row([TIMER], user("Hi"), says("Hello!"), kind="small_talk"), replace(TEN[0], meta={"kind": "dialogue"})]
    made = list(bundled([*rows, *TEN[2:6]], seed="0", max_tokens=2000, share=1.0))
    assert single_bundle(rows[0]) in made and single_bundle(rows[1]) in made


@pytest.mark.parametrize(
    ("properties", "required", "expected"),
    [
        ({"minutes": {"type": "integer"}}, ["minutes"], True),  # lacks a parameter that the request does not mention
        (
            {"minutes": {"type": "integer"}, "sound": {"type": "string"}},
            ["minutes"],
            False,
        ),  # requires a parameter that the row does not have
        ({"label": {"type": "string"}}, [], False),  # lacks a parameter of the row's call
        ({"minutes": {"type": "string"}}, ["minutes"], False),
        ({"minutes": {"type": "integer"}, "label": {"type": "string"}}, ["minutes", "label"], False),
    ],
)
def test_a_declaration_stands_in_only_if_the_answer_stays_right(
    properties: dict[str, object], required: list[str], expected: bool
) -> None:
    here = Function("set_timer", "Another wording", {"properties": properties, "required": required})
    assert can_stand_in(here, TIMER, TEN[2]) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("get_current_weather", {"current", "weather"}),
        ("getWeather", {"weather"}),
        ("SearchHTTPLogs", {"http", "log"}),
        ("get", {"get"}),
    ],
)
def test_the_topics_of_a_name(name: str, expected: set[str]) -> None:
    assert topics(name) == expected
