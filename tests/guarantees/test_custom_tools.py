"""The text of a custom tool follows its grammar from the first to the last character, whatever the model writes."""

from __future__ import annotations

import json
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from apis.rules.custom_tools import InputReader
from core.conversation import ChatRequest, Function, Reasoning, ResponseFormat, ToolChoice
from core.errors import RequestError
from core.generation import Constraint
from guarantees.caller_grammar import MAX_SYMBOLS, safe_lark
from guarantees.constraint import constraint
from prompt_template import PromptTemplate, load_template, template_names
from tests.support.custom_grammars import LARK, PARAM, TEXTS, TIMESTAMP, WRONG, custom, lark, regex
from tests.support.random_model import CONTROL, RandomModel, byte_level, sentencepiece

MODELS = {"byte_level": RandomModel(byte_level()), "sentencepiece": RandomModel(sentencepiece())}
BYTES = MODELS["byte_level"]
OPENINGS = {
    "qwen3": '<tool_call>\n{"name": "write", "arguments": ',
    "qwen35": "<tool_call>\n<function=write>\n<parameter=input>\n",
}
CLOSINGS = {"qwen3": "}\n</tool_call>", "qwen35": "\n</parameter>\n</function>\n</tool_call>"}
STYLES = list(OPENINGS)  # JSON arguments, and arguments between tags
CLOCK = Function("clock")


def bound(model: RandomModel, name: str) -> PromptTemplate:
    return load_template(name).bound(model.tokenizer.token_id)


def asked(choice: str, *tools: Function, max_calls: int | None = None) -> ChatRequest:
    names = (tools[0].name,) if choice == "named" else None
    return ChatRequest("m", (), tools, ToolChoice(choice, names), max_calls, reasoning=Reasoning(False))  # type: ignore[arg-type]


def bind(request: ChatRequest, model: RandomModel = BYTES, style: str = "qwen3") -> Constraint:
    found = constraint(request, bound(model, style), model.tokenizer.token_id, "free")
    assert found is not None
    return found


def written(text: str, style: str) -> str:
    """Return a text as it stands in a call, up to the end of the call."""
    return (json.dumps({"input": text}, ensure_ascii=False) if style == "qwen3" else text) + CLOSINGS[style]


def takes(
    wanted: Constraint, text: str, *, style: str = "qwen3", choice: str = "auto", model: RandomModel = BYTES
) -> bool:
    opening = OPENINGS[style]
    if choice == "named":  # the prompt holds the head of the call
        opening = "<parameter=input>\n" if style == "qwen35" else ""
    return model.allows(wanted, opening + written(text, style))


def parses(input_format: ResponseFormat, text: str) -> bool:
    """Read a whole text by its grammar alone, in single bytes: the grammar does not know the call around it."""
    if input_format.kind == "regex":
        return re.fullmatch(input_format.pattern, text) is not None
    vocabulary = BYTES.constraints.vocabulary
    matcher = LLMatcher(vocabulary.ll_tokenizer, safe_lark(input_format.grammar, PARAM), log_level=0)
    ids = [vocabulary.ids_of(bytes([byte]))[0] for byte in text.encode()]
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("choice", ["auto", "required", "named"])
def test_what_a_text_may_be(choice: str, style: str, model: RandomModel) -> None:
    """Line breaks, quotes and backslashes are escaped in JSON, and a terminal may end before any of them.

    A grammar for the escaped text could not end a line: behind "abc" the backslash of a line break might also begin
    the escape of a quote, which belongs to the line.
    """
    for name, grammar in LARK.items():
        wanted = bind(asked(choice, custom(lark(grammar)), CLOCK), model, style)
        for text in TEXTS[name]:
            assert parses(lark(grammar), text)
            assert takes(wanted, text, style=style, choice=choice, model=model), text
        for text in WRONG[name]:
            assert not parses(lark(grammar), text)
            assert not takes(wanted, text, style=style, choice=choice, model=model), text


