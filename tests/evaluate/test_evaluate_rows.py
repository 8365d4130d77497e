"""Files of rows: valid rows, the messages for invalid lines, and the rows that each benchmark selects."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from random import Random

import pytest

from client.json_lines import FileError
from client.rows import call_fault
from core.conversation import Function
from evaluate.benchmarks import CallSet, ChatSet, Everyday, NoCallSet, SgdNextCall, repetition
from evaluate.rows import read_questions
from tests.support.evaluate_doubles import CITY, PING, PING_FUNCTION, a_line, a_set, calling

OSLO = ("city_weather", {"city": "Oslo"})


def a_fault(tmp_path: Path, line: bytes) -> str:
    """Write a file with a valid row and then `line`. Return the error message about `line`."""
    path = tmp_path / "set.jsonl"
    path.write_bytes(json.dumps(a_line("Oslo?", OSLO)).encode() + b"\n" + line + b"\n")
    rows, faults = read_questions(path)
    assert len(rows) == 1
    assert len(faults) == 1
    assert faults[0].startswith(f"{path}:2: ")
    return faults[0].removeprefix(f"{path}:2: ")


def changed(**fields: object) -> bytes:
    return json.dumps({**a_line("Oslo?", OSLO), **fields}).encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "The line is no JSON."),
        (b"[]", "Expected a JSON object"),
        (b"\xff", "not UTF-8"),
        (changed(messages=None), "'messages': expected an array, but got null"),
        (changed(messages=[]), "'messages': empty array"),
        (changed(messages=[{"role": "oracle", "content": "?"}]), "oracle"),
        (changed(functions={}), "'functions': expected an array, but got an object"),
        (changed(functions=[{"description": "no name"}]), "Missing required parameter: 'functions[0].name'"),
        (changed(expected="ping"), "'expected': expected an array, but got a string"),
        (changed(expected=[{"name": "ping"}]), "Missing required parameter: 'expected[0].arguments'"),
        (changed(expected=[{"name": "pong", "arguments": {}}]), "'pong': the function is not declared"),
        (changed(expected=[{"name": "city_weather", "arguments": {}}]), "'city' is a required property"),
        (changed(expected=[{"name": "city_weather", "arguments": {"city": 5}}]), "$.city: 5 is not of type 'string'"),
        (changed(expected=[{"name": "ping", "arguments": {"loud": True}}]), "'loud' was unexpected"),
        (changed(meta=[]), "'meta': expected an object, but got an array"),
    ],
)
def test_a_line_that_is_no_row_is_named_with_the_reason(tmp_path: Path, line: bytes, message: str) -> None:
    assert message in a_fault(tmp_path, line)


def test_a_compressed_file_is_read_and_one_that_breaks_off_gives_the_rows_before(tmp_path: Path) -> None:
    lines = [a_line(f"{i} {Random(i).randbytes(200).hex()}", OSLO) for i in range(200)]
    packed = lzma.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    path = tmp_path / "set.jsonl.xz"
    path.write_bytes(packed)
    assert [row.where for row in read_questions(path)[0]] == [f"{path}:{i}" for i in range(1, 201)]
    path.write_bytes(packed[: len(packed) * 3 // 4])
    rows, faults = read_questions(path)
    assert 0 < len(rows) < 200
    assert [fault.rpartition(": ")[0] for fault in faults] == [f"{path}: cannot be read behind line {len(rows)}"]


def test_a_row_to_learn_from_asks_for_its_last_message(tmp_path: Path) -> None:
    """A row in the training format is a question whose expected answer is its last message.

    So rows that were held out of the training data can be measured without conversion.
    """
    call = {"id": "call_0", "type": "function", "function": {"name": "city_weather", "arguments": '{"city": "Oslo"}'}}
    said = [{"role": "user", "content": "Oslo?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    line = {"functions": [CITY, PING], "messages": said, "source": "s", "meta": {"kind": "single"}}
    (learned,), faults = read_questions(a_set(tmp_path / "held_out.jsonl", [line]))
    (asked,), _ = read_questions(a_set(tmp_path / "set.jsonl", [a_line("Oslo?", OSLO)]))
    assert not faults
    assert (learned.key, learned.request()) == (asked.key, asked.request())
    assert [(one.name, one.arguments) for one in learned.expected] == [("city_weather", '{"city": "Oslo"}')]


def test_a_set_that_cannot_be_read_or_has_no_row_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.jsonl: cannot be read: No such file"):
        CallSet(tmp_path / "missing.jsonl")
    with pytest.raises(FileError, match=r"empty\.jsonl: no row to ask$"):
        CallSet(a_set(tmp_path / "empty.jsonl", []))
    with pytest.raises(FileError, match=r"first fault: .*bad\.jsonl:1: .*oracle"):
        CallSet(a_set(tmp_path / "bad.jsonl", [{**a_line("?"), "messages": [{"role": "oracle", "content": "?"}]}]))


def test_a_sample_does_not_depend_on_the_order_of_the_file_and_grows_with_its_limit(tmp_path: Path) -> None:
    lines = [a_line(f"Weather in town {i}?", OSLO) for i in range(30)]
    one = CallSet(a_set(tmp_path / "a.jsonl", lines))
    other = CallSet(a_set(tmp_path / "b.jsonl", lines[::-1]))
    keys = [row.key for row in one.sample(None, 0)]
    assert keys == [row.key for row in other.sample(None, 0)]
    assert [row.key for row in one.sample(7, 0)] == keys[:7]
    assert len(set(keys)) == 30
    assert keys != [row.key for row in one.sample(None, 1)]


def test_no_call_rows_lose_the_expected_function_and_keep_the_others(tmp_path: Path) -> None:
    """For the measure of false calls, a row loses the function that it expects and keeps the other functions.

    Rows without another function, with several calls or without a call are left out.
    """
    path = a_set(
        tmp_path / "set.jsonl",
        [
            a_line("Oslo?", OSLO),
            a_line("Only one function", OSLO, functions=[CITY]),
            a_line("Two calls", OSLO, ("ping", {})),
            a_line("No call"),
        ],
    )
    (row,) = NoCallSet(path).rows
    assert row.functions == (PING_FUNCTION,)
    assert row.expected == ()
    assert row.key not in {other.key for other in CallSet(path).rows}
    report = NoCallSet(path).report([row], {row.key: calling(("ping", {}))})
    assert report["metrics"].keys() == {"no_call", "valid_json", "schema_valid"}
    assert report["metrics"]["no_call"]["value"] == 0


def test_parts_are_measured_by_themselves(tmp_path: Path) -> None:
    """Parts of a set are measured separately.

    One set here has seen and unseen services as parts, another has requests with one call and with several calls.
    """
    lines = [
        a_line("Oslo?", OSLO, meta={"unseen_service": True}),
        a_line("Rome?", ("city_weather", {"city": "Rome"}), meta={"unseen_service": False}),
        a_line("Ping twice", ("ping", {}), ("ping", {})),
        a_line("Thanks", meta={"unseen_service": True}),
    ]
    path = a_set(tmp_path / "sgd_dev.jsonl", lines)
    sgd = SgdNextCall(path)
    report = sgd.report(sgd.rows, {row.key: calling(OSLO) for row in sgd.rows})
    assert report["parts"]["seen services"]["exact_match"]["value"] == 0.0
    assert report["parts"]["unseen services"]["exact_match"]["value"] == 1.0
    everyday = Everyday(path)
    report = everyday.report(everyday.rows, {})
    assert report["num_unanswered"] == 4
    parts = [part for row in everyday.rows for part in everyday.parts(row)]
    assert parts == ["one call", "one call", "several calls", "no call"]


def test_a_schema_that_cannot_be_used_is_a_fault_of_the_call_and_fetches_nothing() -> None:
    broken = Function("f", "", {"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}})
    assert "the schema cannot be used" in call_fault([broken], "f", {"a": 1})
    assert call_fault([Function("g")], "g", {}) == ""


def test_chat_is_measured_by_calls_length_and_repetition(tmp_path: Path) -> None:
    chat = ChatSet(a_set(tmp_path / "chat_prompts.jsonl", [a_line("Hi", functions=[]), a_line("Ho", functions=[])]))
    looping = calling(text="one two three four one two three four")
    report = chat.report(chat.rows, {chat.rows[0].key: looping, chat.rows[1].key: calling(text=" ")})
    assert report["metrics"]["empty"]["value"] == 0.5
    assert report["metrics"]["no_call"]["value"] == 1.0
    assert report["mean_words"] == 4
    assert report["mean_repetition"] == pytest.approx(0.2 / 2)


def test_repetition_is_the_share_of_runs_that_came_before() -> None:
    assert repetition("") == 0
    assert repetition("a b c d e f g") == 0
    assert repetition("a b c d " * 10) == pytest.approx(1 - 4 / 37)
