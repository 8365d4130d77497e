"""The generic template: prompts, answers and errors of a checkpoint that is served by its own chat template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chat_templates.generic import GenericTemplate
from core.conversation import Call, ChatRequest, CodeInterpreter, Function, Message, Reasoning, ToolChoice
from core.errors import ModelError, RequestError
from core.turn_format import ArgsDelta, CallStart, Event, ReasoningDelta, TextDelta
from guarantees.constraint import constraint
from tests.support.family_templates import CHATML, FAMILIES, LLAMA, Family
from text.parser import OutputParser

LIGHT = Function("set_light", "Switch a lamp.", {"type": "object", "properties": {"room": {"type": "string"}}})
CALL = Call("set_light", '{"room": "hall"}', "call_1")
CHAT = (
    Message("user", "Light!"),
    Message("assistant", None, (CALL,)),
    Message("tool", "done", call_id="call_1"),
    Message("assistant", "It is on."),
)


@pytest.fixture(scope="module")
def templates() -> Iterator[dict[str, GenericTemplate]]:
    made = {name: family.template() for name, family in FAMILIES.items()}
    yield made
    for template in made.values():
        template.close()


def ask(*messages: Message, reasoning: Reasoning = Reasoning(), tools: bool = True, mode: str = "auto") -> ChatRequest:  # noqa: B008
    request = ChatRequest("m", messages, (LIGHT,) if tools else (), ToolChoice("auto"), reasoning=reasoning)
    return request if mode == "auto" else replace(request, choice=ToolChoice("named", ("set_light",)))


def text(template: GenericTemplate, request: ChatRequest) -> str:
    return "".join(piece.text for piece in template.prompt(request))


def read(template: GenericTemplate, answer: str, prefill: str = "") -> list[Event]:
    parser = OutputParser(template.turn_format((LIGHT,)))
    control = sorted(template._control_tokens, key=len, reverse=True)
    events: list[Event] = []
    rest = prefill + answer
    while rest:
        token = next((one for one in control if rest.startswith(one)), "")
        events += parser.feed(token or rest[0], is_control=bool(token))
        rest = rest[len(token or rest[0]) :]
    return [*events, *parser.finish()]


def joined(events: list[Event], kind: type[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, kind) and not isinstance(event, CallStart))


def test_what_each_template_can_show(templates: dict[str, GenericTemplate]) -> None:
    facts = {name: template._facts for name, template in templates.items()}
    assert {name for name, one in facts.items() if one.shows_functions} == {"chatml", "llama", "mistral", "xml"}
    assert {name for name, one in facts.items() if one.shows_calls} == {"chatml", "llama", "mistral", "xml"}
    assert {name for name, one in facts.items() if one.shape.short_ids} == {"mistral"}
    assert {name for name, template in templates.items() if template.has_thinking_switch} == {"chatml"}
    assert {name for name, template in templates.items() if template.renders_reasoning} == {"chatml"}
    assert [template.stop for template in templates.values()] == [
        ("<|im_end|>",),
        ("<|eot_id|>",),
        ("</s>",),
        ("<|end|>",),
        ("</s>",),
    ]


def test_bos_is_written_once(templates: dict[str, GenericTemplate]) -> None:
    ids = LLAMA.tokenizer().encode(templates["llama"].prompt(ask(CHAT[0])), bos=templates["llama"].bos).ids
    begin = LLAMA.tokenizer().token_id("<|begin_of_text|>")
    assert ids[0] == begin and ids.count(begin or 0) == 1


def test_the_switch_of_the_reasoning(templates: dict[str, GenericTemplate]) -> None:
    template = templates["chatml"]
    assert text(template, ask(CHAT[0])).endswith("<|im_start|>assistant\n")
    off = Reasoning(is_enabled=False)
    assert text(template, ask(CHAT[0], reasoning=off)).endswith("assistant\n<think>\n\n</think>\n\n")
    assert template.prefill(ToolChoice("auto"), off) == "<think>\n\n</think>\n\n" and not template.may_reason(off)


def test_reasoning_that_the_prompt_begins(templates: dict[str, GenericTemplate]) -> None:
    template = templates["xml"]
    assert text(template, ask(CHAT[0])).endswith("<|assistant|>\n<think>\n")
    events = read(template, "Hm.\n</think>\n\nDone.", prefill=template.prefill(ToolChoice("auto")))
    assert (joined(events, ReasoningDelta), joined(events, TextDelta)) == ("Hm.", "Done.")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("chatml", '<tool_call>\n{"name": "set_light", "arguments": {"room": "hall"}}\n</tool_call>'),
        ("mistral", '[TOOL_CALLS] [{"name": "set_light", "arguments": {"room": "hall"}, "id": "abcdefghi"}]'),
        ("llama", '{"name": "set_light", "parameters": {"room": "hall"}}'),
    ],
)
def test_calls_are_read_by_the_signs_of_the_chat_template(
    name: str, answer: str, templates: dict[str, GenericTemplate]
) -> None:
    """The arguments arrive as they are written, not at the end of the call."""
    events = read(templates[name], answer)
    assert CallStart("set_light") in events and joined(events, ArgsDelta) == '{"room": "hall"}'
    assert sum(isinstance(event, ArgsDelta) for event in events) > 5


TAGGED = Family(
    """\
{%- for tool in tools or [] %}{{- '<tool>' + (tool | tojson) + '</tool>\\n' }}{%- endfor %}
{%- if tools %}{{- '<tool_call>\\n<function=example_function_name>\\n</function>\\n</tool_call>\\n' }}{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n<function=' + call.function.name + '>\\n' }}
{%- for name, value in call.function.arguments | items %}
{{- '<parameter=' + name + '>\\n' + value | string + '\\n</parameter>\\n' }}
{%- endfor %}{{- '</function>\\n</tool_call>' }}
{%- endfor %}{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}""",
    ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"),
    "<|im_end|>",
)


def test_calls_with_tagged_parameters() -> None:
    """Calls as those of Qwen3-Coder were read as text: its chat template has `<tool_call>`, but no JSON inside."""
    template = TAGGED.template()
    try:
        answer = "<tool_call>\n<function=set_light>\n<parameter=room>\n5\n</parameter>\n</function>\n</tool_call>"
        events = read(template, answer)
        assert CallStart("set_light") in events and joined(events, ArgsDelta) == '{"room": "5"}'
        wanted = constraint(ask(CHAT[0], mode="named"), template, lambda text: None)
        assert wanted and wanted.turn and "<parameter=room>" in wanted.turn.text
        assert template.reasoning is None
    finally:
        template.close()


def test_reasoning_before_a_call(templates: dict[str, GenericTemplate]) -> None:
    answer = '<think>\nHm.\n</think>\n\n<tool_call>\n{"name": "set_light", "arguments": {}}\n</tool_call>'
    events = read(templates["chatml"], answer)
    assert joined(events, ReasoningDelta) == "Hm." and CallStart("set_light") in events


def test_a_named_choice_prefills_the_call(templates: dict[str, GenericTemplate]) -> None:
    request = ask(CHAT[0], reasoning=Reasoning(is_enabled=False), mode="named")
    prefill = templates["chatml"].prefill(request.choice, request.reasoning)
    assert prefill.endswith("set_light" + prefill.rpartition("set_light")[2]) and "<tool_call>" in prefill
    assert text(templates["chatml"], request).endswith(prefill)


def test_answers_are_learned(templates: dict[str, GenericTemplate]) -> None:
    pieces = templates["chatml"].render(CHAT, (LIGHT,))
    assert "".join(piece.text for piece in pieces if piece.learned) == (
        '<tool_call>\n{"name": "set_light", "arguments": {"room": "hall"}}\n</tool_call><|im_end|>It is on.<|im_end|>'
    )


def test_reasoning_in_the_text_of_an_answer_is_taken_out(templates: dict[str, GenericTemplate]) -> None:
    """Clients send answers back as the model wrote them; the marks are control tokens then as in training."""
    turn = Message("assistant", "<think>\nHm.\n</think>\n\nOn.")
    pieces = templates["chatml"].render((CHAT[0], turn), ())
    assert "<think>\nHm.\n</think>\n\nOn.<|im_end|>" in "".join(piece.text for piece in pieces)
    assert any(piece.markup and "</think>" in piece.text for piece in pieces)


def test_functions_without_a_place_for_them_are_an_error(templates: dict[str, GenericTemplate]) -> None:
    with pytest.raises(RequestError, match="has no place for functions"):
        templates["plain"].prompt(ask(CHAT[0]))
    assert text(templates["plain"], ask(CHAT[0], tools=False)) == "<|user|>\nLight!</s>\n<|assistant|>\n"


def test_what_a_template_refuses_is_an_error_with_its_reason(templates: dict[str, GenericTemplate]) -> None:
    with pytest.raises(RequestError, match="System messages are not supported!"):
        templates["plain"].prompt(ask(Message("system", "x"), CHAT[0], tools=False))
    with pytest.raises(RequestError, match="Roles must alternate!"):
        templates["mistral"].prompt(ask(CHAT[0], CHAT[0]))
    with pytest.raises(RequestError, match="no code interpreter"):
        templates["chatml"].prompt(replace(ask(CHAT[0]), tools=(CodeInterpreter(),)))


def test_sizes_of_functions_need_no_messages(templates: dict[str, GenericTemplate]) -> None:
    for name in ("chatml", "llama", "mistral", "xml"):
        without, one = ("".join(p.text for p in templates[name].render((), tools)) for tools in ((), (LIGHT,)))
        assert len(one) > len(without)


def test_a_template_without_an_end_is_an_error() -> None:
    with pytest.raises(ModelError, match="no control token that ends an answer"):
        GenericTemplate(CHATML.chat_template, special_tokens={}, control_tokens=("<|im_start|>",))
