"""The templates of everyday requests: every wording of every function, filled in with several sampled values."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from random import Random
from typing import Any

import jsonschema
import pytest

from schema import typescript
from train.everyday.catalogue import _RIVALS, FIELDS, GENERAL, TASKS
from train.everyday.phrasing import say, say_known, template
from train.everyday.tasks import SLOT, Parameter, Task, Wording, flat
from train.everyday.values import FLAG

SEEDS = range(6)


def slots(wording: Wording) -> list[str]:
    return SLOT.findall(template(wording).whole)


@cache
def validator(task_name: str) -> jsonschema.Draft202012Validator:
    schema = next(task.function.parameters for task in TASKS if task.name == task_name) or {}
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator({**schema, "additionalProperties": False})


def fits(task: Task, arguments: dict[str, Any]) -> None:
    validator(task.name).validate(arguments)


def asked_for(wording: Wording) -> set[str]:
    return {*slots(wording), *template(wording).fixed}


def optional(fields: tuple[Parameter, ...]) -> list[Parameter]:
    return [one for field in fields for one in ([] if field.is_required else [field]) + optional(field.fields)]


def test_there_are_at_least_150_functions_with_distinct_names() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS) >= 150
    assert len({task.description for task in TASKS}) == len(TASKS)


def test_arrays_booleans_numbers_and_objects_are_well_represented() -> None:
    types = Counter(kind for task in TASKS for kind in {field.schema["type"] for field in task.parameters})
    assert types["array"] >= 40
    assert types["boolean"] >= 40
    assert types["integer"] + types["number"] >= 60
    assert types["object"] >= 15
    assert sum(len(task.parameters) >= 3 for task in TASKS) >= 80


def test_every_wording_gives_calls_that_fit_the_schema(subtests: pytest.Subtests) -> None:
    for task in TASKS:
        with subtests.test(task.name):
            for wording in task.wordings:
                for seed in SEEDS:
                    spoken = say(task, wording, Random(seed))
                    assert not re.search(r"[\[\]{}]", spoken.text)
                    assert task.required <= set(flat(spoken.calls[0]))
                    fits(task, spoken.calls[0])


def test_repeated_parts_give_different_calls(subtests: pytest.Subtests) -> None:
    for task in TASKS:
        with subtests.test(task.name):
            for wording in task.wordings:
                if template(wording).repeated:
                    for seed in SEEDS:
                        first, second = say(task, wording, Random(seed), num_calls=2).calls
                        assert first != second
                        fits(task, second)


def test_no_list_stands_in_a_repeated_part(subtests: pytest.Subtests) -> None:
    """The part of a wording that is repeated for each further call has no parameter whose value is a list.

    Otherwise "Add tea and milk and bread" could mean one call with a list, or several calls.
    """
    for task in TASKS:
        with subtests.test(task.name):
            for wording in task.wordings:
                for slot in SLOT.findall(template(wording).repeated):
                    assert task.parameter(slot).schema["type"] != "array"


def test_a_task_has_wordings_enough_and_mentions_each_parameter(subtests: pytest.Subtests) -> None:
    """A function has two to six wordings, and each of its parameters is mentioned in some wording.

    A model would learn to leave out a parameter that no wording mentions.
    """
    for task in TASKS:
        with subtests.test(task.name):
            assert 2 <= len(task.wordings) <= 6
            mentioned = {slot for wording in task.wordings for slot in slots(wording)}
            mentioned |= {name for wording in task.wordings for name in template(wording).fixed}
            leaves = set(leaf_paths(task.parameters)) - unmentioned_flags(task)
            assert leaves <= mentioned


def leaf_paths(fields: tuple[Parameter, ...], prefix: str = "") -> list[str]:
    return [
        path
        for field in fields
        for path in (leaf_paths(field.fields, f"{prefix}{field.name}.") if field.fields else [prefix + field.name])
    ]


def unmentioned_flags(task: Task) -> set[str]:
    """Return the optional parameters that no wording needs to mention.

    Real definitions have unused parameters too.
    """
    return {field.name for field in optional(task.parameters)}


def test_flags_are_fixed_by_the_words_and_never_said(subtests: pytest.Subtests) -> None:
    for task in TASKS:
        with subtests.test(task.name):
            for wording in (*task.wordings, *(ask.wording for ask in task.asks)):
                assert all(task.parameter(slot).maker is not FLAG for slot in slots(wording))
                for name, value in template(wording).fixed.items():
                    jsonschema.Draft202012Validator(task.parameter(name).schema).validate(value)


def test_asks_end_in_a_call_with_all_that_is_required(subtests: pytest.Subtests) -> None:
    for task in TASKS:
        with subtests.test(task.name):
            for ask in task.asks:
                assert not task.required <= {*slots(ask.wording), *template(ask.wording).fixed}, "nothing is missing"
                assert set(SLOT.findall(ask.question)) <= set(slots(ask.wording))
                for seed in SEEDS:
                    asked = say(task, ask.wording, Random(seed))
                    reply = say_known(task, ask.reply, Random(seed), flat(asked.calls[0]))
                    assert task.required <= set(flat(reply.calls[0]))
                    assert not re.search(r"[\[\]{}]", reply.text)
                    fits(task, reply.calls[0])


def test_answers_are_computed_and_told_for_every_wording(subtests: pytest.Subtests) -> None:
    for task in TASKS:
        with subtests.test(task.name):
            for wording in task.wordings:
                for seed in SEEDS:
                    arguments = say(task, wording, Random(seed)).calls[0]
                    result = task.result(arguments)
                    assert result == task.result(arguments), "the world answers the same to the same"
                    told = task.result_sentence(arguments, result)
                    assert told
                    assert not re.search(r"[\[\]{}]|\bNone\b|True|False", told)


def test_what_follows_changes_a_call_and_keeps_the_rest(subtests: pytest.Subtests) -> None:
    for task in TASKS:
        with subtests.test(task.name):
            if not task.again:
                continue
            whole = [wording for wording in task.wordings if asked_for(wording) == task.required]
            assert whole, "no wording after which `again` could come"
            known = flat(say(task, whole[0], Random(1)).calls[0])
            fits(task, say_known(task, task.again, Random(2), known).calls[0])


def test_slots_have_names_that_frames_do_not_use(subtests: pytest.Subtests) -> None:
    for task in TASKS:
        with subtests.test(task.name):
            assert not set(leaf_paths(task.parameters)) & {"a", "b", "c", "x", "X", "0", "1", "2"}


def test_imperatives_begin_with_a_verb(subtests: pytest.Subtests) -> None:
    """Wordings in the imperative begin with a verb, since "Can you" may be put in front of them.

    Regression test: one began with a time, which gave "Can you at 7 pm, remind me".
    """
    for task in TASKS:
        with subtests.test(task.name):
            for wording in task.wordings:
                parts = template(wording)
                if parts.is_imperative:
                    assert re.match(r"[A-Z][a-z]+ ", parts.whole), parts.whole
                    assert parts.whole.split()[0] not in (
                        "The",
                        "At",
                        "In",
                        "On",
                        "A",
                        "I",
                        "My",
                        "What",
                        "How",
                        "Is",
                        "Which",
                    )


def test_names_in_the_tables_of_rivals_exist() -> None:
    names = {task.name for task in TASKS}
    assert {name for line in _RIVALS for name in line} <= names
    assert names >= GENERAL


def test_all_definitions_print_as_typescript() -> None:
    text = typescript([task.function for task in TASKS])
    assert all(f"type {task.name} = (_: {{" in text for task in TASKS)
    assert sum(len(field) for field in FIELDS.values()) == len(TASKS)
