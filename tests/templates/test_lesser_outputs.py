"""Outputs in the formats r1, r1_distilled_llama, r1_distilled_qwen, qwen2.5-text-only, cogito and gemma3.

Each output is read as a whole, in single characters and in random chunks, with the format's marks as control tokens and
as ordinary text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator

import pytest

from core.conversation import Call, ChatRequest, CodeInterpreter, Function, Message, Tool, ToolChoice
from core.errors import RequestError
from core.turn_format import ArgsDelta, CallStart, TextDelta
from prompt_template import Piece, load_template
from text.parser import OutputParser

HERMES = ["functionary_qwen25", "functionary_cogito", "functionary_gemma3", "functionary_r1_qwen"]
ALL = [*HERMES, "functionary_r1", "functionary_r1_llama"]
TOOLS: list[Tool] = [Function("get_x"), Function("get_x_now"), CodeInterpreter()]
Read = tuple[str, list[tuple[str, str]]]  # the text, and name and arguments of each call
AUTO = ToolChoice("auto")

each_hermes = pytest.mark.parametrize("name", HERMES)
each = pytest.mark.parametrize("name", ALL)


def stretches(output: str, control: Collection[str], cut: Callable[[str], list[str]]) -> Iterator[str]:
    """Yield the output in chunks. A control token is a chunk of its own."""
    for part in re.split("(" + "|".join(map(re.escape, control)) + ")", output):
        yield from [part] if part in control else cut(part)


def read_chunks(
    name: str, output: str, choice: ToolChoice, *, control: Collection[str], cut: Callable[[str], list[str]]
) -> Read:
    """Read an output. Without a stop token, it is cut off."""
    template = load_template(name).bound(lambda text: 1 if text in control else None)
    parser = OutputParser(template.turn_format(TOOLS))
    is_truncated = not output.endswith(template.stop)
    output = template.prefill(choice) + output.removesuffix(template.stop[0])
    events = [
        event for part in stretches(output, control, cut) for event in parser.feed(part, is_control=part in control)
    ]
    text, calls = "", list[tuple[str, str]]()
    for event in [*events, *parser.finish(is_truncated=is_truncated)]:
        match event:
            case TextDelta(shown):
                text += shown
            case CallStart(called):
                calls.append((called, ""))
            case ArgsDelta(shown):
                calls[-1] = (calls[-1][0], calls[-1][1] + shown)
    return text, calls


def random_chunks(text: str) -> list[str]:
    dice = random.Random(len(text))
    chunks: list[str] = []
    while text:
        size = dice.randint(1, 7)
        chunks, text = [*chunks, text[:size]], text[size:]
    return chunks


def read(name: str, output: str, choice: ToolChoice = AUTO, *, only_text: bool = False) -> Read:
    """Read `output` in all ways, and return what all of them give. With `only_text`, no mark is a control token."""
    template = load_template(name)
    tokens = [template.stop] if only_text else [template.stop, template.stop + template.optional_tokens]
    cuts: list[Callable[[str], list[str]]] = [lambda text: [text], list, random_chunks]
    found = [read_chunks(name, output, choice, control=control, cut=cut) for control in tokens for cut in cuts]
    assert all(one == found[0] for one in found), found
    return found[0]


def turn(name: str, *calls: tuple[str, str], text: str = "") -> str:
    """Return a turn of the assistant as it stands in prompts, after the opening."""
    template = load_template(name)
    body = [(template.calls_open if calls else "")]
    for number, (called, arguments) in enumerate(calls):
        is_code = called == "python"
        separator = (template.separator or "") if number else ""
        tail = template.code_tail if is_code and template.code_function is None else template.call_tail
        body.append(separator + template.call_head(called) + arguments + tail)
    return text + "".join(body) + (template.calls_close if calls else "") + template.stop[0]


@each
def test_text(name: str) -> None:
    text = 'Five trains <, all `on` time: <tool, ``` and {"name": 1}'
    assert read(name, turn(name, text=text)) == (text, [])


@each
def test_parallel_calls(name: str) -> None:
    """A name ends where its terminator stands, also if another name begins with it."""
    calls = [("get_x", '{"a": {"b": ["}", 1]}}'), ("get_x_now", "{}"), ("get_x", '{"a": "é\\" }"}')]
    assert read(name, turn(name, *calls)) == ("", calls)


@each
def test_text_with_calls(name: str) -> None:
    calls = [("get_x", '{"a": 1}')]
    assert read(name, turn(name, *calls, text="One moment.\n")) == ("One moment.", calls)


@each
def test_marks_inside_strings_are_data(name: str) -> None:
    """Earlier servers cut the arguments at a closing tag inside a string."""
    calls = [("get_x", r'{"a": "</function> ``` \n``` \" }} </tool_call> <function=get_x>"}')]
    assert read(name, turn(name, *calls), only_text=True) == ("", calls)


@each
def test_a_call_that_is_cut_off_is_a_call(name: str) -> None:
    whole = turn(name, ("get_x", '{"a": "Lyo'), text="Yes.")
    output = whole[: whole.index("Lyo") + 3]
    assert read(name, output) == ("Yes.", [("get_x", '{"a": "Lyo')])


@each
def test_the_prefix_of_a_required_call(name: str) -> None:
    choice = ToolChoice("required")
    output = turn(name, ("get_x", '{"a": 1}')).removeprefix(load_template(name).prefill(choice))
    assert read(name, output, choice) == ("", [("get_x", '{"a": 1}')])


@pytest.mark.parametrize("name", [name for name in ALL if name != "functionary_r1"])
def test_the_prefix_of_a_named_call(name: str) -> None:
    choice = ToolChoice("named", ("get_x",))
    output = turn(name, ("get_x", '{"a": 1}')).removeprefix(load_template(name).prefill(choice))
    assert read(name, output, choice) == ("", [("get_x", '{"a": 1}')])


@each_hermes
def test_the_prefix_of_a_named_call_ends_before_the_quote(name: str) -> None:
    """The model continues with `": {`, as in training."""
    choice = ToolChoice("named", ("get_x",))
    assert load_template(name).prefill(choice) == '<tool_call>\n{"name": "get_x", "arguments'


def test_r1_cannot_force_a_named_function() -> None:
    """The published format has no prefix for it."""
    request = ChatRequest("", (Message("user", "Hi"),), tuple(TOOLS), ToolChoice("named", ("get_x",)))
    with pytest.raises(RequestError, match=r"cannot force one function; use tool_choice 'required'"):
        load_template("functionary_r1").prompt(request)


def test_r1_has_no_opening_after_results() -> None:
    """The published format ends with the results; a user's text that looks like their end changes nothing."""
    template = load_template("functionary_r1")
    end = "<｜tool▁outputs▁end｜>"
    for message, last in [(Message("tool", "21"), end), (Message("user", end), "<｜Assistant｜>\n")]:
        pieces = template.prompt(ChatRequest("", (Message("user", "Hi"), message)))
        assert "".join(piece.text for piece in pieces).endswith(last)
    only = template.prompt(ChatRequest("", (Message("assistant"),)))
    assert only[0] == template.opening


