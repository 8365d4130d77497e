"""Parsing the bytes of a body to a JSON object. Invalid bodies are rejected quickly."""

from __future__ import annotations

import gc
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apis.rules.json_text import parse_json
from core.errors import RequestError

UNPARSED = "We could not parse the JSON body of your request."


def error_of(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_json(body)
    return caught.value


def test_reads_an_object() -> None:
    assert parse_json(b' {"model": "m", "n": 2, "stop": null} ') == {"model": "m", "n": 2, "stop": None}


def test_the_last_of_equal_keys_wins() -> None:
    assert parse_json(b'{"a": 1, "__proto__": 2, "a": 3}') == {"a": 3, "__proto__": 2}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"not json",
        b'{"a": 1',
        b'{"a": 1,}',
        b'{"a": [1, 2}',
        b'{"a": 1} {"b": 2}',
        b'{"a": 1} // comment',
        b"{'a': 1}",
        b'{"a": "\\x41"}',
        b'{"a": "line\nbreak"}',
        b'{"a": "\\',
        b'{"a": +1}',
        b'{"a": 01}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xc0\xaf"}',
        b'{"a": "\xed\xa0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        b"[]",
        b'"text"',
        b"null",
        b"1",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_broken_documents(body: bytes) -> None:
    error = error_of(body)
    assert error.message.startswith(UNPARSED) and len(error.message) > len(UNPARSED)
    assert len(error.message) <= 500
    assert (error.param, error.code) == (None, "invalid_json")


def test_says_where() -> None:
    assert "line 1 column 7" in error_of(b'{"a": }').message
    assert "position 7" in error_of(b'{"a": "\xff"}').message


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"a": ' * 50_000 + b"1" + b"}" * 50_000,
        b'{"a": ' + b'[{"b": ' * 25_000,
        b'{"a": ' + b"[" * 128 + b"]" * 128 + b"}",
    ],
)
def test_too_deep(body: bytes) -> None:
    assert "nested deeper than 128 levels" in error_of(body).message


def test_128_levels_are_read_and_brackets_in_strings_do_not_count() -> None:
    deep = b'{"a": ' + b"[" * 127 + b"]" * 127 + b"}"
    assert parse_json(deep)["a"] is not None
    text = "[" * 1000 + '\\"{' + '"[' * 1000 + "\\"
    assert parse_json(json.dumps({"a": text}).encode()) == {"a": text}


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e0000999", "9" * 400, "-" + "9" * 400, "9" * 400 + ".0"])
def test_numbers_beyond_float64(number: str) -> None:
    error = error_of(b'{"a": [{"b": %s}]}' % number.encode())
    assert error.message == "Invalid 'a[0].b': the number is too large."
    assert (error.param, error.code) == ("a[0].b", "invalid_value")


def test_long_digits_in_text_are_text() -> None:
    assert parse_json(b'{"a": "%s", "b": 1e100}' % (b"9" * 5000)) == {"a": "9" * 5000, "b": 1e100}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (rb'{"messages": [{"role": "user", "content": "\ud83d"}]}', "messages[0].content"),
        (rb'{"stop": ["ok", "a\uDE00b"]}', "stop[1]"),
        (rb'{"tools": [{"function": {"parameters": {"enum": ["\udfff"]}}}]}', "tools[0].function.parameters.enum[0]"),
        (rb'{"metadata": {"\ud83d": "x"}}', r"metadata.\ud83d"),
        (rb'{"\ude00\ud83d": 1}', r"\ude00\ud83d"),
    ],
)
def test_a_lone_surrogate_is_named_by_its_field(body: bytes, param: str) -> None:
    error = error_of(body)
    assert error.param == param
    assert "lone surrogate" in error.message
    error.message.encode()


def test_pairs_of_surrogates_and_nul_are_text() -> None:
    assert parse_json(rb'{"a": "\ud83d\ude00", "b": "\u0000", "c": "\\ud83d"}') == {
        "a": "😀",
        "b": "\0",
        "c": "\\ud83d",
    }


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.lists(st.text(max_size=20), max_size=3), max_size=3))
def test_json_round_trip(value: dict[str, object]) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=100) | st.text('[]{}",:\\ue1N0 a', max_size=60).map(str.encode))
def test_any_bytes_are_parsed_or_an_error(body: bytes) -> None:
    try:
        assert isinstance(parse_json(body), dict)
    except RequestError as error:
        assert 0 < len(error.message) <= 500


def test_two_mebibytes_of_anything_are_quick(subtests: pytest.Subtests) -> None:
    """Bodies of 2 MiB, with brackets closed or not, are parsed quickly; a quadratic step would take minutes."""
    units = (b"[", b"[],", b'"",', b"1,", b'"\\"', b"\\", b"9", b'"\\ud83d\\ude00",', b"1.5,", b"{", b'{"a":', b"e999")
    for unit in units:
        with subtests.test(unit=unit):
            gc.freeze()
            filling = unit * (2**21 // len(unit))
            start = time.thread_time()
            for body in (b'{"a": [' + filling, b'{"a": [' + filling.rstrip(b",") + b"]}"):
                try:
                    parse_json(body)
                except RequestError as error:
                    assert error.message
            took_s = time.thread_time() - start
            gc.unfreeze()
            assert took_s < 3
