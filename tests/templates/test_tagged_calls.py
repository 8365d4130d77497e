"""Calls with tagged parameters are read as JSON, whatever the chunks; a prompt's calls are read back as they were."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conversation import Call, Function, Message
from core.turn_format import ArgsDelta, CallStart, ReasoningDelta, TextDelta
from prompt_template import PromptTemplate, load_template
from text.parser import OutputParser

CONTROL = ("<tool_call>", "</tool_call>", "<think>", "</think>")
NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
BOOK = Function(
    "book",
    parameters={
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "city": {"$ref": "#/$defs/city"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "class": {"enum": ["1", "2"]},
            "seats": {"type": "integer"},
            "either": {"type": ["string", "number"]},
            "node": {"$ref": "#/$defs/node"},
            "any": {},
        },
        "$defs": {"city": {"type": "string", "maxLength": 20}, "node": NODE},
    },
)
TOOLS = (BOOK, Function("ping"))


@dataclass
class Read:
    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()


def read(pieces: Sequence[tuple[str, bool]], template: PromptTemplate, *, is_truncated: bool = False) -> Read:
    """Parse pieces of text, each with whether it is a control token."""
    parser, found = OutputParser(template.turn_format(TOOLS)), Read()
    events = [event for text, is_control in pieces for event in parser.feed(text, is_control=is_control)]
    for event in [*events, *parser.finish(is_truncated=is_truncated)]:
        match event:
            case TextDelta(text):
                found.text += text
            case ReasoningDelta(text):
                found.reasoning += text
            case CallStart(name):
                found.calls += ((name, ""),)
            case ArgsDelta(text):
                found.calls = (*found.calls[:-1], (found.calls[-1][0], found.calls[-1][1] + text))
    return found


def cuts(output: str, seed: int) -> list[list[tuple[str, bool]]]:
    """Return the output as a whole, by character, and in random chunks, as text."""
    chance = random.Random(seed)
    places = sorted(chance.sample(range(len(output) + 1), min(9, len(output))))
    chunks = [output[a:b] for a, b in zip([0, *places], [*places, len(output)], strict=True)]
    return [[(part, False) for part in parts] for parts in ([output], list(output), chunks)]


def as_tokens(output: str) -> list[tuple[str, bool]]:
    """Return the output with its tags as control tokens."""
    pieces = [(output, False)]
    for token in CONTROL:
        split: list[tuple[str, bool]] = []
        for text, is_control in pieces:
            for number, part in enumerate([text] if is_control else text.split(token)):
                split += [(token, True)] if number else []
                split += [(part, is_control)] if part else []
        pieces = split
    return pieces


def read_alike(output: str, *, is_truncated: bool = False) -> Read:
    """Return what a client gets, which is the same for every chunking and with tags that are control tokens."""
    plain = load_template("qwen35")
    bound = plain.bound(lambda text: 1)
    found = read([(output, False)], plain, is_truncated=is_truncated)
    for seed in range(5):
        for pieces in cuts(output, seed):
            assert read(pieces, plain, is_truncated=is_truncated) == found
    tokens = as_tokens(output)
    characters = [(part, is_control) for text, is_control in tokens for part in ([text] if is_control else text)]
    assert read(tokens, bound, is_truncated=is_truncated) == found
    assert read(characters, bound, is_truncated=is_truncated) == found
    return found


def call(*parameters: tuple[str, str], name: str = "book") -> str:
    written = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters)
    return f"<tool_call>\n<function={name}>\n{written}</function>\n</tool_call>"


def arguments(output: str) -> Any:
    ((_, written),) = read_alike(output).calls
    return json.loads(written)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", "5", "5"),
        ("name", "true", "true"),
        ("name", "null", "null"),
        ("name", '{"a": 1}', '{"a": 1}'),
        ("name", "", ""),
        ("name", " spaces ", " spaces "),
        ("name", "\nline 1\n\nline 2\n", "\nline 1\n\nline 2\n"),
        ("name", 'say "hi" \\ \t\x01 北京 😀', 'say "hi" \\ \t\x01 北京 😀'),
        ("name", "a</parameter>b </parameter", "a</parameter>b </parameter"),
        ("name", "</function>\n<parameter=x>", "</function>\n<parameter=x>"),
        ("city", "7", "7"),
        ("class", "2", "2"),
        ("note", "null", None),
        ("note", "None", None),
        ("note", "nullify", "nullify"),
        ("note", "5", "5"),
        ("seats", "5", 5),
        ("seats", "five", "five"),
        ("either", "5.5", 5.5),
        ("either", "x", "x"),
        ("any", "True", True),
        ("any", "false", False),
        ("any", "None", None),
        ("any", "NaN", "NaN"),
        ("any", "[1, null]", [1, None]),
        ("any", '"quoted"', "quoted"),
        ("any", "{broken", "{broken"),
        ("node", '{"next": {"next": {}}}', {"next": {"next": {}}}),
        ("undeclared", "-1e3", -1e3),
        ('a "key" ü', "1", 1),
    ],
)
def test_values(key: str, value: str, expected: Any) -> None:
    """A value is a string where the schema wants one, however it looks; elsewhere it is JSON if it is valid JSON."""
    assert arguments(call((key, value))) == {key: expected}


def test_several_calls_and_parameters() -> None:
    output = f"One moment.\n\n{call(('name', 'a'), ('seats', '2'), ('any', 'x'))}\n{call(name='ping')}"
    found = read_alike(f"<think>\nHm.\n</think>\n\n{output}")
    assert found == Read("One moment.", "Hm.", (("book", '{"name": "a", "seats": 2, "any": "x"}'), ("ping", "{}")))


def test_of_two_parameters_with_one_name_the_first_counts() -> None:
    """Two members with the same name made strict JSON readers reject the arguments; the first one is already sent."""
    both = call(("name", "a"), ("name", "b"), ("seats", "1"), ("seats", "2"))
    assert read_alike(both).calls == (("book", '{"name": "a", "seats": 1}'),)


def test_values_on_the_line_of_their_tag() -> None:
    written = "<parameter=name>a b</parameter><parameter=seats>3\n</parameter><parameter=note>\n</parameter>"
    output = f"<tool_call><function=book>{written}</function></tool_call>"
    assert arguments(output) == {"name": "a b", "seats": 3, "note": ""}


@pytest.mark.parametrize("end", ["", "\n</par", "\n</parameter>", "\n</parameter>\n", "\n</parameter>\n</function>\n"])
def test_an_answer_that_ends_early_is_still_a_call(end: str) -> None:
    """Models leave out the end of a call; what they wrote of the arguments is complete JSON nevertheless."""
    ((name, written),) = read_alike(f"<tool_call>\n<function=book>\n<parameter=name>\nZür{end}").calls
    assert name == "book"
    assert json.loads(written)["name"].startswith("Zür")
    assert read_alike(f"<tool_call>\n<function=book>\n<parameter=seats>\n5{end}").calls[0][0] == "book"


def test_a_call_that_the_token_limit_cuts_off() -> None:
    """The arguments end where the limit did, like those of a call that is written as JSON."""
    begun = "<tool_call>\n<function=book>\n<parameter=seats>\n5\n</parameter>\n<parameter=name>\nZür\n</param"
    assert read_alike(begun, is_truncated=True).calls == (("book", '{"seats": 5, "name": "Zür'),)


def test_a_call_without_its_last_tag_ends_at_the_next_one() -> None:
    output = call(("seats", "1")).removesuffix("</function>\n</tool_call>") + call(name="ping")
    assert read_alike(output).calls == (("book", '{"seats": 1}'), ("ping", "{}"))


def test_text_that_is_no_call() -> None:
    for pieces in cuts("<tool_call>\nWhat is that?", 0):
        assert read(pieces, load_template("qwen35")) == Read("<tool_call>\nWhat is that?")


def test_a_string_is_streamed() -> None:
    """The text of a long parameter arrives while the model writes it."""
    parser = OutputParser(load_template("qwen35").turn_format(TOOLS))
    begun = "<tool_call>\n<function=book>\n<parameter=name>\nabc"
    assert list(parser.feed(begun)) == [CallStart("book"), ArgsDelta('{"name": "abc')]
    assert list(parser.feed("def")) == [ArgsDelta("def")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
# A line that begins with the end tag ends the value: the format has no way to write it.
texts = st.text(st.sampled_from('ab\n<>/parmete"\\5 é😀'), max_size=12).filter(
    lambda text: not any(line.startswith("</parameter>") for line in text.split("\n"))
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": texts | st.sampled_from(["5", "null", "a</parameter>b", "</function>"]),
            "seats": st.integers(),
            "node": st.dictionaries(st.text(max_size=5), json_values, max_size=3),
            "any": json_values.filter(lambda value: not isinstance(value, str)),
        },
    )
)
def test_what_a_prompt_shows_is_read_back(values: dict[str, Any]) -> None:
    """The calls of a prompt, read as the model's output, are the calls of the messages."""
    template = load_template("qwen35")
    message = Message("assistant", None, (Call("book", json.dumps(values, ensure_ascii=False)),))
    written = "".join(piece.text for piece in template.render([message], ()))
    written = written.removeprefix(template.opening.text).removesuffix("<|im_end|>\n")
    ((name, found),) = read([(written, False)], template).calls
    assert (name, json.loads(found)) == ("book", values)


def test_long_values_take_linear_time() -> None:
    """A megabyte of held-back or of streamed text is not copied for each piece."""
    for key in ("name", "any"):
        pieces = [("<tool_call>\n<function=book>\n<parameter=" + key + ">\n", False), *[("ab\n<", False)] * 250_000]
        start = time.perf_counter()
        ((_, written),) = read(pieces, load_template("qwen35")).calls if key == "any" else (("", ""),)
        if key == "name":
            parser = OutputParser(load_template("qwen35").turn_format(TOOLS))
            written = "".join(e.text for p, _ in pieces for e in parser.feed(p) if isinstance(e, ArgsDelta))
        assert len(written) > 900_000
        assert time.perf_counter() - start < 20
