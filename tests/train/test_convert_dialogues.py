"""The converters of the dialogue sources SGD and STAR.

Dialogues are cut into rows, values get the user's words, and results are shortened.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from client.rows import Row
from tests.support.converted import SAMPLES, called, convert, reasons, spoken


@pytest.fixture
def sgd(tmp_path: Path) -> list[Row]:
    """The rows of the sample without the paraphrases of SGD-X: all names are those of the original."""
    shutil.copytree(SAMPLES / "sgd" / "train", tmp_path / "in" / "train")
    return convert("sgd", tmp_path, samples=tmp_path / "in")


def test_arguments_are_the_values_as_they_were_said(sgd: list[Row]) -> None:
    """Arguments are values as the user says them. An enum of numbers keeps its canonical value.

    The call in the source has 2019-03-05, which no message contains.
    """
    assert called(sgd[0]) == [
        ("find_ferry", {"harbor": "Bergen", "day": "Next Tuesday", "seats": 2}),
        ("book_ferry", {"ferry_name": "Grey Gull", "seats": 2}),
    ]


def test_results_are_shortened_to_what_the_assistant_speaks_of(sgd: list[Row]) -> None:
    results = [json.loads(message.content or "") for message in sgd[0].messages if message.role == "tool"]
    assert [entry["ferry_name"] for entry in results[0]["results"]] == ["Sea Eagle", "Grey Gull"]
    assert results[0]["count"] == 5
    assert json.loads(sgd[1].messages[2].content or "") == {"count": 0, "results": []}


def test_a_dialogue_is_cut_where_another_service_begins(sgd: list[Row]) -> None:
    assert spoken(sgd[1]) == ["Now find me a boat tour in Voss.", None, "I found none."]
    assert called(sgd[1]) == [("find_tour", {"town": "Voss", "tour_kind": "Boat"})]
    assert {row.meta["dialogue_id"] for row in sgd} == {"1_00000", "1_00002", "1_00004"}


def test_a_default_that_the_assistant_proposes_and_the_user_takes_is_said(sgd: list[Row]) -> None:
    """A default value that the assistant proposes and the user accepts counts as said.

    Regression test: it counted as a fact that no message contains, and most bookings were cut before their call.
    """
    assert called(sgd[3]) == [("find_ferry", {"harbor": "Bergen", "day": "today", "seats": 1})]


def test_a_fact_that_stands_nowhere_is_cut_off(sgd: list[Row]) -> None:
    """A dialogue ends before an answer with a fact that the shortened result lacks.

    Such an answer would teach the model to invent facts.
    """
    assert spoken(sgd[2])[-1] == "There is one."


def test_a_call_with_an_unsaid_value_is_cut_off(sgd: list[Row], tmp_path: Path) -> None:
    assert reasons(tmp_path)["dialogues_001.json: 1_00001, piece 0"] == (
        "the text does not support a required argument: ferry_name = 'Old Salt'"
    )
    assert reasons(tmp_path)["dialogues_001.json: 1_00003"] == "no service call in the dialogue"


def test_paraphrases_name_functions_and_parameters(tmp_path: Path) -> None:
    """Functions and parameters get the names of a paraphrase, which is selected by the dialogue's id.

    Parameters keep their meaning, and results keep their original names.
    """
    (row,) = [row for row in convert("sgd", tmp_path) if row.meta["dialogue_id"] == "1_00002"]
    assert called(row) == [("look_up_tour", {"city": "Odda"})]
    assert json.loads(row.messages[2].content or "")["results"] == [{"city": "Odda", "sort_of_tour": "Walk"}]


def test_paraphrases_of_another_length_are_an_error(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "sgd", tmp_path / "in")
    path = tmp_path / "in" / "sgd_x" / "data" / "v1" / "train" / "schema.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:1]))
    with pytest.raises(SystemExit, match=r"v1/train/schema.json: 2 services were expected .*, got 1"):
        convert("sgd", tmp_path, samples=tmp_path / "in")


@pytest.fixture
def star(tmp_path: Path) -> list[Row]:
    return convert("star", tmp_path)


def test_queries_are_calls_and_drafts_are_not_said(star: list[Row]) -> None:
    assert spoken(star[0]) == [
        *("Hi there", "Hello, how can I help?", "Is the otter free for 3 hours?", "What is your customer number?"),
        *("It is 4711.", "Did you pay the deposit?", "Yes, last week", None, "The boat is free. Shall I book it?"),
        *("Please do", None, "It is booked."),
    ]
    boat = {"boat_name": "Otter", "customer_number": "4711", "hours": 3, "deposit_paid": "Yes", "request_type": "Check"}
    assert called(star[0]) == [("boat_rent", boat), ("boat_rent", {"boat_name": "Otter", "request_type": "Book"})]


def test_a_dialogue_is_cut_before_the_first_unsupported_query(star: list[Row]) -> None:
    """A dialogue is cut before the first query with a value that no message contains, here "Ole Berg"."""
    assert spoken(star[1])[-1] == "The boat is free. Shall I book it?"


def test_what_cannot_be_a_row_is_told(star: list[Row], tmp_path: Path) -> None:
    assert reasons(tmp_path) == {
        "3.json": "the dialogue was broken off",
        "4.json": 'a constraint that is no plain value: api.is_one_of(["Bergen"])',
        "5.json": 'the text does not support a value: deposit_paid = "No"',
    }
    assert len(star) == 2
