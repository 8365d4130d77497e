"""Rows that call one function under different spellings of its name and parameters are given common declarations."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from client.rows import Row, parse_arguments
from core.conversation import Function
from tests.support.training_rows import TEN, calls, row, user
from train.learning.bundles import bundled
from train.learning.spellings import unify_spellings

TITLE, ARTIST, YEAR = "Title of the song", "Name of the artist", "Year or decade"
STYLES = (
    ("play_tune", {TITLE: "song_title", ARTIST: "artist", YEAR: "release_year"}),
    ("PlayTune", {TITLE: "songTitle", ARTIST: "performer", YEAR: "releaseYear"}),
    ("startMusic", {TITLE: "track", ARTIST: "artistName", YEAR: "era"}),
)


def said(number: int) -> Row:
    """Return a row whose call has values for one or two of the function's three parameters.

    Three rows of four declare only the parameters that they use.
    """
    name, spelled = STYLES[number % 3]
    values = {TITLE: f"Song {number}"} | ({ARTIST: f"Band {number}"} if number % 2 else {})
    properties = {spelled[meaning]: {"type": "string", "description": meaning} for meaning in values}
    if number % 4 == 0:
        properties[spelled[YEAR]] = {"type": "string", "description": YEAR}
    function = Function(name, "Play music", {"type": "object", "properties": properties, "required": [spelled[TITLE]]})
    arguments = {spelled[meaning]: value for meaning, value in values.items()}
    return row([function, TEN[0].functions[0]], user(f"Play {number}"), calls((name, arguments)), kind="single")


def meant(one: Row) -> Counter[tuple[str, str]]:
    """Count the pairs of a parameter's description and its value in the call of a row."""
    function = next(function for function in one.functions if function.name == one.calls[0].name)
    properties = (function.parameters or {})["properties"]
    values = parse_arguments(one.calls[0])
    assert list(values) == [name for name in properties if name in values], "not in the order of the schema"
    return Counter((properties[name]["description"], value) for name, value in values.items())


@pytest.mark.parametrize("seed", ["0", "1", "2", "3"])
def test_a_question_means_the_same_in_the_new_spelling(seed: str) -> None:
    rows = [said(number) for number in range(30)]
    made = {one.messages[0].content: one for one in unify_spellings(rows, seed=seed)}
    assert len(made) == len(rows)
    for one in rows:
        assert meant(made[one.messages[0].content]) == meant(one)
    assert unify_spellings(rows, seed=seed) == unify_spellings(rows, seed=seed)


def test_most_declarations_list_all_that_the_source_knows() -> None:
    """Most rewritten declarations have all three parameters that the function has anywhere in the rows.

    The rows of the source declare few parameters that their call does not use. A model trained on such rows invented
    values for unused parameters.
    """
    made = unify_spellings([said(number) for number in range(60)], seed="0")
    listed = [len((one.functions[0].parameters or {})["properties"]) for one in made]
    assert listed.count(3) > 30


def test_required_is_what_every_question_of_a_declaration_gives() -> None:
    for one in unify_spellings([said(number) for number in range(60)], seed="0"):
        assert set((one.functions[0].parameters or {})["required"]) <= parse_arguments(one.calls[0]).keys()


def test_questions_in_one_spelling_share_a_bundle() -> None:
    rows = [said(number) for number in range(30)]
    before = list(bundled(rows, seed="0", max_tokens=400, share=1.0))
    after = list(bundled(unify_spellings(rows, seed="0"), seed="0", max_tokens=400, share=1.0))
    assert len(after) < len(before)


def test_functions_of_one_spelling_stay_as_they_are() -> None:
    assert Counter(map(json.dumps, map(repr, unify_spellings(TEN, seed="0")))) == Counter(
        map(json.dumps, map(repr, TEN))
    )


def test_a_row_that_lists_the_other_name_too_stays_as_it_is() -> None:
    rows = [said(number) for number in range(30)]
    both = [row([*one.functions, Function("PlayTune", "Other")], *one.messages, kind="single") for one in rows[::3]]
    for one in unify_spellings([*both, *rows[1::3]], seed="0"):
        names = [function.name for function in one.functions]
        assert len(set(names)) == len(names)
