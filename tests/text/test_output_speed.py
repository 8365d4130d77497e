"""Reading an output takes time linear in its length, whatever the model writes."""

from __future__ import annotations

import time
from itertools import product

import pytest

from core.conversation import Function
from prompt_template import load_template, template_names
from text.parser import OutputParser

TOOLS = [Function(f"get_{number}") for number in range(128)] + [Function("get_x")]
HEADS = ("", "all\n", "get_x\n", ":", "to=functions.get_x:")
UNITS = (">", ">>>", '"', "\\", '"\\', " ", "\n", ":", "t", "to=f", "\n user:", "{[", ">>>get_")


def read(template: str, output: str) -> int:
    """Parse an output. Return its number of events."""
    parser = OutputParser(load_template(template).turn_format(TOOLS))
    return len([*parser.feed(output), *parser.finish()])


@pytest.mark.parametrize("template", template_names())
def test_a_megabyte_is_read_in_linear_time(template: str, subtests: pytest.Subtests) -> None:
    """A megabyte of any output is read in linear time.

    Backtracking regular expressions in a parser allow denial of service (CVE-2025-48887 in another server).
    """
    for head, unit in product(HEADS, UNITS):
        with subtests.test(head=head, unit=unit):
            output = head + unit * (1_000_000 // len(unit))
            started = time.thread_time()
            read(template, output)
            assert time.thread_time() - started < 3  # the slowest takes 1 s; quadratic time would be minutes


def test_an_endless_name_or_mark_is_read_in_linear_time() -> None:
    """A name without an end is read once, not once for each mark before it."""
    started = time.thread_time()
    read("functionary_v1_plain", ":" + "\n assistant to=functions." * 40_000)
    read("functionary_v3", "get_x\n>>>" * 20_000)
    assert time.thread_time() - started < 3


def test_tokens_are_cheap(subtests: pytest.Subtests) -> None:
    """Whitespace that is held back is not copied again with each token."""
    for unit in ("x", " ", ">", "\\", "\n"):
        with subtests.test(unit=unit):
            parser = OutputParser(load_template("functionary_v3").turn_format(TOOLS))
            list(parser.feed('get_x\n{"'))
            started = time.thread_time()
            for _ in range(50_000):
                parser.feed(unit)
            assert time.thread_time() - started < 1.5  # a limit of 30 microseconds per token; 3 are usual
