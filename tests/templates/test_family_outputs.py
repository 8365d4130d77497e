"""The outputs of today's families are parsed alike as a whole, by character and in random chunks."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from core.conversation import Call, CodeInterpreter, Function, Message, Reasoning, Tool
from core.turn_format import ArgsDelta, CallStart, Event, ReasoningDelta, TextDelta
from prompt_template import PromptTemplate, load_template
from text.parser import OutputParser

TOOLS: tuple[Tool, ...] = tuple(Function(name) for name in ("get_x", "get_x_now", "all_stations", "set_light"))
CHATML = ("hermes", "qwen25", "qwen3", "qwen3_thinking")
MISTRAL_JSON = ("mistral", "mistral_nemo", "mistral_v7")
MISTRAL_ARGS = ("mistral_v11", "mistral_v13")
LLAMA = ("llama31",)
HARMONY = ("gpt_oss",)
X = ("get_x", '{"a": 1}')
NOW = ("get_x_now", '{"b": "]} \\" {"}')
ANALYSIS = "<|channel|>analysis<|message|>"
COMMENTARY = "<|channel|>commentary"


@dataclass(frozen=True)
class Case:
    """An output, and what a client gets. `prefill` is what the prompt already holds of the turn."""

    output: str
    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    reasoning: str = ""
    prefill: str = ""
    is_truncated: bool = False
    tools: tuple[Tool, ...] = field(default=TOOLS)


def tool_call(call: tuple[str, str]) -> str:
    return f'<tool_call>\n{{"name": "{call[0]}", "arguments": {call[1]}}}\n</tool_call>'


def listed(*calls: tuple[str, str], more: str = "") -> str:
    objects = ", ".join(f'{{"name": "{name}", "arguments": {arguments}{more}}}' for name, arguments in calls)
    return f"[TOOL_CALLS][{objects}]"


def harmony(call: tuple[str, str]) -> str:
    return f"{COMMENTARY} to=functions.{call[0]} <|constrain|>json<|message|>{call[1]}"


CASES: list[tuple[tuple[str, ...], str, Case]] = [
    (CHATML, "text", Case("Hello < you", "Hello < you")),
    (CHATML, "call", Case(tool_call(X), calls=(X,))),
    (CHATML, "parallel", Case(f"{tool_call(X)}\n{tool_call(NOW)}", calls=(X, NOW))),
    (CHATML, "text and calls", Case(f"One moment.\n{tool_call(NOW)}\n{tool_call(X)}", "One moment.", (NOW, X))),
    (CHATML, "compact", Case('<tool_call>{"name":"get_x","arguments":{"a": 1}}</tool_call>', calls=(X,))),
    (
        CHATML,
        "arguments first",
        Case('<tool_call>\n{"arguments": {"a": 1}, "name": "get_x"}\n</tool_call>', calls=(X,)),
    ),
    (CHATML, "unoffered", Case(tool_call(("nope", "{}")), calls=(("nope", "{}"),))),
    (
        CHATML,
        "cut in a call",
        Case(
            '<tool_call>\n{"name": "get_x", "arguments": {"a": "b',
            calls=(("get_x", '{"a": "b'),),
            is_truncated=True,
        ),
    ),
    (("qwen3",), "reasoning", Case(f"<think>\nHm.\n</think>\n\nYes.\n{tool_call(X)}", "Yes.", (X,), "Hm.")),
    (("qwen3",), "reasoning and calls", Case(f"<think>\nHm.\n</think>\n\n{tool_call(X)}", "", (X,), "Hm.")),
    (("qwen3",), "cut in the reasoning", Case("<think>\nHm. I", reasoning="Hm. I", is_truncated=True)),
    (
        ("qwen3_thinking",),
        "reasoning that the prompt begins",
        Case(f"Hm.\n</think>\n\n{tool_call(X)}", "", (X,), "Hm.", prefill="<think>\n"),
    ),
    (
        ("qwen3_thinking",),
        "cut in the reasoning",
        Case("Hm. I", reasoning="Hm. I", prefill="<think>\n", is_truncated=True),
    ),
    (MISTRAL_JSON, "text", Case(" Hello [TOOL", "Hello [TOOL")),
    (MISTRAL_JSON, "call", Case(listed(X), calls=(X,))),
    (MISTRAL_JSON, "parallel", Case(listed(X, NOW), calls=(X, NOW))),
    (MISTRAL_JSON, "ids and a space", Case(listed(X, NOW, more=', "id": "abc"').replace("][", "] ["), calls=(X, NOW))),
    (MISTRAL_JSON, "compact", Case('[TOOL_CALLS][{"name":"get_x","arguments":{"a": 1}}]', calls=(X,))),
    (MISTRAL_JSON, "text and calls", Case(f"One moment.{listed(NOW, X)}", "One moment.", (NOW, X))),
    (MISTRAL_JSON, "unoffered", Case(listed(("nope", "{}")), calls=(("nope", "{}"),))),
    (MISTRAL_ARGS, "text", Case("Hello", "Hello")),
    (MISTRAL_ARGS, "call", Case('[TOOL_CALLS]get_x[ARGS]{"a": 1}', calls=(X,))),
    (
        MISTRAL_ARGS,
        "parallel with an id",
        Case(f"[TOOL_CALLS]get_x[CALL_ID]abcdefghi[ARGS]{X[1]}[TOOL_CALLS]get_x_now[ARGS]{NOW[1]}", calls=(X, NOW)),
    ),
    (MISTRAL_ARGS, "text and call", Case(f"One moment.[TOOL_CALLS]get_x[ARGS]{X[1]}", "One moment.", (X,))),
    (
        MISTRAL_ARGS,
        "reasoning",
        Case(f"[THINK]Hm.[/THINK]Yes.[TOOL_CALLS]get_x[ARGS]{X[1]}", "Yes.", (X,), "Hm."),
    ),
    (MISTRAL_ARGS, "cut in the reasoning", Case("[THINK]Hm. I", reasoning="Hm. I", is_truncated=True)),
    (LLAMA, "text", Case("Hello", "Hello")),
    (LLAMA, "call", Case('{"name": "get_x", "parameters": {"a": 1}}', calls=(X,))),
    (LLAMA, "compact", Case('\n{"name":"get_x","parameters":{"a": 1}}', calls=(X,))),
    (LLAMA, "with a type", Case('{"type": "function", "name": "get_x", "parameters": {"a": 1}}', calls=(X,))),
    (LLAMA, "behind the tag", Case('<|python_tag|>{"name": "get_x", "parameters": {"a": 1}}', calls=(X,))),
    (LLAMA, "prefix of another name", Case(f'{{"name": "get_x_now", "parameters": {NOW[1]}}}', calls=(NOW,))),
    (
        LLAMA,
        "unoffered",
        Case('{"name": "nope", "parameters": {"a": 1}}', '{"name": "nope", "parameters": {"a": 1}}'),
    ),
    (LLAMA, "JSON with a name", Case('{"name": "get_x", "age": 3}', '{"name": "get_x", "age": 3}')),
    (
        LLAMA,
        "text before JSON",
        Case('So: {"name": "get_x", "parameters": {}}', 'So: {"name": "get_x", "parameters": {}}'),
    ),
    (
        LLAMA,
        "code",
        Case("<|python_tag|>print('<|}')", calls=(("python", "print('<|}')"),), tools=(*TOOLS, CodeInterpreter())),
    ),
    (HARMONY, "text", Case("<|channel|>final<|message|>Hello", "Hello")),
    (HARMONY, "call", Case(harmony(X), calls=(X,))),
    (
        HARMONY,
        "reasoning and text",
        Case(f"{ANALYSIS}Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "Yes.", (), "Hm."),
    ),
    (
        HARMONY,
        "reasoning, text and a call",
        Case(
            f"{ANALYSIS}Hm.<|end|><|start|>assistant{COMMENTARY}<|message|>I look."
            f"<|end|><|start|>assistant{harmony(NOW)}",
            "I look.",
            (NOW,),
            "Hm.",
        ),
    ),
    (
        HARMONY,
        "the recipient before the channel",
        Case(f" to=functions.get_x{COMMENTARY} json<|message|>{X[1]}", calls=(X,)),
    ),
    (
        HARMONY,
        "a call in the analysis channel",
        Case(f"<|channel|>analysis to=functions.get_x code<|message|>{X[1]}", calls=(X,)),
    ),
    (
        HARMONY,
        "parallel",
        Case(f"{harmony(X)}<|end|><|start|>assistant{harmony(NOW)}", calls=(X, NOW)),
    ),
    (HARMONY, "unoffered", Case(harmony(("nope", "{}")), calls=(("nope", "{}"),))),
    (HARMONY, "cut in the reasoning", Case(f"{ANALYSIS}Hm. I", reasoning="Hm. I", is_truncated=True)),
]
RUNS = [(name, title, case) for names, title, case in CASES for name in names]


def bound(name: str, *, has_optional: bool = True) -> PromptTemplate:
    template = load_template(name)
    missing = set() if has_optional else {*template.optional_tokens} - {*template.needed_tokens}
    return template.bound(lambda text: None if text in missing else 1)


def pieces_of(template: PromptTemplate, output: str) -> list[str]:
    """Cut the output at control tokens, which have odd indexes."""
    control = {
        mark.text for region in template.turn_format(TOOLS).regions.values() for mark in region.marks if mark.is_control
    }
    control |= {*template.needed_tokens, *template.stop}
    return re.split(f"({'|'.join(map(re.escape, sorted(control, key=len, reverse=True)))})", output)


def chunks(text: str, longest: int, rng: random.Random) -> Iterator[str]:
    at = 0
    while at < len(text):
        size = rng.randint(1, longest)
        yield text[at : at + size]
        at += size


def parse(template: PromptTemplate, case: Case, longest: int, seed: int = 0) -> Case:
    parser, rng = OutputParser(template.turn_format(case.tools)), random.Random(seed)
    events: list[Event] = []
    for number, piece in enumerate(pieces_of(template, case.prefill + case.output)):
        if number % 2:
            events += parser.feed(piece, is_control=True)
        else:
            for chunk in chunks(piece, longest, rng):
                events += parser.feed(chunk)
    events += parser.finish(is_truncated=case.is_truncated)
    return folded(events, case)


def folded(events: Sequence[Event], case: Case) -> Case:
    calls: list[tuple[str, str]] = []
    for event in events:
        if isinstance(event, CallStart):
            calls.append((event.name, ""))
        elif isinstance(event, ArgsDelta):
            calls[-1] = (calls[-1][0], calls[-1][1] + event.text)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    reasoning = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    return Case(case.output, text, tuple(calls), reasoning, case.prefill, case.is_truncated, case.tools)


@pytest.mark.parametrize(("name", "title", "case"), RUNS, ids=[f"{name}: {title}" for name, title, _ in RUNS])
def test_outputs_in_every_chunking(name: str, title: str, case: Case) -> None:
    """A tag is a control token in the tokenizers of some checkpoints of a family and ordinary text in others."""
    for has_optional in (True, False):
        template = bound(name, has_optional=has_optional)
        if case.reasoning and template.reasoning is None:
            continue  # the model has no control tokens for it
        assert parse(template, case, longest=10_000) == case
        assert parse(template, case, longest=1) == case
        for seed in range(20):
            assert parse(template, case, longest=7, seed=seed) == case


@pytest.mark.parametrize("name", CHATML)
def test_a_tag_in_a_string_is_text_where_it_is_no_control_token(name: str) -> None:
    call = ("get_x", '{"a": "</tool_call> <tool_call> </think>"}')
    case = Case(f"{tool_call(call)}\n{tool_call(X)}", calls=(call, X))
    parser = OutputParser(bound(name, has_optional=False).turn_format(TOOLS))
    assert folded([*parser.feed(case.output), *parser.finish()], case) == case


@pytest.mark.parametrize("name", [*CHATML, *MISTRAL_JSON, *MISTRAL_ARGS, *LLAMA, *HARMONY])
def test_a_rendered_turn_is_read_back(name: str) -> None:
    """What the prompt shows of an earlier turn is what the parser reads from the model: `learned` marks it."""
    template = bound(name)
    calls = (NOW,) if name in (*LLAMA, *HARMONY) else (X, NOW)
    text = "" if name in LLAMA else "One moment."
    reasoning = "Hm." if template.renders_reasoning else ""
    rendered = template.render([Message("user", "?"), turn(text, calls, reasoning)], TOOLS)
    output = "".join(piece.text for piece in rendered if piece.learned)
    case = Case(re.sub(f"({'|'.join(map(re.escape, template.stop))})$", "", output), text, calls, reasoning)
    assert parse(template, case, longest=3) == case


def turn(text: str, calls: Sequence[tuple[str, str]], reasoning: str) -> Message:
    return Message("assistant", text or None, tuple(Call(*call) for call in calls), reasoning=reasoning)


def test_the_switch_of_qwen3_ends_the_reasoning_before_it_begins() -> None:
    template = bound("qwen3")
    off = Reasoning(is_enabled=False)
    assert template.reasoning_prefill(off) == "<think>\n\n</think>\n\n"
    assert not template.may_reason(off) and template.may_reason(Reasoning())
    assert parse(template, Case("Yes.", "Yes.", prefill=template.reasoning_prefill(off)), longest=2).reasoning == ""


def test_the_effort_of_gpt_oss_stands_in_the_system_message() -> None:
    template = load_template("gpt_oss")
    for effort, word in (("low", "low"), ("minimal", "low"), ("high", "high"), ("max", "high"), (None, "medium")):
        first = template.render([Message("user", "Hi")], [], Reasoning(effort=effort))[0]  # type: ignore[arg-type]
        assert f"\nReasoning: {word}\n" in first.text


def test_models_of_mistral_without_its_control_tokens_do_not_reason() -> None:
    assert bound("mistral_v11").reasoning and bound("mistral_v11").renders_reasoning
    assert not bound("mistral_v11", has_optional=False).reasoning