@each_hermes
def test_code_is_taken_out_of_its_json(name: str) -> None:
    """The model writes the code interpreter's code as a JSON string; the answer has the code itself."""
    arguments = r'{"code": "for x in [\"a}\", \"é\"]:\n    print(x)\\n"}'
    code = 'for x in ["a}", "é"]:\n    print(x)\\n'
    calls = [("python", arguments), ("get_x", '{"a": 1}')]
    assert read(name, turn(name, *calls, text="Sure.")) == ("Sure.", [("python", code), ("get_x", '{"a": 1}')])


@each_hermes
def test_a_function_with_the_name_of_the_code_interpreter_takes_json(name: str) -> None:
    parser = OutputParser(load_template(name).turn_format([Function("python")]))
    events = list(parser.feed('<tool_call>\n{"name": "python", "arguments": {"code": "1"}}\n</tool_call>'))
    assert events == [CallStart("python"), ArgsDelta('{"code": "1"}')]


@each_hermes
def test_code_is_streamed(name: str) -> None:
    parser = OutputParser(load_template(name).turn_format(TOOLS))
    events = list(parser.feed('<tool_call>\n{"name": "python", "arguments": {"code": "print(1)\\nprint('))
    assert events == [CallStart("python"), ArgsDelta("print(1)\nprint(")]


@pytest.mark.parametrize("name", ["functionary_r1", "functionary_r1_llama"])
def test_code_is_raw(name: str) -> None:
    """In code, quotes are not tracked, and tags of JSON calls are part of it."""
    code = "s = '\n</function> \"'\nprint(s)"
    assert read(name, turn(name, ("python", code), text="Sure.")) == ("Sure.", [("python", code)])


@each
def test_rendered_code_is_read_back(name: str) -> None:
    code = 'print("é\\n")\nx = {"a": [1]}'
    pieces = load_template(name).render([Message("assistant", None, (Call("python", code),))], TOOLS)
    output = "".join(piece.text for piece in pieces if piece.learned)
    assert read(name, output.replace("<|eom_id|>", load_template(name).stop[0])) == ("", [("python", code)])


def test_r1s_calls_without_line_breaks_and_with_text_behind_them() -> None:
    output = (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_x\n```json\n{}```<｜tool▁call▁end｜>\n"
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_x_now\n```json\n[1]\n```<｜tool▁calls▁end｜>Done.<｜end▁of▁sentence｜>"
    )
    assert read("functionary_r1", output) == ("Done.", [("get_x", "{}"), ("get_x_now", "[1]")])


def test_wrapping_of_code_in_the_history() -> None:
    """Code that is not JSON is wrapped. Deeply nested brackets are not JSON that Python reads, and no error."""
    template = load_template("functionary_qwen25")
    deep = "[" * 100_000
    for arguments, shown in [("x = 'é'", '{"code": "x = \'é\'"}'), ('{"code": "1"}', '{"code": "1"}'), (deep, deep)]:
        pieces = template.render([Message("assistant", None, (Call("python", arguments),))], TOOLS)
        assert shown in "".join(piece.text for piece in pieces)
        assert Piece(shown, learned=True) in pieces or arguments == deep
