"""The guarantees for arguments between tags hold even for a model that writes random tokens."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from core.conversation import ChatRequest, Function, JsonSchema, Reasoning, ToolChoice
from core.errors import RequestError
from core.generation import Constraint
from drafting.predictions import drafts
from guarantees.constraint import constraint
from prompt_template import load_template
from tests.support.random_model import RandomModel, byte_level
from text.tokenizer import Tokenizer

TEMPLATE = load_template("qwen35").bound(Tokenizer(byte_level().backend_tokenizer).token_id)
BEGIN, END = "<tool_call>\n<function=book>\n", "</function>\n</tool_call>"
TRIP: JsonSchema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 8},
        "class": {"enum": ["first", "second"]},
        "seats": {"type": "integer", "minimum": 1, "maximum": 9},
        "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
        "stops": {"type": "array", "items": {"$ref": "#/$defs/city"}, "maxItems": 2},
        "either": {"type": ["string", "boolean"], "maxLength": 3},
        "from": {"$ref": "#/$defs/city"},
    },
    "required": ["name", "seats", "note"],
    "$defs": {"city": {"type": "string", "enum": ["Zürich", "北京"]}},
}
STRICT_TRIP: JsonSchema = {**TRIP, "required": list(TRIP["properties"]), "additionalProperties": False}
CODE: JsonSchema = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "pattern": "^[a-c]{2,3}(x|y)$"},
        "part": {"type": "string", "pattern": "[0-9]z", "maxLength": 6},
        "day": {"type": "string", "format": "date"},
    },
    "required": ["code", "part", "day"],
    "additionalProperties": False,
}
PING = Function("ping")
# What a random model writes now and then, so that its answers come to an end.
WORDS = ("\n</parameter>\n", "\n</parameter>", END, "<|im_end|>", "first\n", '"', "]", "true", "</parameter")


def asked(choice: str, *tools: Function, **others: Any) -> ChatRequest:
    names = ("book",) if choice == "named" else None
    return ChatRequest("m", (), tools, ToolChoice(choice, names), reasoning=Reasoning(False), **others)  # type: ignore[arg-type]


def bound(model: RandomModel, request: ChatRequest) -> Constraint:
    found = constraint(request, TEMPLATE, model.tokenizer.token_id, "schema")
    assert found is not None
    return found


def answer(model: RandomModel, request: ChatRequest, seed: int, script: str = "") -> list[tuple[str, Any]]:
    """Return the calls of one random answer that begins with `script`."""
    chance, matcher = random.Random(seed), model.constraints.matcher(bound(model, request))
    ids = model._say(matcher, script)
    assert ids is not None
    stop_ids = model.stop_ids(TEMPLATE)
    while not matcher.is_done and len(ids) < 3000:
        wanted = chance.choice(WORDS) if chance.random() < 0.2 + len(ids) / 100 else ""
        control_id = model.tokenizer.token_id(wanted)
        tokens = [control_id] if control_id is not None else model.tokenize(wanted)
        mask = matcher.mask()
        if not tokens or (mask is not None and not mask[tokens[0]]):
            if mask is None:
                break  # in text, after a call
            tokens = [chance.choice(mask.nonzero()[0].tolist())]
        for token_id in tokens:
            mask = matcher.mask()
            if mask is not None and not mask[token_id]:
                break
            matcher.accept(token_id)
            ids.append(token_id)
        if ids[-1] in stop_ids:
            break
    prefill = TEMPLATE.prefill(request.choice, request.reasoning)
    turn = model.read(TEMPLATE, request.tools, ids, prefill)
    assert not turn.text or request.choice.mode == "auto"  # after its call, the model may write a text
    return [(name, json.loads(arguments)) for name, arguments in turn.calls]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("choice", ["required", "named", "auto"])
def test_random_calls_are_valid(bytes_model: RandomModel, choice: str, strict: bool) -> None:
    """Forced calls, strict calls and calls in `auto` with `--arguments schema` are valid, whatever the model writes."""
    schema = STRICT_TRIP if strict else TRIP
    request = asked(choice, Function("book", "", schema, strict), PING, max_calls=1)
    seen: set[str] = set()
    for seed in range(12):
        calls = answer(bytes_model, request, seed, BEGIN if choice == "auto" else "")
        for name, arguments in calls:
            jsonschema.validate(arguments, schema if name == "book" else {"maxProperties": 0})
            seen |= {name, *arguments}
        assert calls and calls[0][0] in ("book", "ping")
    assert {"book", "name", "seats", "note"} <= seen


def test_strict_patterns_and_formats_are_bound(bytes_model: RandomModel) -> None:
    request = asked("named", Function("book", "", CODE, strict=True))
    for seed in range(8):
        ((_, arguments),) = answer(bytes_model, request, seed)
        jsonschema.validate(arguments, CODE)


@pytest.mark.parametrize("choice", ["required", "auto"])
@pytest.mark.parametrize(
    ("written", "is_allowed"),
    [
        ("<parameter=name>\nab\n</parameter>\n<parameter=seats>\n5\n</parameter>\n<parameter=note>\nnull", True),
        ("<parameter=name>\nab\n</parameter>\n<parameter=class>\nsecond\n</parameter>\n<parameter=seats>", True),
        ("<parameter=name>\na</par\nm", True),
        ("<parameter=name>\n\n</parameter>", False),
        ("<parameter=name>\nabcdefghi", False),
        ("<parameter=name>\nab\n</parameter>\n<parameter=class>\nthird", False),
        ("<parameter=name>\nab\n</parameter>\n<parameter=seats>\n0", False),
        ("<parameter=name>\nab\n</parameter>\n<parameter=name>", False),
        ("<parameter=seats>", False),
        ("<parameter=other>", False),
        ("{", False),
        ("</function>", False),
    ],
)
def test_what_a_call_may_contain(bytes_model: RandomModel, choice: str, written: str, is_allowed: bool) -> None:
    wanted = bound(bytes_model, asked(choice, Function("book", "", TRIP), PING))
    assert bytes_model.allows(wanted, BEGIN + written) is is_allowed


def test_free_arguments_are_free(bytes_model: RandomModel) -> None:
    """Without `--arguments schema`, only the names of functions are bound in `auto`."""
    wanted = constraint(asked("auto", Function("book", "", TRIP)), TEMPLATE, bytes_model.tokenizer.token_id, "free")
    assert wanted is not None and bytes_model.allows(wanted, f"{BEGIN}<parameter=other>\nx")
    assert not bytes_model.allows(wanted, "<tool_call>\n<function=delete_all>\n")


def test_functions_without_parameters(bytes_model: RandomModel) -> None:
    for choice in ("required", "auto"):
        wanted = bound(bytes_model, asked(choice, PING))
        assert bytes_model.allows(wanted, f"<tool_call>\n<function=ping>\n{END}")
        assert not bytes_model.allows(wanted, "<tool_call>\n<function=ping>\n<parameter=")


def test_a_function_of_any_parameters_and_one_of_alternatives(bytes_model: RandomModel) -> None:
    alternatives = [{"properties": {key: {"type": "string"}}, "required": [key]} for key in ("a", "b")]
    either = bound(bytes_model, asked("required", Function("book", "", {"type": "object", "anyOf": alternatives})))
    for key in ("a", "b"):
        assert bytes_model.allows(either, f"{BEGIN}<parameter={key}>\nx\n</parameter>\n{END}")
    assert not bytes_model.allows(either, BEGIN + END)
    free = Function("book", "", {"type": "object", "additionalProperties": {"type": "string"}})
    assert bytes_model.allows(
        bound(bytes_model, asked("required", free)), f"{BEGIN}<parameter=x y>\nab\n</parameter>\n{END}"
    )


@pytest.mark.parametrize(
    ("child", "keyword"),
    [
        ({"type": "string", "format": "hostname"}, "format"),
        ({"type": "string", "pattern": "^a|b$"}, "pattern"),
        ({"type": "string", "maxLength": 5000}, "maxLength"),
    ],
)
@pytest.mark.parametrize("choice", ["required", "auto"])
def test_a_strict_schema_is_never_silently_unbound(
    bytes_model: RandomModel, child: JsonSchema, keyword: str, choice: str
) -> None:
    """What the grammar cannot express is an error for a strict function, and dropped from others."""
    schema = {"type": "object", "properties": {"x": child}, "required": ["x"], "additionalProperties": False}
    with pytest.raises(RequestError, match=f"'{keyword}' cannot be enforced"):
        bound(bytes_model, asked(choice, Function("book", "", schema, strict=True)))
    loose = bound(bytes_model, asked(choice, Function("book", "", schema)))
    assert bytes_model.allows(loose, f"{BEGIN}<parameter=x>\nany text\n</parameter>\n{END}")


def test_no_json_is_drafted() -> None:
    """A draft of JSON arguments was rejected token by token; the copies of the prompt's text remain."""
    assert drafts(asked("auto", Function("book", "", TRIP)), TEMPLATE).calls == ()


@pytest.mark.parametrize(
    ("name", "head"), [("qwen3", '<tool_call>\n{"name": "book", "arguments": '), ("qwen35", BEGIN)]
)
def test_the_head_of_a_forced_call_is_written_once(bytes_model: RandomModel, name: str, head: str) -> None:
    """After reasoning that the prompt closes, the grammar asked for the head that was already in the prompt.

    The model wrote it a second time, and the call had no arguments.
    """
    template, request = load_template(name), asked("named", Function("book", "", TRIP))
    assert template.prefill(request.choice, request.reasoning).endswith(head)
    wanted = constraint(request, template, bytes_model.tokenizer.token_id)
    assert wanted is not None and not bytes_model.allows(wanted, "<tool_call>\n")
    assert bytes_model.allows(wanted, "<parameter=name>" if name == "qwen35" else '{"name": "')
