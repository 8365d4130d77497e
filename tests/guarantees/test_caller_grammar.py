"""Grammars, regular expressions and choices of a request: every answer follows them, and none can do harm."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from core.conversation import ChatRequest, Function, ResponseFormat, ToolChoice
from core.errors import RequestError
from guarantees.caller_grammar import MAX_RULES, MAX_SIZE, safe_lark, safe_regexp
from guarantees.constraint import completion_constraint, constraint
from tests.guarantees.test_guarantees import each_template
from tests.support.random_model import RandomModel

PING = Function("ping")
GBNF = r"""
# an expression, over several lines
root  ::= term (" " [-+*] " " term)*
term  ::= number | "(" root ")"
        | Quoted
number ::= "-"? [1-9] [0-9]{0,2}
Quoted ::= "\"" [^"\\\x00-\x1F]{1,5} "\""
"""
LARK = r"""
// a date or a word in brackets
start: DATE | "<" word ">" -> tagged
word: /[a-z]{1,9}/
DATE: YEAR "-" /[01][0-9]/
YEAR: /[0-9]/~4
%ignore / /
"""
EXPRESSION = r'(?:[-+* ()0-9]|"[^"]*")+'


def raw(wanted: ResponseFormat, model: RandomModel, text: str, *, ends: bool = True) -> bool:
    """Return whether a raw completion in this format may be `text`, followed by the end."""
    rule = completion_constraint(wanted, model.tokenizer.eos_id)
    assert rule is not None
    return model.allows(rule, f"{text}</s>" if ends else text)


def lark(text: str) -> ResponseFormat:
    return ResponseFormat("grammar", grammar=text, param="guided_grammar")


def error_of(wanted: ResponseFormat, model: RandomModel) -> RequestError:
    with pytest.raises(RequestError) as caught:
        raw(wanted, model, "")
    error = caught.value
    assert (error.param, error.code) == (wanted.param, "invalid_value")
    assert error.message.startswith(f"Invalid '{wanted.param}': ")
    assert not re.search(r"NoExt|non-verbose|[0-9]\([0-9]+\)|derivre|rule_[0-9]|\n", error.message)
    return error


FORMATS: dict[str, tuple[ResponseFormat, Any]] = {
    "regex": (ResponseFormat("regex", pattern=r"^([0-9]{3}/[a-c]+|<b>é?)$"), r"[0-9]{3}/[a-c]+|<b>é?"),
    "choice": (ResponseFormat("choice", choices=("a", "ab", 'say "hi"', "</s>", "é😀\x7f\n")), None),
    "gbnf": (lark(GBNF), EXPRESSION),
    "lark": (lark(LARK), r"(?:\d{4} *- *[01]\d|< *[a-z]{1,9} *>) *"),
}


@each_template
@pytest.mark.parametrize("name", FORMATS)
def test_every_answer_follows_the_format(name: str, template: Any, model: RandomModel) -> None:
    """Without tools and in `auto` with tools, a text is in the format; a call is a whole call."""
    wanted, pattern = FORMATS[name]
    for tools, mode in (((), "none"), ((PING,), "auto")):
        request = ChatRequest("m", (), tools, ToolChoice(mode), response_format=wanted)  # type: ignore[arg-type]
        rule = constraint(request, template, model.tokenizer.token_id)
        assert rule is not None
        num_texts = 0
        for seed in range(12):
            ids, is_cut = model.walk(rule, model.stop_ids(template), seed)
            turn = model.read(template, request.tools, ids, template.prefill(request.choice))
            if is_cut or turn.calls:
                assert is_cut or set(turn.calls) == {("ping", "{}")}
                continue
            num_texts += 1
            if wanted.kind == "choice":
                assert turn.text in {choice.strip() for choice in wanted.choices} | set(wanted.choices)
            else:
                assert re.fullmatch(pattern, turn.text, re.DOTALL), turn.text
        assert num_texts or tools


@each_template
def test_a_forced_call_ignores_the_format(template: Any, bytes_model: RandomModel) -> None:
    wanted = ResponseFormat("choice", choices=("a",))
    request = ChatRequest("m", (), (PING,), ToolChoice("required"), response_format=wanted)
    rule = constraint(request, template, bytes_model.tokenizer.token_id)
    assert rule is not None
    ids, _ = bytes_model.walk(rule, bytes_model.stop_ids(template), 1)
    assert bytes_model.read(template, request.tools, ids).calls[0] == ("ping", "{}")


def test_a_raw_completion_follows_a_schema(model: RandomModel) -> None:
    wanted = ResponseFormat("json_schema", {"type": "array", "items": {"enum": [1, 2]}}, True, param="guided_json")
    assert raw(wanted, model, "[1, 2]")
    assert not raw(wanted, model, "[1, 3]")
    assert completion_constraint(ResponseFormat(), 1) is None


# GBNF


@pytest.mark.parametrize(
    ("grammar", "right", "wrong"),
    [
        (r'root ::= "a\n\t\"\\" [\]\-^/] .', 'a\n\t"\\-é', "a\n\t\"\\x'"),
        (r'root ::= "\x41\u00e9\U0001F600"', "Aé😀", "A"),
        ('root ::= foo-Bar "b"\nfoo-Bar ::= [a-c]+', "aab", "aa"),
        ('root ::= start stop\nstart ::= "<|im_end"\nstop ::= "</s" | "<[1]>"', "<|im_end<[1]>", "x"),
        ("root ::= [^\\n]{2}\n", "ab", "a\n"),
        ('root ::= ("a" | "b" |\n "c")\n  more?\nmore ::= root\n', "abc", "d"),
        ('# only\nroot::="a"# end', "a", "b"),
        ("root ::= [a-] [-a] [a\\-z]", "-a-", "b"),
        ('root ::= | "x"', "x", "y"),
        (r'root ::= [^"\\\x7F\x00-\x1F]{2,4000}', "ab", "a"),
    ],
)
def test_gbnf(grammar: str, right: str, wrong: str, bytes_model: RandomModel) -> None:
    assert raw(lark(grammar), bytes_model, right)
    assert not raw(lark(grammar), bytes_model, wrong)


def test_a_repetition_gives_characters_back(bytes_model: RandomModel) -> None:
    """`[a-z]+ "b"` matches "aab". If the set became one greedy terminal, it would take the last letter too."""
    assert raw(lark('root ::= word "b"\nword ::= [a-z]+'), bytes_model, "aab")


@pytest.mark.parametrize(
    ("grammar", "part"),
    [
        ('foo ::= "a"', "no rule 'root'"),
        ("root ::= foo", "'foo' is not defined"),
        ('root ::= "a"\nroot ::= "b"', "'root' is defined twice"),
        (r'root ::= "\q"', "not an escape sequence"),
        (r'root ::= "\uD800"', "not a character"),
        ("root ::= []", "is empty"),
        ('root ::= "a" <[12]>', "cannot name control tokens"),
        ('root ::= "a" = "b"', "'=' in line 1 is unexpected"),
        ("root ::= (", "cannot be compiled"),
        ("root ::= " + '"a"{1000}{1000}', f"longer than {MAX_SIZE}"),
        ('root ::= (("a"{100}){100}){100}', f"longer than {MAX_SIZE}"),
        ('root ::= "a"\n' + "".join(f'r{number} ::= "a"\n' for number in range(MAX_RULES)), "more than 500 rules"),
    ],
    ids=lambda value: f"{value!s:.30}",
)
def test_a_wrong_gbnf_grammar_is_an_error(grammar: str, part: str, bytes_model: RandomModel) -> None:
    assert part in error_of(lark(grammar), bytes_model).message


# Lark


@pytest.mark.parametrize(
    ("grammar", "right", "wrong"),
    [
        ('start: "<|im_end" /<\\[1\\]>/', "<|im_end<[1]>", "<"),
        ('start: stop\nstop: "x" answer\nanswer: "%lark { } @answer"', "x%lark { } @answer", "y"),
        ('%llguidance {}\nstart: "a"i ["b"] "c".."e"', "Ad", "Ax"),
        ("%import common.INT\n%import common (WORD, WS)\n%ignore WS\nstart: INT WORD", "12 ab", "ab"),
        ('start: "a"{2,3} "b"~2\n', "aabb", "abb"),
        ('start: a // "}" {\n# <[1]>\na: "}"', "}", "{"),
    ],
)
def test_lark(grammar: str, right: str, wrong: str, bytes_model: RandomModel) -> None:
    assert raw(lark(grammar), bytes_model, right)
    assert not raw(lark(grammar), bytes_model, wrong)


@pytest.mark.parametrize(
    ("grammar", "part"),
    [
        ("hello", "no grammar with a rule"),
        ("start: <[2]>", "cannot name control tokens"),
        ("start: <|im_end|>", "cannot name control tokens"),
        ("start: <[*]>", "cannot name control tokens"),
        ("start: @answer", "'@answer' in line 1 is not supported"),
        ('start: %json {"multipleOf": 10000003}', "'%json' in line 1 is not supported"),
        ('start: "a"\n}\nstop: "x"', "'}' in line 2 is unexpected"),
        ('%llguidance {"no_forcing": true}\nstart: "a"', "is not supported"),
        ('start: %lark { start: "a" }', "is not supported"),
        ("start: /a/ & /b/", "'&' in line 1 is not supported"),
        ("start: ~/a/", "is not supported"),
        ('start[stop="x"]: /a/', "'=\"x\"]:' in line 1 is unexpected"),
        ("start[lazy]: /a/", "without attributes"),
        ('start: "\\q"', "cannot be compiled"),
        ("start: b", 'unknown name: "b"'),
        ("start: A\nA: A", "circular reference"),
        ("start: A0\n" + "".join(f"A{n}: A{n + 1} A{n + 1}\n" for n in range(20)) + 'A20: "a"', "levels"),
        ("start: A\nA: B{1000}\nB: C{1000}\nC: /a{9}/", f"longer than {MAX_SIZE}"),
        ("start: r0\n" + "".join(f"r{n}: r{n + 1}\n" for n in range(3000)) + 'r3000: "a"', "more than 500 rules"),
        ("start: a\na: a", "no text can match it"),
        ("start: /(?=a)/", "not supported"),
        ("start: " + "(" * 3000 + '"a"' + ")" * 3000, "cannot be compiled"),
    ],
    ids=lambda value: f"{value!s:.30}",
)
def test_a_harmful_or_wrong_lark_grammar_is_an_error(grammar: str, part: str, bytes_model: RandomModel) -> None:
    """A grammar could name control tokens, close the server's own grammar, or exhaust the compiler.

    A chain of 3,000 rules ended the process: the native compiler recurses once for each rule.
    """
    assert part in error_of(lark(grammar), bytes_model).message


# Regular expressions


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(", "unclosed group"),
        ("a\\", "backslash at its end"),
        ("(?=a)b", "not supported"),
        (r"(a)\1", "backreferences are not supported"),
        (r"\bword\b", "word boundaries and lookaround are not supported"),
        ("[b&&c]", "no text can match it"),
        ("(a{1000}){1000}", f"longer than {MAX_SIZE}"),
        ("((((a{50}){50}){50}){50}){50}", f"longer than {MAX_SIZE}"),
    ],
)
def test_a_wrong_regex_is_an_error(pattern: str, part: str, bytes_model: RandomModel) -> None:
    assert part in error_of(ResponseFormat("regex", pattern=pattern, param="guided_regex"), bytes_model).message


def test_a_regex_cannot_end_its_rule(bytes_model: RandomModel) -> None:
    """A slash ends a regular expression of Lark; without an escape, rules could follow it."""
    wanted = ResponseFormat("regex", pattern='a/ | <[1]>\nstop: "x"')
    assert raw(wanted, bytes_model, 'a/ | <[1]>\nstop: "x"'.replace("| ", "", 1), ends=False) is False
    assert raw(wanted, bytes_model, "a/ ")
    assert safe_regexp("/\\/\n\\\n", "regex") == "/\\/\\/\n\\n/"
    assert raw(ResponseFormat("regex", pattern=""), bytes_model, "")


def test_the_largest_that_is_taken_compiles_in_time(bytes_model: RandomModel) -> None:
    largest = (
        ResponseFormat("regex", pattern=f"a{{{MAX_SIZE - 20}}}"),
        ResponseFormat("choice", choices=tuple(f"value {number}" for number in range(1_000))),
        lark("root ::= r0\n" + "".join(f'r{n} ::= r{n + 1} | "b" r{n + 1}\n' for n in range(498)) + 'r498 ::= "a"'),
        lark('start: "' + "ab" * (MAX_SIZE // 2 - 20) + '"'),
    )
    for wanted in largest:
        start = time.monotonic()
        assert raw(wanted, bytes_model, "", ends=False)
        assert time.monotonic() - start < 5


def test_hostile_texts_are_read_in_linear_time() -> None:
    for text in (
        "#" * 65_000,
        '"' * 65_000,
        "a" * 65_000,
        "{" * 65_000,
        "(" * 65_000,
        "/" * 65_000,
        "\\" * 65_000,
        "\f",
    ):
        for head in ("root ::= ", "start: "):
            start = time.monotonic()
            with pytest.raises(RequestError):
                safe_lark(head + text + "\n=", "grammar")
            assert time.monotonic() - start < 5
    start = time.monotonic()
    safe_lark(f"start: /{'[' * 60_000}/", "grammar")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "wanted",
    [ResponseFormat("regex", pattern=r"\d[\d.]+\\d"), lark(r"start: /\d[\d.]+\\d/")],
    ids=["regex", "lark"],
)
def test_digits_are_those_of_ascii(wanted: ResponseFormat, bytes_model: RandomModel) -> None:
    """For the pattern of a telephone number the embedded model wrote digits from a block of computer graphics."""
    assert raw(wanted, bytes_model, r"12.3\d")
    assert not raw(wanted, bytes_model, r"1١.3\d")
    assert not raw(wanted, bytes_model, r"١2.3\d")
