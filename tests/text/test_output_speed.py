"""Reading outputs takes time linear in their length, whatever the model writes."""

from __future__ import annotations

import time

import pytest

from core.conversation import Function
from prompt_template import load_template, template_names
from text.parser import OutputParser

TOOLS = [Function(f"get_{number}") for number in range(128)] + [Function("get_x")]


def read(template: str, output: str) -> int:
    """How many events there are."""
    parser = OutputParser(load_template(template).turn_format(TOOLS))
    return len([*parser.feed(output), *parser.finish()])


@pytest.mark.parametrize("template", template_names())
@pytest.mark.parametrize(
    "unit", [">", ">>>", '"', "\\", '"\\', " ", "\n", ":", "t", "to=f", "\n user:", "{[", ">>>get_"]
)
@pytest.mark.parametrize("head", ["", "all\n", "get_x\n", ":", "to=functions.get_x:"])
def test_a_megabyte_is_read_in_linear_time(template: str, unit: str, head: str) -> None:
    """Regular expressions that go back made parsers of other servers a way to stop them (CVE-2025-48887)."""
    output = head + unit * (1_000_000 // len(unit))
    started = time.thread_time()
    read(template, output)
    assert time.thread_time() - started < 3  # a second where it is slowest; anything quadratic takes minutes


def test_an_endless_name_or_mark_is_read_in_linear_time() -> None:
    """Every name without end is looked at once, not once for each mark before it."""
    started = time.thread_time()
    read("functionary_v1_plain", ":" + "\n assistant to=functions." * 40_000)
    read("functionary_v3", "get_x\n>>>" * 20_000)
    assert time.thread_time() - started < 3


@pytest.mark.parametrize("unit", ["x", " ", ">", "\\", "\n"])
def test_tokens_are_cheap(unit: str) -> None:
    """Whitespace that waits is not copied again with each token."""
    parser = OutputParser(load_template("functionary_v3").turn_format(TOOLS))
    list(parser.feed('get_x\n{"'))
    started = time.thread_time()
    for _ in range(50_000):
        parser.feed(unit)
    assert time.thread_time() - started < 1.5  # 30 microseconds each; some 3 are usual
