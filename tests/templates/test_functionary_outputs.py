"""Outputs in the formats v2, v2.llama3, v3.llama3, v3-llama3.1 and its variant with reasoning.

Each output is read as a whole, in single characters and in random chunks; its control tokens stay whole. Each test
whose docstring has a number (D1, D2, ...) is about a defect of the previous server for these models.
"""

from __future__ import annotations

import random
import re

import pytest

from core.conversation import Call, ChatRequest, CodeInterpreter, Function, Message, Reasoning, Tool, ToolChoice
from core.turn_format import ArgsDelta, CallStart, Event, TextDelta
from prompt_template import load_template
from text.parser import OutputParser

CONTROL = re.compile(r"(<\|[a-z_0-9]+\|>)")
TOOLS: list[Tool] = [Function("get_x"), Function("get_x_now"), Function("all_stations"), CodeInterpreter()]
AUTO = ToolChoice("auto")
NEXT = "\n<|from|>assistant\n<|recipient|>"
RESERVED = "<|reserved_special_token_249|>"
Calls = list[tuple[str, str]]
Read = tuple[str, Calls]  # the text, and name and arguments of each call

# Each format as a text and calls in its spelling.
TURNS = {
    "functionary_v2": ("all\n<|content|>{text}", "{name}\n<|content|>{arguments}", NEXT),
    "functionary_v2_llama3": ("{text}", RESERVED + "{name}\n{arguments}", ""),
    "functionary_v3": ("all\n{text}", "{name}\n{arguments}", ">>>"),
    "functionary_v3_llava": ("all\n{text}", "{name}\n{arguments}", ">>>"),
    "functionary_v3_llama31": ("{text}", "<function={name}>{arguments}</function>", ""),
    "functionary_v4r": ("{text}", "<function={name}>{arguments}</function>", ""),
}
each = pytest.mark.parametrize("name", TURNS)


def written(name: str, text: str, calls: Calls) -> str:
    """Return a turn as the model writes it, without a stop token."""
    text_format, call_format, separator = TURNS[name]
    parts = [text_format.format(text=text)] if text else []
    return separator.join([*parts, *(call_format.format(name=called, arguments=args) for called, args in calls)])


def chunks(text: str, size: int) -> list[str]:
    """Cut `text` into chunks of at most `size` characters; of random sizes if it is 0."""
    dice, cut = random.Random(len(text)), list[str]()
    while text:
        length = size or dice.randint(1, 7)
        cut, text = [*cut, text[:length]], text[length:]
    return cut


def read_chunks(name: str, output: str, choice: ToolChoice, size: int, *, is_truncated: bool) -> Read:
    template = load_template(name).bound(lambda text: 1)
    parser = OutputParser(template.turn_format(TOOLS))
    events: list[Event] = []
    for number, part in enumerate(CONTROL.split(template.prefill(choice) + output)):
        for chunk in [part] if number % 2 else chunks(part, size):
            events += parser.feed(chunk, is_control=number % 2 == 1)
    text, calls = "", Calls()
    for event in [*events, *parser.finish(is_truncated=is_truncated)]:
        match event:
            case TextDelta(shown):
                text += shown
            case CallStart(called):
                calls.append((called, ""))
            case ArgsDelta(shown):
                calls[-1] = (calls[-1][0], calls[-1][1] + shown)
    return text, calls


def read(name: str, output: str, choice: ToolChoice = AUTO, *, is_truncated: bool = False) -> Read:
    """Read `output` cut in several ways, and return what all of them give (D5)."""
    found = [read_chunks(name, output, choice, size, is_truncated=is_truncated) for size in (1, 2, 0, 10_000)]
    assert all(one == found[0] for one in found), found
    return found[0]


@each
def test_text_and_parallel_calls(name: str) -> None:
    """The same answer is read from every format, however it is cut.

    Regression test (D5): the streams of a previous version depended on token boundaries.
    """
    calls = [("get_x", '{"a": "é 🚆"}'), ("get_x_now", '{"b": [1, {"c": "}"}]}')]
    assert read(name, written(name, "One moment.", calls)) == ("One moment.", calls)
    assert read(name, written(name, "", calls)) == ("", calls)
    assert read(name, written(name, "Only text.", [])) == ("Only text.", [])