ALPHABET = '.ab"\\/\n\t\r\x01{}é😀'
ATOMS = [
    *(re.escape(char) for char in ALPHABET),
    ".",
    "(?s:.)",
    r'[^"]',
    r"[^\n]",
    "[a-z]",
    r'["\\]',
    r"[\x00-\x1f]",
    r"\.",
]
REGEXES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,3}"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=60)
@given(pattern=REGEXES, texts=st.lists(st.text(ALPHABET, max_size=6), max_size=6), data=st.data())
def test_a_call_takes_a_text_exactly_if_the_expression_matches(
    style: str, pattern: str, texts: list[str], data: st.DataObject
) -> None:
    """Random regular expressions and texts, judged by Python's `re`."""
    matching = data.draw(st.from_regex(pattern, fullmatch=True, alphabet=st.sampled_from(ALPHABET)))
    wanted = bind(asked("auto", custom(regex(pattern))), style=style)
    for text in (*texts, matching[:200]):
        assert takes(wanted, text, style=style) == (re.fullmatch(pattern, text) is not None), text


@settings(max_examples=60)
@given(st.sampled_from(list(LARK)), st.data())
def test_a_call_takes_a_text_exactly_if_the_grammar_does(name: str, data: st.DataObject) -> None:
    """Texts of the grammars with a random change, judged by the grammar alone."""
    text = data.draw(st.sampled_from(TEXTS[name]))
    at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    changed = text[:at] + data.draw(st.sampled_from(["", "x", '"', "\\", "\n", "(", " ", "\t"])) + text[end:]
    for style in STYLES:
        assert takes(bind(asked("auto", custom(lark(LARK[name]))), style=style), changed, style=style) == parses(
            lark(LARK[name]), changed
        )


WORDS = [
    "*** Begin Patch\n",
    "*** End Patch",
    "\n",
    "\\n",
    '"',
    '\\"',
    "+",
    ";",
    ")",
    "=",
    "'",
    "1",
    "FROM t",
    "\n</parameter>\n",
]


def answer(model: RandomModel, style: str, request: ChatRequest, seed: int) -> tuple[list[tuple[str, str]], bool]:
    """Return the calls of one random answer and their texts, and whether the answer came to its end."""
    template, chance = bound(model, style), random.Random(seed)
    matcher, stop_ids = model.constraints.matcher(bind(request, model, style)), model.stop_ids(template)
    ids = model._say(matcher, OPENINGS[style] if request.choice.mode == "auto" else "") or []
    while len(ids) < 900 and not matcher.is_done:
        mask = matcher.mask()
        if mask is None:
            break
        ends = [*stop_ids, *model.tokenize('"}')[:1], *model.tokenize('"')] if len(ids) > 60 else []
        wanted = [*ends, *(model.tokenize(chance.choice(WORDS))[:1] if chance.random() < 0.5 else ())]
        allowed = [token_id for token_id in wanted if mask[token_id]] or mask.nonzero()[0].tolist()
        ids.append(allowed[0] if allowed[0] in ends else chance.choice(allowed))
        matcher.accept(ids[-1])
        if ids[-1] in stop_ids:
            break
    turn = model.read(template, request.tools, ids, template.prefill(request.choice, request.reasoning))
    return [(name, InputReader().feed(arguments)) for name, arguments in turn.calls], len(ids) < 900


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("style", STYLES)
def test_texts_of_a_random_model_always_parse(style: str, model: RandomModel) -> None:
    """Whatever is sampled, each text that came to its end is one of its grammar."""
    num_whole = 0
    for input_format in (*map(lark, LARK.values()), regex(TIMESTAMP), regex(r'(?:[^"]|"")*"')):
        for seed, choice in enumerate(("auto", "required", "named", "required")):
            calls, is_whole = answer(model, style, asked(choice, custom(input_format), max_calls=1), seed)
            assert [name for name, _ in calls] == ["write"]
            if is_whole:
                assert parses(input_format, calls[0][1]), (input_format, calls)
                num_whole += 1
    assert num_whole > 18  # of 28; the others were cut in the middle


