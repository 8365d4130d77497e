"""The guarantees hold for calls that a model spells in another way than its format's own."""

from __future__ import annotations

import pytest

from core.conversation import ChatRequest, CodeInterpreter, Function, Tool, ToolChoice
from guarantees.constraint import constraint
from guarantees.matcher import Matcher
from prompt_template import PromptTemplate, load_template, template_names
from templates.shared.llama_calls import LlamaCallTemplate
from tests.support.random_model import RandomModel, byte_level, sentencepiece

CITY = Function("get_x", "", {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"]})
PYTHON = CodeInterpreter()


def bound(name: str, model: RandomModel) -> PromptTemplate:
    return load_template(name).bound(model.tokenizer.token_id)


def matcher(model: RandomModel, template: PromptTemplate, request: ChatRequest, arguments: str = "free") -> Matcher:
    wanted = constraint(request, template, model.tokenizer.token_id, arguments)  # type: ignore[arg-type]
    assert wanted is not None
    return model.constraints.matcher(wanted)


def asked(mode: str, *tools: Tool, names: tuple[str, ...] | None = None) -> ChatRequest:
    return ChatRequest("m", (), tools, ToolChoice(mode, names))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["hermes", "qwen25", "qwen3", "mistral", "mistral_v7", "functionary_cogito"])
def test_bound_arguments_do_not_come_before_their_name(name: str) -> None:
    """A model that wrote the arguments before the name left its schema, and the name then failed the whole answer.

    The parser reports such a call at its name, when the arguments are written already. Where arguments are free they
    may still come first.
    """
    model = RandomModel(byte_level())
    template = bound(name, model)
    head = template.calls_open + template.call_head("get_x").partition('"name"')[0]
    request = asked("auto", CITY)
    early = head + '"arguments": {"zzz": 1}, "name": "get_x"}'
    found = {
        arguments: constraint(request, template, model.tokenizer.token_id, arguments)
        for arguments in ("schema", "free")
    }
    assert found["schema"] is not None and found["free"] is not None
    assert not model.allows(found["schema"], early) and model.allows(found["free"], early)
    usual = template.calls_open + template.call_head("get_x") + '{"city": "Oslo"}'
    assert model.allows(found["schema"], usual + template.call_tail)


@pytest.mark.parametrize(
    "name",
    [name for name in template_names() if name == "llama31" or isinstance(load_template(name), LlamaCallTemplate)],
)
@pytest.mark.parametrize("mode", ["required", "named"])
def test_forced_code_is_a_call(name: str, mode: str) -> None:
    """A forced call of the code interpreter was answered by a text, and by calls that the code contained.

    In llama31 the head was that of a function. In the formats whose prefill for `required` begins a name, the parser
    knew no code behind the prefill.
    """
    model = RandomModel(byte_level())
    template = bound(name, model)
    request = asked(mode, CITY, PYTHON, names=("python",) if mode == "named" else ("get_x", "python"))
    prefill = template.prefill(request.choice)
    code = "print('<function=gone>1</function>')"
    head = "" if prefill else "<|python_tag|>"
    wanted = constraint(request, template, model.tokenizer.token_id)
    assert wanted is not None
    ids, is_cut = model.walk(wanted, model.stop_ids(template), 1, script=head + code, patience=0)
    turn = model.read(template, request.tools, ids, prefill)
    assert not is_cut and not turn.text
    assert [name for name, _ in turn.calls] == ["python"] and turn.calls[0][1].startswith(code)


def test_a_function_may_be_named_like_the_code_interpreter() -> None:
    """In llama31 a forced call of a function `python` is read, and so is the usual spelling."""
    model = RandomModel(byte_level())
    template, python = bound("llama31", model), Function("python", "", CITY.parameters)
    for choice, script in (
        ("named", ""),
        ("required", ""),
        ("auto", '{"name": "python", "parameters": {"city": "Oslo"'),
    ):
        request = asked(choice, python, names=("python",) if choice == "named" else None)
        wanted = constraint(request, template, model.tokenizer.token_id)
        assert wanted is not None
        ids, _ = model.walk(wanted, model.stop_ids(template), 1, script=script, patience=0)
        turn = model.read(template, request.tools, ids, template.prefill(request.choice))
        assert [name for name, _ in turn.calls] == ["python"] and '"Oslo"' in turn.calls[0][1]


def test_names_behind_a_call_prefill_are_not_ended_by_code() -> None:
    """`<|python_tag|>` opens a call of its own; it does not end the name of a function, where no call may be left."""
    model = RandomModel(byte_level())
    template = bound("functionary_v3_llama31", model)
    wanted = constraint(asked("auto", CITY, PYTHON, names=("get_x",)), template, model.tokenizer.token_id)
    assert wanted is not None
    assert not model.allows(wanted, "<function=get_x<|python_tag|>")
    assert not model.allows(wanted, "<function=get_x ") and not model.allows(wanted, "<function=<|python_tag|>")


@pytest.mark.parametrize("name", ["hermes", "functionary_gemma3", "qwen3"])
def test_half_a_character_before_a_control_token_hides_no_call(name: str) -> None:
    """A token of half a character, then a control token, opened a call of a function that was not offered.

    The half character is shown as U+FFFD and ends the head of a call, but the masks did not see it.
    """
    model = RandomModel(sentencepiece())
    template = bound(name, model)
    watched = matcher(model, template, asked("auto", CITY))
    begun = "<tool_call>\n" + '{"name": "get_x"'
    half = model.tokenizer.token_id("<0xC3>") or model.constraints.vocabulary.ids_of(b"\xc3")[0]
    opening = model.tokenizer.token_id("<tool_call>")
    assert opening is not None
    bad = [*model.tokenize('\n{"name": "'), *model.tokenize("delete_all")]
    for token_id in [opening, *model.tokenize(begun.removeprefix("<tool_call>")), half, opening]:
        mask = watched.mask()
        assert mask is None or mask[token_id]
        watched.accept(token_id)
    for token_id in bad:
        mask = watched.mask()
        if mask is not None and not mask[token_id]:
            return
        watched.accept(token_id)
    raise AssertionError("the name of a function that is not offered can be written")