def test_v2_keeps_the_text_after_a_line_break() -> None:
    """Regression test (D1): after a chunk that was exactly a line break, the next chunk of a stream was lost."""
    assert read("functionary_v2", "all\n<|content|>First.\nSecond.\n\nThird.") == ("First.\nSecond.\n\nThird.", [])
    parser = OutputParser(load_template("functionary_v2").turn_format(TOOLS))
    pieces = ["all", "\n", "<|content|>", "One", "\n", " moment"]
    events = [event for piece in pieces for event in parser.feed(piece, is_control=piece.startswith("<|"))]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "One\n moment"


@each
@pytest.mark.parametrize("called", ["get_x", "get_x_now", "all_stations", "unheard_of"])
def test_names_end_where_their_mark_stands(name: str, called: str) -> None:
    """A name may be the prefix of another, may begin with `all`, and need not be a name of the request.

    Regression test (D2): such names made the whole stream empty in v2 and v3.llama3.
    """
    calls = [(called, '{"a": 1}')]
    assert read(name, written(name, "", calls)) == ("", calls)


@pytest.mark.parametrize("text", ["Yes", "<", "1 <", "a <function", "</function>", "x <function=y z> z"])
def test_llama31_keeps_short_texts_and_angle_brackets(text: str) -> None:
    """Regression test (D3): a stream held back its first token, so an answer of one token or a final `<` was lost."""
    assert read("functionary_v3_llama31", text) == (text, [])


def test_v3_marks_inside_text_and_arguments_are_not_marks() -> None:
    """Regression test (D4): `>>>` inside text or a string of arguments split the answer into wrong calls."""
    assert read("functionary_v3", "all\nThe prompt is >>> and code") == ("The prompt is >>> and code", [])
    calls = [("get_x", '{"a": "1 >>>get_x\\n{}"}')]
    assert read("functionary_v3", written("functionary_v3", "", calls)) == ("", calls)


@pytest.mark.parametrize("name", ["functionary_v3_llama31", "functionary_v4r"])
def test_llama31_marks_inside_strings_are_not_marks(name: str) -> None:
    """Regression test (D4): `</function>` inside a string cut off the arguments."""
    calls = [("get_x", r'{"a": "</function> \" <function=get_x>"}'), ("get_x", "{}")]
    assert read(name, written(name, "", calls)) == ("", calls)


@each
def test_a_call_that_the_token_limit_cuts_off_is_a_call(name: str) -> None:
    """Regression test (D6): without streaming, v3-llama3.1 returned the raw `<function=...` as content."""
    whole = written(name, "", [("get_x", '{"a": "Ly')])
    output = whole.removesuffix("</function>")
    assert read(name, output, is_truncated=True) == ("", [("get_x", '{"a": "Ly')])


def prompt(name: str, request: ChatRequest) -> str:
    return "".join(piece.text for piece in load_template(name).prompt(request))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("functionary_v2", "<|from|>get_x\n<|recipient|>all\n<|content|>7\n"),
        ("functionary_v2_llama3", "tool<|end_header_id|>\n\nname=get_x\n7<|eot_id|>"),
    ],
)
def test_a_result_without_name_is_named_after_its_call(name: str, result: str) -> None:
    """Regression test (D8): a tool message without `name`, as OpenAI's clients send it, crashed v2 and v2.llama3."""
    messages = (Message("assistant", None, (Call("get_x", "{}", "c1"),)), Message("tool", "7", call_id="c1"))
    assert result in prompt(name, ChatRequest("", messages, tuple(TOOLS), AUTO))


@each
def test_null_content_and_missing_results_can_be_rendered(name: str) -> None:
    """Regression test (D9): null content of a user and a call without its result were internal errors."""
    call = Message("assistant", None, (Call("get_x", '{"a": 1}', "c1"),))
    shown = prompt(name, ChatRequest("", (Message("user"), call, Message("user", "Go on")), tuple(TOOLS), AUTO))
    assert '{"a": 1}' in shown and "None" not in shown.split('{"a": 1}')[1]


