"""The requests of each teacher step and the answers that it accepts, without a teacher."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.rows import parse_arguments
from tests.support.teacher_rows import CALLED, RESULT, RING, SET_TIMER, USER, answer, line, row, written
from train.calls import Calls
from train.interpretations import Interpretations
from train.prompts import Prompts
from train.results import Results
from train.rows import check_row
from train.teacher.grounding import ungrounded, ungrounded_numbers
from train.teacher.run import BadAnswer
from train.teacher.text import json_values

ASKED = row(meta={"wanted": "single", "persona": "a cook", "style": "short"})
SCHEMA = SET_TIMER["parameters"]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
).filter(lambda value: isinstance(value, list | dict))


@given(st.lists(JSON, max_size=4), st.text("abc .:\n`*", max_size=20))
@settings(deadline=None)
def test_json_is_found_between_whatever_words(values: list[object], words: str) -> None:
    text = words + words.join(f" {json.dumps(value)} " for value in values) + words
    assert list(json_values(text)) == values


@pytest.mark.parametrize("text", ["", "[" * 50_000, "[NaN]", '["\\ud800"]', "[1e999]", "{'a': 1}", '{"a": 1'])
def test_what_no_row_can_carry_is_not_found(text: str) -> None:
    assert list(json_values(text)) == []


def test_thoughts_before_the_answer_do_not_count() -> None:
    assert list(json_values('<think>["draft"]</think>["done"]')) == [["done"]]


# Step 2


def test_prompts_that_nobody_would_say_are_dropped_and_equal_ones_are_one() -> None:
    said = ["Timer, 5 minutes!", "timer 5 minutes", "call set_timer", "Remind me at [time]", "Ring\nthe bell", "x"]
    rows = Prompts().made(ASKED, answer(f"Sure: {json.dumps(said)}"))
    assert [one.messages[0].content for one in rows] == ["Timer, 5 minutes!", "Ring the bell"]
    assert all(one.meta == ASKED.meta for one in rows)


@pytest.mark.parametrize("text", ["1. Set a timer\n2. Ring", "[]", "[1, 2]", '["call set_timer now"]', '{"a": "b"}'])
def test_no_usable_prompt_is_a_bad_answer(text: str) -> None:
    with pytest.raises(BadAnswer):
        Prompts().made(ASKED, answer(text))


def test_definitions_are_asked_alone_and_together_in_equal_ways_for_equal_seeds(tmp_path: Path) -> None:
    functions = [{**(SET_TIMER if n % 2 else RING), "name": f"ring_{n}"} for n in range(60)]
    lines = [{"function": one, "source": f"{n % 3}.json#{n}"} for n, one in enumerate(functions)]
    path = written(tmp_path / "d.jsonl", [*lines, lines[0], {"source": "none"}])
    path.write_text(path.read_text() + "{no json\n")
    rows, faults = Prompts().read(path, 1)
    assert [one.functions[0].name for one in rows] == [one["name"] for one in functions]
    assert {len(one.functions) for one in rows} == {1, 2, 3}
    assert {one.meta["wanted"] for one in rows} == {"single", "parallel", "parallel_multiple"}
    assert not any(one.meta["wanted"] == "parallel_multiple" and len(one.functions) == 1 for one in rows)
    assert not any(one.meta["wanted"] == "parallel" for one in rows[::2])  # two calls without arguments would be equal
    assert Prompts().read(path, 1)[0] == rows != Prompts().read(path, 2)[0]
    assert len(faults) == 2
    assert faults[1].startswith(f"{path}:63: The line is no JSON.")
    assert faults[0].startswith(f"{path}:62: no definition")
    request = Prompts(7).request(rows[0], 0)
    assert "type ring_0 = " in request["messages"][1]["content"]
    assert "7 strings" in request["messages"][1]["content"]


# Step 3


def test_tools_are_asked_first_and_json_after() -> None:
    first, second = Calls().request(row(USER), 0), Calls().request(row(USER), 1)
    assert [tool["function"] for tool in first["tools"]] == [SET_TIMER, RING]
    assert first["messages"][-1] == USER
    assert "tools" not in second
    assert "type set_timer = " in second["messages"][-1]["content"]
    assert USER["content"] in second["messages"][-1]["content"]


@pytest.mark.parametrize(
    "said",
    [
        answer("", ("set_timer", '{"label": "tea", "minutes": 5, "sound": null}')),
        answer('[{"name": "set_timer", "arguments": {"label": "tea", "minutes": 5}}]'),
        answer('Here [1]: {"name": "set_timer", "arguments": "{\\"minutes\\": 5, \\"label\\": \\"tea\\"}"}'),
        answer('```json\n{"function": {"name": "set_timer", "arguments": {"minutes": 5, "label": "tea"}}}\n```'),
    ],
)
def test_calls_are_read_in_every_shape_and_put_in_the_schemas_order(said: object) -> None:
    (made,) = Calls().made(row(USER, meta={"style": "short"}), said)  # type: ignore[arg-type]
    check_row(made)
    (call,) = made.calls
    assert (call.name, call.arguments, call.id) == ("set_timer", '{"minutes": 5, "label": "tea"}', "call_0")
    assert made.meta == {"style": "short", "kind": "single"}


def test_kinds_and_what_nobody_said_are_noted_and_repeated_calls_are_one() -> None:
    timers = [("set_timer", '{"minutes": 5, "label": "tea"}'), ("set_timer", '{"minutes": 7, "label": "egg"}')]
    (made,) = Calls().made(row(USER), answer("", *timers, timers[0]))
    assert made.meta == {"kind": "parallel", "ungrounded": ["call_1.minutes", "call_1.label"]}
    (made,) = Calls().made(row(USER), answer("", timers[0], ("ring", "{}")))
    assert made.meta == {"kind": "parallel_multiple"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer("I cannot do that."), "no call"),
        (answer("", ("stop", "{}")), "'stop', which is not declared"),
        (answer("", ("set_timer", "5")), "no JSON object"),
        (answer("", ("set_timer", "{}")), "'minutes' is a required property"),
        (answer("", ("set_timer", '{"minutes": "5"}')), "not of type 'integer'"),
        (answer("", ("set_timer", '{"minutes": 0}')), "minimum"),
        (answer("", ("set_timer", '{"minutes": 5, "colour": "red"}')), "'colour'"),
        (answer("", ("set_timer", '{"minutes": 5, "sound": "gong"}')), "'gong'"),
        (answer("", *(("set_timer", f'{{"minutes": {n}}}') for n in range(1, 30))), "29 calls"),
        (answer('[{"name": "set_timer"}, {"minutes": 5}]'), "no call"),
    ],
)
def test_calls_that_do_not_fit_are_bad_answers(said: object, words: str) -> None:
    with pytest.raises(BadAnswer, match=re.escape(words)):
        Calls().made(row(USER), said)  # type: ignore[arg-type]


def test_a_pattern_that_python_cannot_compile_is_a_bad_answer() -> None:
    """An answer is rejected if a pattern of the schema does not compile, for which jsonschema raises re.error."""
    parameters = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?<n>a"}}}
    asked = row(USER, functions=[{"name": "f", "description": "F", "parameters": parameters}])
    with pytest.raises(BadAnswer, match="schema cannot be used"):
        Calls().made(asked, answer("", ("f", '{"x": "a"}')))


@given(
    st.lists(st.from_regex(r"[A-Za-z]{1,9}", fullmatch=True), min_size=1, max_size=6), st.integers(0, 10**6), st.data()
)
@settings(deadline=None)
def test_what_was_said_is_grounded_and_what_was_not_is_not(words: list[str], number: int, data: st.DataObject) -> None:
    said = data.draw(st.sampled_from(words)).upper()
    text = f"Please: {', '.join(words)}; {number:,}!"
    schema = {"properties": {"sound": {"enum": ["zzz"]}}}
    assert ungrounded({"a": said, "b": [number], "c": {"d": True}, "sound": "zzz"}, schema, text) == []
    assert ungrounded({"a": said + "0", "b": [number + 13]}, schema, text) == ["a", "b[0]"]


# Step 4


def test_results_follow_their_calls() -> None:
    twice = [*CALLED["tool_calls"], {**CALLED["tool_calls"][0], "id": "call_1"}]
    asked = row(USER, {**CALLED, "tool_calls": twice})
    (made,) = Results().made(asked, answer('{"results": [{"ends": "10:05"}, {"ends": "ü"}]}'))
    assert [(one.call_id, one.name, one.content) for one in made.messages[2:]] == [
        ("call_0", "set_timer", '{"ends": "10:05"}'),
        ("call_1", "set_timer", '{"ends": "ü"}'),
    ]
    assert 'Call call_1: set_timer({"minutes": 5})' in Results().request(asked, 0)["messages"][1]["content"]


@pytest.mark.parametrize("text", ['{"ends": "10:05"}', '[{"ends": "10:05"}]', '{"results": [{"ends": "10:05"}]}'])
def test_the_result_of_one_call_may_stand_alone(text: str) -> None:
    (made,) = Results().made(row(USER, CALLED), answer(f"Of course!\n{text}"))
    assert made.messages[-1].content == '{"ends": "10:05"}'


@pytest.mark.parametrize("text", ["It is done.", "[]", "{}", '{"results": [{"a": 1}, {"a": 2}]}', '{"results": [""]}'])
def test_an_answer_without_a_result_for_each_call_is_a_bad_answer(text: str) -> None:
    with pytest.raises(BadAnswer, match="with 1 objects was expected"):
        Results().made(row(USER, CALLED), answer(text))


def test_a_too_long_result_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="too long"):
        Results().made(row(USER, CALLED), answer(json.dumps({"log": "x" * 5_000})))


# Step 5


def test_the_answer_ends_the_row_and_invented_numbers_are_noted() -> None:
    asked = row(USER, CALLED, RESULT)
    (made,) = Interpretations().made(asked, answer('"Your 5 minutes end at 10:05, in 300 seconds."'))
    check_row(made)
    assert made.messages[-1].content == "Your 5 minutes end at 10:05, in 300 seconds."
    assert made.meta == {"ungrounded_numbers": ["300"]}
    assert ungrounded_numbers("1,200 of 1.2.3", "1200 and 1.2.3") == []


@pytest.mark.parametrize("text", ["", " ... ", '{"ends": 1}', "```x```", "I used set_timer.", "long " * 500])
def test_an_answer_that_is_no_sentence_for_a_user_is_a_bad_answer(text: str) -> None:
    with pytest.raises(BadAnswer):
        Interpretations().made(row(USER, CALLED, RESULT), answer(text))


def test_a_call_instead_of_a_sentence_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="calls a function"):
        Interpretations().made(row(USER, CALLED, RESULT), answer("", ("ring", "{}")))


# The steps' input


def test_each_step_says_which_lines_it_cannot_use(tmp_path: Path) -> None:
    lines = [line(USER), line(USER, CALLED), line(USER, CALLED, RESULT), line(), {"functions": 3}]
    path = written(tmp_path / "in.jsonl", lines)
    for step, good in ((Calls(), 1), (Results(), 2), (Interpretations(), 3)):
        rows, faults = step.read(path, 0)
        assert [one.where for one in rows] == [f"{path}:{good}"]
        assert len(faults) == 4
        assert all(fault.startswith(f"{path}:") for fault in faults)


def test_arguments_stay_as_they_were_written() -> None:
    (made,) = Calls().made(row(USER), answer("", ("set_timer", '{"minutes": 5, "label": "Ärzte"}')))
    assert parse_arguments(made.calls[0]) == {"minutes": 5, "label": "Ärzte"}
    assert "Ärzte" in made.calls[0].arguments
