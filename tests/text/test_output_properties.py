"""Properties of the output parser in every template.

The size of chunks does not matter, no output raises an exception, and rendered messages are parsed back.
"""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.conversation import Call, CodeInterpreter, Function, Message, Tool
from core.turn_format import ArgsDelta, CallStart, Event, TextDelta
from prompt_template import Piece, PromptTemplate, load_template, template_names
from text.parser import OutputParser

TEMPLATES = [load_template(name) for name in template_names()]
TOOLS: list[Tool] = [Function("get_x"), Function("get_x_now"), Function("all_stations")]
WITH_CODE = [[*TOOLS, CodeInterpreter()], TOOLS]
every_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
Stretch = tuple[str, bool]  # a text, and whether the text is a control token

MARKS = [
    ">>>",
    "\n",
    ">>>get_x\n",
    ">>>all\n",
    "get_x\n",
    "all\n",
    "python\n",
    ">>>python\n",
    ":",
    ":\n",
    " to=functions.",
]
MARKS += [
    "\n user:\n",
    "\n assistant to=functions.",
    "\nassistant",
    "</function>",
    "<function=get_x>",
    '{"a": "',
    '"}',
    "\\",
]
CONTROL = [
    "<|START_OF_FUNCTION_CALL|>",
    "<|END_OF_FUNCTION_CALL|>",
    "<|END_OF_ASSISTANT|>",
    "<|eot_id|>",
    "<|im_end|>",
    "</s>",
]
CONTROL += sorted({token for template in TEMPLATES for token in (*template.stop, *template.needed_tokens)} - {*CONTROL})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([*MARKS, *CONTROL, "🚆"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
arguments = st.dictionaries(st.sampled_from(["a", 'b"', ">>>", "💶"]), json_values).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
ordinary = st.sampled_from(MARKS) | st.text(max_size=6) | arguments
outputs = st.lists(
    st.tuples(ordinary, st.just(False)) | st.tuples(st.sampled_from(CONTROL), st.just(True)), max_size=12
)


def folded(events: list[Event]) -> list[Event]:
    """Return the events after joining neighbours of the same class."""
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ArgsDelta) and isinstance(last, ArgsDelta):
            joined[-1] = ArgsDelta(last.text + event.text)
        else:
            joined.append(event)
    return joined


def read(template: PromptTemplate, tools: list[Tool], stretches: list[Stretch], *, cut: bool = False) -> list[Event]:
    parser = OutputParser(template.turn_format(tools))
    events = [event for text, special in stretches for event in parser.feed(text, is_control=special)]
    return folded([*events, *parser.finish(is_truncated=cut)])


def merged(stretches: list[Stretch]) -> list[Stretch]:
    whole: list[Stretch] = []
    for text, special in stretches:
        if whole and not special and not whole[-1][1]:
            whole[-1] = (whole[-1][0] + text, False)
        else:
            whole.append((text, special))
    return whole


@every_template
@given(outputs=outputs, tools=st.sampled_from(WITH_CODE), cut=st.booleans())
def test_chunks_do_not_matter(template: PromptTemplate, outputs: list[Stretch], tools: list[Tool], cut: bool) -> None:
    """An output gives the same events as a whole, in chunks of any size and in single characters.

    No output raises an exception.
    """
    expected = read(template, tools, merged(outputs), cut=cut)
    assert read(template, tools, outputs, cut=cut) == expected
    assert read(template, tools, characters(outputs), cut=cut) == expected


@every_template
@given(outputs=outputs, cut=st.booleans())
def test_what_is_shown_is_stripped_and_never_empty(template: PromptTemplate, outputs: list[Stretch], cut: bool) -> None:
    events = read(template, TOOLS, outputs, cut=cut)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == text.strip()
    for before, event in zip([None, *events], events, strict=False):
        if isinstance(event, ArgsDelta):
            assert isinstance(before, CallStart)
            assert event.text and event.text == event.text.strip()
        if isinstance(event, CallStart):
            assert event.name and not any(char.isspace() for char in event.name)


def characters(stretches: list[Stretch]) -> list[Stretch]:
    return [
        stretch
        for text, special in stretches
        for stretch in ([(text, True)] if special else [(c, False) for c in text])
    ]


def spelled(piece: Piece) -> list[Stretch]:
    """Return a piece as the model writes it, as stretches of text and of the template's control tokens."""
    if not piece.markup:
        return [(piece.text, False)]
    parts = re.split("(" + "|".join(map(re.escape, CONTROL)) + ")", piece.text)
    return [(part, part in CONTROL) for part in parts if part]


def means_a_mark(template: PromptTemplate, text: str) -> bool:
    """Return whether the format would take part of the text for a mark. A model cannot write such a text."""
    marks = [mark.text for mark in template.turn_format(TOOLS).region("text").marks]
    return any(mark in f"\n{text}\n" for mark in [*marks, "assistant to=functions."])


# Tagged arguments are typed by the schema of a function; tests/templates/test_tagged_calls.py reads them back.
WITH_JSON = [template for template in TEMPLATES if template.arguments_style == "json"]
texts = st.lists(st.sampled_from([*MARKS, "🚆"]) | st.text(max_size=8)).map("".join)
calls = st.builds(Call, st.sampled_from([tool.name for tool in TOOLS]), arguments)


@pytest.mark.parametrize("template", WITH_JSON, ids=lambda template: template.name)
@given(text=st.none() | texts, calls=st.lists(calls, max_size=3))
def test_what_was_rendered_is_read_back(template: PromptTemplate, text: str | None, calls: list[Call]) -> None:
    """Parsing the text that the model learns for a message gives back the message.

    The messages contain `>>>`, quotes, tags and emoji.
    """
    assume(not means_a_mark(template, text or ""))
    if template.separator is None:
        calls = calls[:1]
    pieces = [piece for piece in template.render([Message("assistant", text, tuple(calls))], TOOLS) if piece.learned]
    stretches = [stretch for piece in pieces for stretch in spelled(piece)]
    if stretches:
        stretches[0] = (stretches[0][0].removeprefix(template.opening.text), stretches[0][1])
    events = read(template, TOOLS, stretches)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == (text or "").strip()
    assert [event.name for event in events if isinstance(event, CallStart)] == [call.name for call in calls]
    assert [event.text for event in events if isinstance(event, ArgsDelta)] == [call.arguments for call in calls]