@each
def test_a_function_whose_type_contains_itself_can_be_rendered(name: str) -> None:
    """Regression test (D9): a recursive `$ref` was an internal error."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    tool = Function("get_x", "", {"type": "object", "properties": {"n": node}, "$defs": {"node": node}})
    assert "next" in prompt(name, ChatRequest("", (Message("user", "Hi"),), (tool,), AUTO))


@each
def test_a_named_choice_begins_the_call(name: str) -> None:
    """The prompt ends with the head of the named call, and the parser reads it before the answer.

    Regression test (D11): answers to a named choice differed between streaming and not.
    """
    choice = ToolChoice("named", ("get_x",))
    head = load_template(name).prefill(choice)
    assert prompt(name, ChatRequest("", (Message("user", "Hi"),), tuple(TOOLS), choice)).endswith(head)
    output = written(name, "", [("get_x", '{"a": 1}')]).removeprefix(head)
    assert output.startswith("{") and read(name, output, choice) == ("", [("get_x", '{"a": 1}')])


@each
def test_a_required_call_and_a_required_text(name: str) -> None:
    """Where the format has a prefill for a required call or for text, the output continues it."""
    template, calls = load_template(name), [("get_x", '{"a": 1}')]
    output = written(name, "", calls).removeprefix(template.required_prefill)
    assert read(name, output, ToolChoice("required")) == ("", calls)
    text = written(name, "Hello", []).removeprefix(template.text_prefill)
    assert text == "Hello" and read(name, text, ToolChoice("none")) == ("Hello", [])


CODE = 'total = "unclosed\nif 1 < 2:\n    print(">>> \\n", total)'


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("functionary_v2", f"python\n<|content|>{CODE}"),
        ("functionary_v2_llama3", f"{RESERVED}python\n{CODE}"),
        ("functionary_v3", f"python\n{CODE}"),
        ("functionary_v3_llama31", f"<|python_tag|>{CODE}"),
        ("functionary_v4r", f"<|python_tag|>{CODE}"),
        ("functionary_v3_llama31", f"<function=python>{CODE}</function>"),
    ],
)
def test_code_is_read_as_it_is(name: str, output: str) -> None:
    """Code is no JSON: its quotes do not hide marks, and a quote without an end hides nothing."""
    assert read(name, output) == ("", [("python", CODE)])


def test_v2_strips_the_spaces_of_its_tokenizers() -> None:
    """SentencePiece tokenizers of v2 checkpoints decode a space after each control token."""
    output = " get_x\n<|content|> {}\n<|from|> assistant\n<|recipient|> all\n<|content|> Done."
    assert read("functionary_v2", output) == ("Done.", [("get_x", "{}")])


def test_llama31_keeps_text_around_calls() -> None:
    output = "Before <function=get_x>{}</function> \n<function=get_x_now>{}</function> after"
    assert read("functionary_v3_llama31", output) == ("Before  \n after", [("get_x", "{}"), ("get_x_now", "{}")])


@pytest.mark.parametrize(("is_enabled", "shown"), [(None, "On"), (True, "On"), (False, "Off")])
def test_v4r_has_a_switch_for_reasoning(is_enabled: bool | None, shown: str) -> None:
    request = ChatRequest("", (Message("user", "Hi"),), reasoning=Reasoning(is_enabled))
    head = f"<|start_header_id|>system<|end_header_id|>\n\nReasoning Mode: {shown}\n\n\nCutting Knowledge Date"
    assert prompt("functionary_v4r", request).startswith(head)


def test_llama31_shows_functions_as_ascii() -> None:
    """The checkpoints were trained with escaped JSON; the sentence above the JSON is not escaped."""
    tool = Function("get_x", "Café 🚆", {"type": "object", "properties": {}})
    shown = prompt("functionary_v3_llama31", ChatRequest("", (Message("user", "Hi"),), (tool,), AUTO))
    assert 'to \'Café 🚆\'\n{"name": "get_x", "description": "Caf\\u00e9 \\ud83d\\ude86"' in shown