@pytest.mark.parametrize("style", STYLES)
def test_tools_with_different_grammars_and_a_function_in_one_turn(style: str) -> None:
    """Each call follows the grammar of its own tool, also in the second place and beside a function."""
    tools = (
        custom(regex("[ab]+")),
        custom(lark('start: "x"+ "\\n"'), "other"),
        custom(ResponseFormat(), "free"),
        CLOCK,
    )
    wanted = bind(asked("required", *tools), style=style)
    model, opening = BYTES, OPENINGS[style]

    def call(name: str, text: str) -> str:
        return opening.replace("write", name) + written(text, style)

    assert model.allows(
        wanted, "\n".join([call("write", "abba"), call("other", "xx\n"), call("free", '"\n é')]) + "<|im_end|>"
    )
    assert model.allows(wanted, "\n".join([call("other", "x\n"), call("other", "xx\n"), call("write", "b")]))
    assert not model.allows(wanted, call("write", "xx\n"))
    assert not model.allows(wanted, call("other", "x\n") + "\n" + call("other", "ab"))
    seen = set()
    for seed in range(20):
        calls, is_whole = answer(model, style, asked("required", *tools[:2], CLOCK), seed)
        for name, text in calls if is_whole else calls[:-1]:
            assert name == "clock" or parses(tools[name == "other"].input_format or ResponseFormat(), text)
            seen.add(name)
    assert len(seen) > 1


def test_every_prompt_format_binds_the_text() -> None:
    for name in template_names():
        template = bound(BYTES, name)
        request = asked("required", custom(regex("[ab]{3}")), max_calls=1)
        wanted = constraint(request, template, BYTES.tokenizer.token_id, "free")
        assert wanted is not None
        thought = ""
        if template.reasoning and template.may_reason(request.reasoning):
            head = "" if template.reasoning_prefill(request.reasoning) else template.reasoning.head.strip()
            thought = f"{head}hm{template.reasoning.tail}"
        ids, _ = BYTES.walk(wanted, BYTES.stop_ids(template), seed=1, script=thought, patience=400)
        prefill = template.prefill(request.choice, request.reasoning)
        ((called, arguments),) = BYTES.read(template, request.tools, ids, prefill).calls
        assert (called, re.fullmatch("[ab]{3}", InputReader().feed(arguments)) is not None) == ("write", True), name


# Escapes of JSON


@pytest.mark.parametrize(
    ("spelled", "is_taken"),
    [
        (r"\n", True),
        (r"\"", True),
        (r"\u0001", True),
        (r"\u001f", True),
        ("\x7f", True),
        ("😀", True),
        (r"\u000a", False),
        (r"\u0061", False),
        (r"\/", False),
        (r"\ud83d\ude00", False),
        ("\n", False),
    ],
)
def test_each_character_has_one_spelling(spelled: str, is_taken: bool) -> None:
    wanted = bind(asked("auto", custom(regex("(?s:.)*"))))
    for model in (BYTES, MODELS["sentencepiece"]):
        wanted = bind(asked("auto", custom(regex("(?s:.)*"))), model)
        assert model.allows(wanted, f'{OPENINGS["qwen3"]}{{"input": "a{spelled}b"}}') is is_taken


def test_a_control_character_that_the_grammar_wants_can_be_written() -> None:
    wanted = bind(asked("auto", custom(regex(r"\x01\x1b?"))))
    assert takes(wanted, "\x01") and takes(wanted, "\x01\x1b")
    assert not takes(wanted, "\x02") and not takes(wanted, "")


def test_control_tokens_are_no_text() -> None:
    """`<|im_end|>` in a regular expression is a text of ten characters, and never the control token."""
    wanted = bind(asked("auto", custom(regex(r"(?s:.)*"))))
    matcher = BYTES.constraints.matcher(wanted)
    BYTES._say(matcher, OPENINGS["qwen3"] + '{"input": "x')
    mask = matcher.mask()
    assert mask is not None and mask.any()
    assert not any(mask[BYTES.tokenizer.token_id(text)] for text in CONTROL)


# Arguments between tags


def test_a_line_break_may_belong_to_the_text_or_end_it() -> None:
    wanted = bind(asked("auto", custom(regex(r"(?s:.)*"))), style="qwen35")
    for text in ("", "\n", "a\n", "a\n\n", "\n</param", "</parameter", "a</parameter>", "a\n</b>\n"):
        assert takes(wanted, text, style="qwen35"), text
    for text in ("</parameter>", "a\n</parameter>\nb"):
        assert not takes(wanted, text, style="qwen35"), text


