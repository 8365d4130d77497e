"""Rows about everyday functions: several hundred rows of all kinds are checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from random import Random
from typing import Any

import jsonschema
import pytest

from client.rows import Row, parse_arguments, parse_row, row_text
from train.everyday.catalogue import FIELD_OF, TASKS, are_rivals
from train.everyday.codes import AIRPORTS, COUNTRIES, CURRENCIES, LANGUAGES
from train.everyday.generator import MIXTURE, Generator
from train.everyday.naming import define
from train.everyday.values import NUMBER_WORDS
from train.rows import check_row

NUM_ROWS = 1000
NO_CALL = ("irrelevant", "near_miss")

CODED = [{code: name for name, code in table.items()} for table in (AIRPORTS, COUNTRIES, CURRENCIES, LANGUAGES)]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(Generator(7).rows(0, NUM_ROWS))


def test_every_row_is_read_back_as_it_was_written(rows: list[Row]) -> None:
    for row in rows:
        check_row(row)
        assert parse_row(row_text(row).encode(), "x:1") == row


def test_arguments_fit_their_schemas_and_stand_in_their_order(rows: list[Row]) -> None:
    for row in rows:
        schemas = {function.name: function.parameters or {} for function in row.functions}
        for call in row.calls:
            arguments = parse_arguments(call)
            schema = schemas[call.name]
            jsonschema.Draft202012Validator({**schema, "additionalProperties": False}).validate(arguments)
            assert list(arguments) == [key for key in schema["properties"] if key in arguments]
            assert call.arguments == json.dumps(arguments, ensure_ascii=False)


def test_all_kinds_come_in_about_their_share(rows: list[Row]) -> None:
    kinds = Counter(row.kind for row in rows)
    total = sum(weight for weight, _ in MIXTURE.values())
    for kind, (weight, _) in MIXTURE.items():
        assert kinds[kind] == pytest.approx(NUM_ROWS * weight / total, rel=0.5)


def test_kinds_hold_what_their_names_say(rows: list[Row]) -> None:
    for row in rows:
        turns = [message.calls for message in row.messages if message.role == "assistant"]
        match row.kind:
            case "single":
                assert len(row.calls) == 1
            case "parallel":
                assert len(turns[0]) >= 2
                assert len({call.name for call in turns[0]}) == 1
            case "parallel_multiple":
                assert 2 <= len({call.name for call in turns[0]}) <= len(turns[0])
            case "multi_turn":
                assert len(turns) >= 2
            case "missing_param":
                assert not turns[0]
            case "irrelevant" | "near_miss":
                assert not row.calls
            case "small_talk":
                assert not turns[0]
        assert 1 <= len(row.functions) <= 5


def test_values_of_texts_and_numbers_stand_in_the_text_before_the_call(rows: list[Row]) -> None:
    for row in rows:
        said = ""
        for message in row.messages:
            said += " " + (message.content or "").casefold()
            for call in message.calls:
                schema = next(one.parameters or {} for one in row.functions if one.name == call.name)
                for value in spoken_values(parse_arguments(call), schema):
                    assert value_is_said(value, said), (value, said)


def spoken_values(value: Any, schema: dict[str, Any]) -> list[Any]:
    """Return all strings and numbers inside a value, without enums and booleans."""
    if isinstance(value, dict):
        inner = schema["properties"]
        return [one for key, item in value.items() for one in spoken_values(item, inner[key])]
    if isinstance(value, list):
        return [one for item in value for one in spoken_values(item, schema["items"])]
    return [] if "enum" in schema or isinstance(value, bool) else [value]


def value_is_said(value: Any, said: str) -> bool:
    words = dict(enumerate(NUMBER_WORDS))
    if isinstance(value, str):
        names = [table[value] for table in CODED if value in table]  # a request says "France" where the argument is FR
        return any(word.casefold() in said for word in (value, *names))
    return bool(re.search(rf"(?<![\d.]){re.escape(str(value))}(?![\d]|\.\d)", said)) or words.get(value, "\n") in said


def test_no_slot_and_no_bracket_is_left(rows: list[Row]) -> None:
    for row in rows:
        for message in row.messages:
            if message.role != "tool" and message.content is not None:
                assert not re.search(r"[\[\]{}|]", message.content), message.content
                assert message.content == message.content.strip()


def test_no_row_comes_twice(rows: list[Row]) -> None:
    assert len({row_text(row) for row in rows}) == NUM_ROWS
    asked = [[m.content for m in row.messages if m.role == "user"] for row in rows if row.calls]
    assert len({str(one).casefold() for one in asked}) == len(asked)


def test_about_half_of_the_single_calls_are_told_in_a_sentence(rows: list[Row]) -> None:
    single = [row for row in rows if row.kind == "single"]
    assert sum(row.messages[-1].content is not None for row in single) == pytest.approx(len(single) / 2, rel=0.25)


def test_refusals_come_in_thirty_wordings() -> None:
    said = {
        re.sub(r"(can|to|they|me) .*", r"\1", row.messages[-1].content or "")
        for row in Generator(1).rows(0, 700)
        if row.kind in NO_CALL
    }
    assert len(said) >= 30


def test_functions_of_one_row_have_one_name_each_and_many_over_all_rows(rows: list[Row]) -> None:
    names = {function.name for row in rows for function in row.functions}
    assert len(names) >= 2 * len(TASKS)


def test_a_definition_keeps_the_meaning_under_other_names(subtests: pytest.Subtests) -> None:
    """When a function and its parameters get other names, types, enums and required parameters stay the same.

    No two parameters get the same name.
    """
    for task in TASKS:
        with subtests.test(task.name):
            for seed in range(10):
                function = define(task, FIELD_OF[task.name], Random(seed)).function
                assert shape(function.parameters or {}) == shape(task.function.parameters or {})
                assert re.fullmatch(r"[\w$.-]{1,128}", function.name)


def shape(schema: dict[str, Any]) -> Any:
    kept = {key: schema[key] for key in ("type", "enum", "default", "format", "items") if key in schema}
    properties = schema.get("properties", {})
    required = [name in schema.get("required", ()) for name in properties]
    return kept, required, [shape(inner) for inner in properties.values()]


def test_rivalry_is_mutual() -> None:
    assert all(are_rivals(one, other) == are_rivals(other, one) for one in TASKS for other in TASKS)
