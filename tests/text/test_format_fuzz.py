"""Mutated outputs of every template: no exception, and the same events however the output is cut into chunks.

Real outputs, rendered from messages, are damaged at random. FORMAT_FUZZ=20000 sets the number of outputs
for each format; the default takes less than a minute for all formats together.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from functools import cache

import pytest

from core.conversation import Call, Message
from core.turn_format import CallStart
from tests.support.model_outputs import Bound, Stretch, bound_templates, characters, check_shown, merged, read, turns

NUM_OUTPUTS = int(os.environ.get("FORMAT_FUZZ", "500"))
BOUND = bound_templates()
WORDS = (
    '"', "\\", '\\"', "\\u12", "\\ud83d", "\\ude80", "{", "}", "[", "]", "}}", "```", " ", "\n", "\n\n", "\t", ":", ">",
    "<",
    "|", ",", "get_x", "get_x_now", "python", "all", "user", "name", "arguments", "{}", '{"a": "', "🚆", "\u2028", "\0",
    "x",
)  # fmt: skip
VALUES: tuple[object, ...] = (
    1,
    None,
    True,
    "x",
    ']} \\ " {',
    "</tool_call>",
    ">>>get_x\n",
    "🚆",
    ["a", {}],
    {"b": [1.5]},
)


@cache
def marks() -> tuple[str, ...]:
    """Return the marks and control tokens of all formats, and their beginnings."""
    found: set[str] = set()
    for bound in BOUND:
        regions = bound.template.turn_format(bound.tools).regions.values()
        found |= {mark.text for region in regions for mark in region.marks} | bound.control
        found |= {bound.template.call_head("get_x"), bound.template.call_tail, bound.template.calls_open}
    return tuple(sorted(found | {mark[: len(mark) // 2] for mark in found} - {""}))


def message(bound: Bound, rng: random.Random) -> Message:
    """Return a message with or without text, calls, code and reasoning."""
    names = [tool.name for tool in bound.tools]
    calls = tuple(Call(name, arguments(name, rng), "a") for name in rng.choices(names, k=rng.randrange(4)))
    text = "".join(rng.choices(WORDS, k=rng.randrange(1, 8))) if rng.random() < 0.6 or not calls else None
    reasoning = rng.choice(("", "Hm. ", "Hm.\n\nSo {"))
    return Message("assistant", text, calls[:1] if bound.template.separator is None else calls, reasoning=reasoning)


def arguments(name: str, rng: random.Random) -> str:
    if name == "python":
        return "".join(rng.choices(["print(1)\n", "x = {'a': [1]}", '"""', "\\n", "# >>>", "\n"], k=3))
    keys = ("a", 'b"', ">>>")
    return json.dumps({key: rng.choice(VALUES) for key in rng.sample(keys, rng.randrange(3))}, ensure_ascii=False)


def mutated(bound: Bound, rng: random.Random) -> list[Stretch]:
    """Return a damaged output: stretches are cut, removed, repeated, exchanged, or marks inserted."""
    pieces = [stretch for turn in turns(bound, message(bound, rng)) for stretch in turn]
    pieces = list(cut(pieces, rng)) or [("", False)]
    for _ in range(rng.randrange(5)):
        at, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
        match rng.randrange(7):
            case 0:
                pieces[at : at + rng.randrange(1, 4)] = []
            case 1:
                pieces[at:at] = pieces[other : other + rng.randrange(1, 5)]
            case 2:
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case 3:
                pieces = pieces[: at + 1]
            case 4:
                pieces.insert(at, (rng.choice(WORDS), False))
            case 5:
                pieces[at:at] = bound.stretches(rng.choice(marks()))
            case _:
                pieces.insert(at, (rng.choice(marks()), False))
        pieces = pieces or [("", False)]
    return pieces


def cut(stretches: list[Stretch], rng: random.Random) -> Iterator[Stretch]:
    """Yield the stretches with texts in chunks of random length. Control tokens stay whole."""
    for text, is_control in stretches:
        at = 0
        while at < len(text):
            end = len(text) if is_control else at + rng.choice((1, 1, 2, 3, 5, 9, 40))
            yield text[at:end], is_control
            at = end


@pytest.mark.parametrize("bound", BOUND, ids=lambda bound: f"{bound.template.name}-{len(bound.control)}")
def test_a_mutated_output_is_read_alike_in_any_chunks(bound: Bound) -> None:
    """No damage to an output raises an exception, and a stream gives what the whole output gives.

    Each format has half of its outputs with its optional tokens as control tokens, and half with them as text.
    """
    rng = random.Random(bound.template.name)
    num_bindings = sum(other.template.name == bound.template.name for other in BOUND)
    for number in range(NUM_OUTPUTS // num_bindings):
        output, is_cut = mutated(bound, rng), rng.random() < 0.3
        expected = read(bound.template, bound.tools, merged(output), cut=is_cut)
        check_shown(expected)
        assert read(bound.template, bound.tools, cut(output, rng), cut=is_cut) == expected, (number, output)
        assert read(bound.template, bound.tools, characters(output), cut=is_cut) == expected, (number, output)


@pytest.mark.parametrize("name", ["mistral_v11", "functionary_v2", "gpt_oss"])
def test_arguments_without_a_name_belong_to_no_later_call(name: str) -> None:
    """A call without a name, followed by a complete call, once raised a KeyError in the formats without JSON heads.

    The parser kept the nameless arguments for a name behind them, which only formats with `after_value` can have.
    """
    bound = next(one for one in BOUND if one.template.name == name)
    head = bound.template.call_head("")
    call = turns(bound, Message("assistant", None, (Call("get_x", "{}"),)))[0]
    events = read(
        bound.template, bound.tools, [*bound.stretches(bound.template.calls_open + head), ("1", False), *call]
    )
    assert [event.name for event in events if isinstance(event, CallStart)] in (["get_x"], [])
