"""The output parser of all turn formats. Outputs are written as the model writes them, with control tokens as text."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from core.conversation import CodeInterpreter, Function
from core.turn_format import ArgsDelta, CallStart, Event, Mark, Region, TextDelta, TurnFormat
from prompt_template import load_template
from text.parser import OutputParser

TOOLS = [Function("get_x"), Function("get_x_now"), Function("all_stations"), Function("ping")]
CONTROL = re.compile(r"(<\|[A-Za-z_]+\|>|</s>)")
Message = tuple[str, list[tuple[str, str]]]


def turn_format(template: str, *, code: bool = False) -> TurnFormat:
    return load_template(template).turn_format([*TOOLS, CodeInterpreter()] if code else TOOLS)


def read(rules: TurnFormat, output: str, *, step: int = 0, cut: bool = False) -> Message:
    """Feed `output` to the parser, `step` characters at a time or, with 0, all at once.

    Return the text and calls as a message.
    """
    parser = OutputParser(rules)
    events: list[Event] = []
    for number, stretch in enumerate(CONTROL.split(output)):
        if number % 2:
            events += parser.feed(stretch, is_control=True)
            continue
        for start in range(0, len(stretch), step or len(stretch) or 1):
            events += parser.feed(stretch[start : start + (step or len(stretch))])
    return folded([*events, *parser.finish(is_truncated=cut)])


def folded(events: Iterable[Event]) -> Message:
    text, calls = "", list[tuple[str, str]]()
    for event in events:
        match event:
            case TextDelta(more):
                text += more
            case CallStart(name):
                calls.append((name, ""))
            case ArgsDelta(more):
                calls[-1] = (calls[-1][0], calls[-1][1] + more)
    return text, calls


V3_OUTPUTS: dict[str, Message] = {
    "all\nHello there.<|eot_id|>": ("Hello there.", []),
    'get_x\n{"a": 1}<|eot_id|>': ("", [("get_x", '{"a": 1}')]),
    "all\nLet me look. >>>get_x\n{}<|eot_id|>": ("Let me look.", [("get_x", "{}")]),
    'get_x\n{"a": 1} >>>get_x_now\n{"b": 2}': ("", [("get_x", '{"a": 1}'), ("get_x_now", '{"b": 2}')]),
    "all_stations\n{}": ("", [("all_stations", "{}")]),
    "unheard_of\n{}": ("", [("unheard_of", "{}")]),
    "get_x\n{}>>>unheard_of\n{}": ("", [("get_x", "{}"), ("unheard_of", "{}")]),
    "all\nThe prompt is >>> and then code": ("The prompt is >>> and then code", []),
    "all\nType >>>unheard_of\nthere": ("Type >>>unheard_of\nthere", []),
    'get_x\n{"a": ">>>get_x_now\\n \\">>>ping\\n"}>>>ping\n': (
        "",
        [("get_x", '{"a": ">>>get_x_now\\n \\">>>ping\\n"}'), ("ping", "{}")],
    ),
    'get_x\n{"a": {"b": 1>>>ping\n{}': ("", [("get_x", '{"a": {"b": 1'), ("ping", "{}")]),
    "all\nFirst.>>>all\nSecond.": ("First.Second.", []),
    "all\nBefore.\n>>>ping\n{}>>>all\nAfter.": ("Before.\nAfter.", [("ping", "{}")]),
    "get_x \n {} \n": ("", [("get_x", "{}")]),
    "\nget_x\n{}": ("", [("get_x", "{}")]),
    "all\n \n\t": ("", []),
    "": ("", []),
    "<|eot_id|>": ("", []),
}


@pytest.mark.parametrize("output", V3_OUTPUTS)
def test_v3(output: str, subtests: pytest.Subtests) -> None:
    """Each output gives the same message no matter whether it is read at once or in pieces.

    D1 to D6 in this file are bugs of a previous version of the server.

    D2: a name that is the beginning of another, is unknown, or begins with `all` made the whole stream empty.
    D4: `>>>` inside arguments or text was taken for a separator.
    D5: the same answer read in single characters and in one piece gave different results in nearly every case.
    """
    for step in (0, 1, 2, 3, 7):
        with subtests.test(step=step):
            assert read(turn_format("functionary_v3"), output, step=step) == V3_OUTPUTS[output]


def test_no_delta_is_lost_after_a_line_break() -> None:
    """D1: after a delta that was exactly a line break, the next delta was lost: `One moment` became ` moment`."""
    parser = OutputParser(turn_format("functionary_v3"))
    deltas = ["all", "\n", "One", " moment", "\n", "please"]
    assert folded(event for delta in deltas for event in parser.feed(delta)) == ("One moment\nplease", [])


def test_an_answer_of_one_token_and_a_half_mark_at_the_end_are_shown() -> None:
    """D3: the first token was held back, so that an answer of one token or half a mark at the end was lost."""
    assert read(turn_format("functionary_v3"), "all\nx >>", step=1) == ("x >>", [])
    assert read(turn_format("functionary_v1"), "7", step=1) == ("7", [])


@pytest.mark.parametrize("arguments", ['{"origin": "Ly', '{"a": "\\', "{", ""])
def test_a_call_that_is_cut_off_is_a_call(arguments: str) -> None:
    """A call that the token limit cuts is an incomplete call.

    Regression test (D6): such a call was text in whole answers and a call in streams.
    """
    assert read(turn_format("functionary_v3"), f"get_x\n{arguments}", cut=True) == ("", [("get_x", arguments)])


@pytest.mark.parametrize("output", ["all", "get_x", "get", "", "get_x\n{}>>>pin"])
def test_a_name_that_is_cut_off_is_nothing(output: str) -> None:
    """A call starts when its name is complete. Half a name is neither a call nor text."""
    calls = [("get_x", "{}")] if "{}" in output else []
    assert read(turn_format("functionary_v3"), output, cut=True) == ("", calls)


@pytest.mark.parametrize("text", ["I cannot do that.", "Sure, here it is:\nget_x", "<b>Hello</b>\n", "x" * 500])
def test_what_cannot_be_a_name_is_text(text: str, subtests: pytest.Subtests) -> None:
    """An answer that ignores the format is shown as text, and an endless name is not held back forever."""
    for step in (0, 1, 80):
        with subtests.test(step=step):
            assert read(turn_format("functionary_v3"), text, step=step) == (text.strip(), [])


def test_a_call_without_arguments_gets_an_empty_object() -> None:
    assert read(turn_format("functionary_v3"), "ping\n >>>ping\n") == ("", [("ping", "{}"), ("ping", "{}")])
    assert read(turn_format("functionary_v3"), "ping\n", cut=True) == ("", [("ping", "")])


def test_code_has_no_strings() -> None:
    """Code has no JSON strings: a single quotation mark in Python must not hide the next call."""
    output = "python\nprint(\"it's\", 5 >>>2)  # don't\n>>>get_x\n{}"
    expected = [("python", "print(\"it's\", 5 >>>2)  # don't"), ("get_x", "{}")]
    assert read(turn_format("functionary_v3", code=True), output, step=1) == ("", expected)
    assert read(turn_format("functionary_v3", code=True), "python\n") == ("", [("python", "")])


def test_python_is_a_function_without_code_interpreter() -> None:
    output = 'python\n{"code": ">>>get_x\\n"}>>>get_x\n{}'
    assert read(turn_format("functionary_v3"), output) == ("", [("python", '{"code": ">>>get_x\\n"}'), ("get_x", "{}")])


CALL = "<|START_OF_FUNCTION_CALL|>"
V1_OUTPUTS: dict[str, Message] = {
    "\nHello there.<|END_OF_ASSISTANT|>": ("Hello there.", []),
    f'\n{CALL}get_x:\n{{"a": ":"}}<|END_OF_FUNCTION_CALL|>': ("", [("get_x", '{"a": ":"}')]),
    f"\nLet me look.\n{CALL}get_x:\n{{}}": ("Let me look.", [("get_x", "{}")]),
    f'{CALL}get_x:\n{{"a": "{CALL}ping:': ("", [("get_x", '{"a": "'), ("ping", "{}")]),
    f"\nHello{CALL}": ("Hello", []),
    f"\nHello{CALL}two words:{{}}": ("Hellotwo words:{}", []),
}


@pytest.mark.parametrize("output", V1_OUTPUTS)
def test_v1(output: str, subtests: pytest.Subtests) -> None:
    for step in (0, 1, 5):
        with subtests.test(step=step):
            assert read(turn_format("functionary_v1"), output, step=step) == V1_OUTPUTS[output]


def test_a_mark_spelled_in_ordinary_text_is_text() -> None:
    """Only the control token opens a call. The same characters written as ordinary text are text.

    Otherwise a model that explains its own format would make a call.
    """
    parser = OutputParser(turn_format("functionary_v1"))
    spelled = f"I write {CALL}ping: to call."
    assert folded([*parser.feed(spelled), *parser.finish()]) == (spelled, [])


PLAIN_OUTPUTS: dict[str, Message] = {
    ":\nHello there.\n user:\n</s>": ("Hello there.", []),
    ":\nHello there.</s>": ("Hello there.", []),
    ' to=functions.get_x:\n{"a": ":"}</s>': ("", [("get_x", '{"a": ":"}')]),
    'to=functions.get_x:\n{"a": 1}</s>': ("", [("get_x", '{"a": 1}')]),
    ":\nLet me look.\n assistant to=functions.get_x:\n{}</s>": ("Let me look.", [("get_x", "{}")]),
    ":\nLet me look.\nassistant to=functions.get_x:\n{}</s>": ("Let me look.", [("get_x", "{}")]),
    ":\nYAML:\nuser:\n  name: x": ("YAML:\nuser:\n  name: x", []),
    ":\nHi\n user:\n</s>and more\n assistant to=functions.get_x:\n{}": ("Hi", []),
    ":\nHi\n user": ("Hi\n user", []),
    "</s>": ("", []),
}


@pytest.mark.parametrize("output", PLAIN_OUTPUTS)
def test_v1_plain(output: str, subtests: pytest.Subtests) -> None:
    for step in (0, 1, 4):
        with subtests.test(step=step):
            assert read(turn_format("functionary_v1_plain"), output, step=step) == PLAIN_OUTPUTS[output]


def test_the_longest_mark_counts() -> None:
    rules = TurnFormat(
        "text",
        {
            "text": Region("text", (Mark("<a", "skip"), Mark("<ab>", "name"))),
            "name": Region("name", (Mark(";", "args"),)),
        },
    )
    assert read(rules, "x<ab>f;1", step=1) == ("x", [("f", "1")])
    assert read(rules, "x<abc", step=1) == ("x", [])
    assert read(rules, "x<a", step=1) == ("x", [])


def test_closing_tags_inside_strings_are_arguments() -> None:
    """In formats with tags, `</function>` inside a string belongs to the arguments.

    Regression test (D4): it ended the arguments.
    """
    opening, closing = Mark("<function=", "name"), Mark("</function>", "text")
    regions = {
        "text": Region("text", (opening,)),
        "name": Region("name", (Mark(">", "args"),)),
        "args": Region("args", (closing,)),
    }
    rules = TurnFormat("text", regions)
    output = 'Sure <function=f>{"a": "</function>"}</function>\n<function=g></function>\nDone <'
    assert read(rules, output, step=1) == ("Sure \n\nDone <", [("f", '{"a": "</function>"}'), ("g", "{}")])


def test_special_marks_end_names_and_strings() -> None:
    """In v2 a name ends at a line break and a control token, and the control token also ends a string."""
    name = (Mark("<|content|>", "args", is_control=True),)
    args = (Mark("<|from|>", "name", is_control=True),)
    rules = TurnFormat("name", {"name": Region("name", name), "args": Region("args", args)}, "all")
    assert read(rules, ' f\n<|content|> {"a": "<|from|>all\n<|content|>Hi', step=1) == ("Hi", [("f", '{"a": "')])


def test_the_region_is_known_while_reading() -> None:
    parser = OutputParser(turn_format("functionary_v3", code=True))
    regions = []
    for stretch in ["all", "\n", "text>>>get_x\n", '{"a": "', "python", ">>>", '"}>>>', "python\n", "1"]:
        list(parser.feed(stretch))
        regions.append(parser.region)
    assert regions == ["name", "text", "args", "args", "args", "args", "name", "code", "code"]
    list(parser.finish())
    assert parser.region == "end"


def test_feeding_works_without_reading_the_events() -> None:
    """A prefill is fed to set the parser's state, and its events are not read."""
    parser = OutputParser(turn_format("functionary_v3"))
    parser.feed("all\n")
    assert list(parser.feed("Hi")) == [TextDelta("Hi")]


def test_whitespace_waits_for_what_follows() -> None:
    parser = OutputParser(turn_format("functionary_v3"))
    deltas = [list(parser.feed(text)) for text in ["all\n", "  ", "One", " ", "\n", "two", " "]]
    assert deltas == [[], [], [TextDelta("One")], [], [], [TextDelta(" \ntwo")], []]
    assert list(parser.finish()) == []


@pytest.mark.parametrize("end", [">", ">>", ">>>", ">>>get"])
def test_a_mark_that_is_cut_is_not_shown(end: str) -> None:
    """Markup that the token limit cuts, such as `>>>get_x`, is not shown.

    Regression test: the markup was shown at the end of the text or of complete arguments.
    """
    v3 = turn_format("functionary_v3")
    assert read(v3, f"all\nLet me see.{end}", cut=True) == ("Let me see.", [])
    assert read(v3, f"all\nLet me see.{end}") == (f"Let me see.{end}", [])
    if len(end) < 4:
        assert read(v3, 'get_x\n{"a": 1}' + end, cut=True) == ("", [("get_x", '{"a": 1}')])
