"""Properties of the output parser in every template.

The size of chunks does not matter, no output raises an exception, and rendered messages are parsed back.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.conversation import Call, Message, Tool
from core.turn_format import ArgsDelta, CallStart
from prompt_template import PromptTemplate, load_template, template_names
from templates.shared.llama_calls import LlamaCallTemplate
from tests.support.model_outputs import (
    TOOLS,
    WITH_CODE,
    Bound,
    Stretch,
    bound_templates,
    characters,
    check_shown,
    merged,
    read,
    shown_reasoning,
    shown_text,
    turns,
)

TEMPLATES = [load_template(name) for name in template_names()]
every_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)

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


@every_template
@given(outputs=outputs, tools=st.sampled_from([WITH_CODE, TOOLS]), cut=st.booleans())
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
    check_shown(read(template, TOOLS, outputs, cut=cut))


def means_a_mark(bound: Bound, text: str) -> bool:
    """Return whether the format would take part of the text for a mark. A model cannot write such a text."""
    regions = bound.template.turn_format(bound.tools).regions.values()
    shown = [region for region in regions if region.kind in ("text", "reasoning")]
    marks = [mark.text for region in shown for mark in region.marks]
    return any(mark in f"\n{text}\n" for mark in [*marks, "assistant to=functions."])


# Tagged arguments are typed by the schema of a function; tests/templates/test_tagged_calls.py reads them back.
WITH_JSON = [bound for bound in bound_templates() if bound.template.arguments_style == "json"]
texts = st.lists(st.sampled_from([*MARKS, "🚆"]) | st.text(max_size=8)).map("".join)
calls = st.builds(Call, st.sampled_from([tool.name for tool in TOOLS]), arguments)
code_calls = st.builds(
    Call, st.just("python"), st.sampled_from(["print('a')", 'x = {"a": [1]}\nprint("\\n")', "1 + 1  # é"])
)


@pytest.mark.parametrize("bound", WITH_JSON, ids=lambda bound: f"{bound.template.name}-{len(bound.control)}")
@given(text=st.none() | texts, calls=st.lists(calls | code_calls, max_size=3), reasoning=st.sampled_from(["", "Hm. {"]))
def test_what_was_rendered_is_read_back(bound: Bound, text: str | None, calls: list[Call], reasoning: str) -> None:
    """Parsing the text that the model learns for a message gives back the message.

    The messages contain `>>>`, quotes, tags, code and emoji. Optional tokens are control tokens or text.
    """
    assume(not means_a_mark(bound, text or ""))
    calls = [call for call in calls if call.name in [tool.name for tool in bound.tools]]
    if bound.template.separator is None:
        calls = calls[:1]
    if isinstance(bound.template, LlamaCallTemplate):  # nothing but a stop token ends code there
        assume(all(call.name != "python" for call in calls[:-1]))
    message = Message("assistant", text, tuple(calls), reasoning=reasoning)
    written = [read(bound.template, bound.tools, turn) for turn in turns(bound, message)]
    events = [event for turn in written for event in turn]
    assert shown_text(events) == (text or "").strip()
    assert shown_reasoning(events) in ("", reasoning)
    assert [event.name for event in events if isinstance(event, CallStart)] == [call.name for call in calls]
    assert [event.text for event in events if isinstance(event, ArgsDelta)] == [call.arguments for call in calls]
