"""The grammars of calls in `auto`: compiled together, remembered for each function, within a time limit."""

from __future__ import annotations

import random
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import guarantees.matcher
from core.conversation import ChatRequest, Function, JsonSchema, ToolChoice
from core.errors import EngineError, RequestError
from core.generation import CallRule, Constraint
from guarantees.constraint import constraint
from guarantees.grammars import Compiled, compiled_calls
from prompt_template import load_template
from tests.support.random_model import RandomModel, byte_level
from text.vocabulary import Vocabulary

V3 = load_template("functionary_v3")
FAR_APART = {"type": "string", "pattern": ".*a.{200}$"}  # needs too many states when a text has many a and b


def an(schema: Any) -> JsonSchema:
    return {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}


def numbered(num: int, *, strict: bool = False) -> list[Function]:
    return [Function(f"f{number}", "", an({"const": number}), strict) for number in range(num)]


def wanted(model: RandomModel, tools: Sequence[Function]) -> Constraint:
    request = ChatRequest("m", (), tuple(tools), ToolChoice("auto"))
    found = constraint(request, V3, model.tokenizer.token_id, "schema")
    assert found is not None
    return found


@pytest.fixture
def model() -> RandomModel:
    return RandomModel(byte_level())


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many grammars each compilation had."""
    counts: list[int] = []

    def counted(rules: Sequence[CallRule], vocabulary: Vocabulary) -> list[Compiled]:
        counts.append(len(rules))
        return compiled_calls(rules, vocabulary)

    monkeypatch.setattr(guarantees.matcher, "compiled_calls", counted)
    return counts


def test_a_changed_list_compiles_only_new_functions(model: RandomModel, compiles: list[int]) -> None:
    """The cache has an entry for each function. It had one for each list, so one more function compiled all again."""
    model.constraints.matcher(wanted(model, numbered(40)))
    assert sum(compiles) == 40 and max(compiles) <= 16
    model.constraints.matcher(wanted(model, [*reversed(numbered(43))]))
    assert sum(compiles) == 43
    model.constraints.matcher(wanted(model, numbered(43)[7:9]))
    assert sum(compiles) == 43


def test_requests_at_the_same_time_compile_once(model: RandomModel, compiles: list[int]) -> None:
    """When many clients start at the same time with the same functions, each grammar is compiled by one of them."""
    constraint = wanted(model, numbered(40))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(model.constraints.matcher, [constraint] * 8))
    assert sum(compiles) == 40


def test_each_function_has_its_own_grammar(model: RandomModel) -> None:
    constraint = wanted(model, numbered(40))
    for number in (0, 9, 10, 15, 16, 39):
        assert model.allows(constraint, f'f{number}\n{{"x": {number}}}<|eot_id|>')
        assert not model.allows(constraint, f'f{number}\n{{"x": {number + 1}')


def test_alone_or_together_the_masks_are_equal(model: RandomModel) -> None:
    """An answer does not depend on which functions were compiled together with its own.

    Regression test: the first token of certain text could be any spelling if the grammar was compiled alone, and only
    the usual one otherwise.
    """
    tools = [Function("a", "", an({"enum": ["one", "two"]})), Function("b", "", an({"type": "integer"}))]
    (alone,) = model.constraints._compiled_calls(wanted(model, tools[:1]).calls).values()
    together, _ = RandomModel(byte_level()).constraints._compiled_calls(wanted(model, tools).calls).values()
    assert (alone.is_shared, together.is_shared) == (False, True)
    masks = [grammar.start.deep_copy().compute_bitmask() for grammar in (alone, together)]
    assert masks[0] == masks[1]
    forced = [grammar.start.deep_copy().compute_ff_tokens() for grammar in (alone, together)]
    assert forced[0] == forced[1] and model.constraints.vocabulary.token_bytes(forced[0][0]).startswith(b"{")


def test_without_time_arguments_are_free_unless_strict(model: RandomModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schemas that take too long together do not delay an answer: what is not compiled in time stays free."""
    tools = [*numbered(3), Function("s", "", an({"const": "s"}), strict=True)]
    monkeypatch.setattr(guarantees.matcher, "_COMPILE_ALL_S", -1.0)
    late = wanted(model, [*tools, *numbered(20)[3:]])
    assert model.allows(late, 'f19\n{"y": 1')
    assert not model.allows(late, 's\n{"x": "t')
    monkeypatch.undo()
    assert not model.allows(late, 'f19\n{"y": 1')


def test_a_strict_function_among_many_is_still_an_error(model: RandomModel) -> None:
    pattern = {"type": "string", "pattern": "(?=x)"}
    broken = Function("broken", "", an(pattern), strict=True, param="tools[20].function.parameters")
    with pytest.raises(RequestError, match=r"^Invalid schema for function 'broken': ") as refused:
        model.constraints.matcher(wanted(model, [*numbered(20), broken]))
    assert refused.value.param == "tools[20].function.parameters"


def test_a_pattern_that_breaks_its_lexer_harms_no_other_function(model: RandomModel) -> None:
    """Functions that are compiled together share a lexer, which fails for all if one's pattern exceeds its limit.

    The others are then compiled alone, also for an answer that is in the middle of a call, and even if they are strict.
    """
    evil = Function("evil", "", an(FAR_APART), strict=True)
    city = {"city": {"enum": ["Oslo", "Turin"]}, "days": {"type": "integer", "maximum": 9, "minimum": 1}}
    schema = {"type": "object", "properties": city, "required": [*city], "additionalProperties": False}
    constraint = wanted(model, [evil, Function("good", "", schema, strict=True)])
    running = model.constraints.matcher(constraint)
    for token_id in model.tokenize('good\n{"city": "Oslo", '):
        running.accept(token_id)
    script = 'evil\n{"x": "' + "".join(random.Random(1).choices("ab", k=2000))
    with pytest.raises(EngineError, match="too complex"):
        model.walk(constraint, [model.tokenizer.token_id("<|eot_id|>") or 0], 0, script=script)
    mask = running.mask()
    assert mask is not None and mask.sum() < 20 and running._calls["good"].is_broken
    assert not model.allows(constraint, 'good\n{"city": "Rome')
    assert model.allows(constraint, 'good\n{"city": "Turin", "days": 3}<|eot_id|>')


def test_lists_of_functions_keep_no_more_grammars_than_the_cache(
    model: RandomModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks of the last 16 lists kept their grammars beside the cache: 95 MB for each list of 400 functions."""
    monkeypatch.setattr(guarantees.matcher, "_MAX_CACHED_BYTES", 500_000)
    kept: list[weakref.ref[Compiled]] = []
    for first in range(0, 80, 10):
        calls = wanted(model, numbered(90)[first : first + 10])
        matcher = model.constraints.matcher(calls)
        kept += [weakref.ref(grammar) for grammar in matcher._calls.values()]
        del matcher
    assert len(kept) == 80
    num_bytes = sum(guarantees.matcher._num_bytes("", grammar) for ref in kept if (grammar := ref()) is not None)
    assert 0 < num_bytes <= 2 * 500_000