def test_a_token_may_hold_the_last_character_and_the_line_break_behind_it() -> None:
    """Vocabularies have tokens such as `.` with a line break, in which the text and its end meet."""
    model = RandomModel(byte_level("ab:\n" * 99))
    wanted = bind(asked("auto", custom(regex(r"[a-z:\n]+"))), model, "qwen35")
    tokens = ((token_id, model.constraints.vocabulary.token_bytes(token_id)) for token_id in range(model.vocab_size))
    end = next(token_id for token_id, token in tokens if re.fullmatch(rb"[a-z:]+\n", token))
    matcher = model.constraints.matcher(wanted)
    assert model._say(matcher, OPENINGS["qwen35"] + "ab") is not None
    matcher.mask()
    matcher.accept(end)
    assert model._say(matcher, "</parameter>\n</function>\n</tool_call>") is not None


# Bad grammars


@pytest.mark.parametrize(
    ("input_format", "part"),
    [
        (lark('start: "a"\n\n# a comment\nstart: "b"'), 'duplicate rule: "start", in line 4'),
        (lark('start: "a" b\nc: "b"'), 'unknown name: "b", in line 1'),
        (lark('start: "a"\nc "b"'), "Expected token ':', found \"string...\", in line 2"),
        (lark('start: a )\na: "x"'), "expecting rule, token or statement, in line 1"),
        (lark("start: a\na: /(/"), "unclosed group, in line 2"),
        (
            lark("start: a\na: <|im_end|>"),
            "'<|im_end|>' in line 2 is not supported: a grammar cannot name control tokens",
        ),
        (lark('start: "a" & "b"'), "'&' in line 1 is not supported"),
        (lark("start: start"), "no text can match it"),
        (lark(""), "no grammar with a rule 'start: ...'"),
        (lark("root ::= foo"), "the rule 'foo' is not defined"),
        (regex("(a"), "unclosed group."),
        (regex("(?=a)b"), "look-ahead"),
        (lark("start: " + "x " * (MAX_SYMBOLS + 1) + '\nx: "a" |'), f"more than {MAX_SYMBOLS} names"),
        (lark("start: " + "x " * (MAX_SYMBOLS - 9) + '\nx: "a" |'), "too complex"),
        (lark("start: " + '"a"? ' * (MAX_SYMBOLS - 9)), "too complex"),
        (lark("start: (" + "|".join(f"/\\w{{1,40}}{n}/" for n in range(900)) + ")+"), "too complex"),
        (regex("(((a{99}){99}){99}){99}"), "longer than"),
        (lark("start: " + "(" * 4000 + '"a"' + ")" * 4000), "too complex"),
    ],
)
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_grammar_that_cannot_be_bound_is_an_error_in_time(
    input_format: ResponseFormat, part: str, choice: str
) -> None:
    start = time.monotonic()
    with pytest.raises(RequestError) as caught:
        BYTES.constraints.matcher(bind(asked(choice, CLOCK, custom(input_format))))
    assert time.monotonic() - start < 4
    assert part in caught.value.message
    assert (caught.value.param, caught.value.code) == (PARAM, "invalid_value")


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_many_slow_grammars_share_one_limit_of_time(choice: str) -> None:
    """128 tools, each with a grammar that takes half a second, would occupy a thread for a minute."""
    tools = [custom(regex(f"a{{49{number:03}}}"), f"tool_{number}") for number in range(128)]
    start = time.monotonic()
    with pytest.raises(RequestError, match="grammars take too long to compile"):
        BYTES.constraints.matcher(bind(asked(choice, *tools)))
    assert time.monotonic() - start < 8


def test_a_grammar_is_compiled_once(model: RandomModel) -> None:
    wanted = bind(asked("auto", custom(lark(LARK["patch"]))), model)
    assert model.constraints.matcher(wanted)._calls["write"] is model.constraints.matcher(wanted)._calls["write"]
    other = bind(asked("auto", custom(lark(LARK["sums"]))), model)
    assert model.constraints.matcher(wanted)._calls["write"] is not model.constraints.matcher(other)._calls["write"]
