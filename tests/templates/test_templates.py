"""The prompts of each template equal its golden prompts.

Each tests/golden/TEMPLATE/CASE.json is a request, and CASE.txt is its exact prompt.
`python -m tests.templates.test_templates` rewrites the prompts. Review their diff before you commit it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.conversation import Call, ChatRequest, CodeInterpreter, Function, Message, Reasoning, Tool, ToolChoice
from core.errors import RequestError
from prompt_template import Piece, load_template, template_names

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(GOLDEN.glob("*/*.json"))
TEMPLATES = template_names()

LIGHT = Function("set_light", "Switch a lamp on or off", {"type": "object", "properties": {"room": {"type": "string"}}})
CHAT = [
    Message("system", "Be brief."),
    Message("user", "Light!"),
    Message("assistant", None, (Call("set_light", '{"room": "hall"}', "a"),)),
    Message("tool", "done", call_id="a"),
    Message("assistant", "It is on."),
]


def read_request(path: Path) -> ChatRequest:
    body = json.loads(path.read_text(encoding="utf-8"))
    choice = body["choice"]
    names = tuple(choice["names"]) if "names" in choice else None
    return ChatRequest(
        model="",
        messages=tuple(read_message(**message) for message in body["messages"]),
        tools=tuple(read_tool(tool) for tool in body["tools"]),
        choice=ToolChoice(choice["mode"], names),
        reasoning=Reasoning(body.get("reasoning")),
    )


def read_message(*, calls: list[dict[str, str]] | None = None, **fields: Any) -> Message:
    return Message(calls=tuple(Call(**call) for call in calls or ()), **fields)


def read_tool(tool: dict[str, Any]) -> Tool:
    return CodeInterpreter() if "code_interpreter" in tool else Function(**tool)


def prompt(template_name: str, request: ChatRequest) -> str:
    return joined(load_template(template_name).prompt(request))


def joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def learned(template_name: str, messages: list[Message]) -> str:
    return joined([piece for piece in load_template(template_name).render(messages, [LIGHT]) if piece.learned])


@pytest.mark.parametrize("name", TEMPLATES)
def test_golden(name: str, subtests: pytest.Subtests) -> None:
    for case in CASES:
        if case.parent.name == name:
            with subtests.test(case.stem):
                assert prompt(name, read_request(case)) == case.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_has_golden_prompts(name: str) -> None:
    assert len([case for case in CASES if case.parent.name == name]) >= 5


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_file_name_is_the_templates_name(name: str) -> None:
    assert load_template(name).name == name


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_callers_text_is_never_markup(name: str) -> None:
    """A caller's text must not become control tokens, or a user could forge turns of the assistant."""
    mark = "<|forged|>"
    function = Function("f", mark, {"type": "object", "properties": {"p": {"type": "string", "description": mark}}})
    call = Call(f"name{mark}", f"args{mark}", "a")
    messages = [
        Message("system", mark),
        Message("user", mark),
        Message("assistant", mark, (call,)),
        Message("tool", mark, name=mark, call_id="a"),
    ]
    pieces = load_template(name).render(messages, [function])
    assert "<|forged|>" in joined(pieces)
    assert not [piece for piece in pieces if piece.markup and mark in piece.text]


HERMES_CALL = '<tool_call>\n{"name": "set_light", "arguments": {"room": "hall"}}\n</tool_call>'
LLAMA_TURNS = '<function=set_light>{"room": "hall"}</function><|eom_id|>It is on.<|eot_id|>'
TOOL_CALL = f"{HERMES_CALL}<|im_end|>"
LEARNED = {
    "functionary_v3": 'set_light\n{"room": "hall"}<|eot_id|>all\nIt is on.<|eot_id|>',
    "functionary_v3_chatml": 'set_light\n{"room": "hall"}<|im_end|>all\nIt is on.<|im_end|>',
    "functionary_v1": (
        '\n<|START_OF_FUNCTION_CALL|>set_light:\n{"room": "hall"}<|END_OF_FUNCTION_CALL|>'
        "\nIt is on.<|END_OF_ASSISTANT|>"
    ),
    "functionary_v2": ('set_light\n<|content|>{"room": "hall"}<|stop|>all\n<|content|>It is on.<|stop|>'),
    "functionary_v2_llama3": ('<|reserved_special_token_249|>set_light\n{"room": "hall"}<|eot_id|>It is on.<|eot_id|>'),
    "functionary_v3_llama31": LLAMA_TURNS,
    "functionary_v4r": LLAMA_TURNS,
    "functionary_v3_llava": 'set_light\n{"room": "hall"}<|eot_id|>all\nIt is on.<|eot_id|>',
    "functionary_v1_plain": (
        'user:\n</s>assistant to=functions.set_light:\n{"room": "hall"}</s>assistant:\nIt is on.\n'
    ),
    "functionary_r1": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>set_light\n"
        '```json\n{"room": "hall"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>'
        "It is on.<｜end▁of▁sentence｜>"
    ),
    "functionary_r1_llama": '<function=set_light>{"room": "hall"}</function><|eom_id|>It is on.<｜end▁of▁sentence｜>',
    "functionary_r1_qwen": HERMES_CALL + "<｜end▁of▁sentence｜>It is on.<｜end▁of▁sentence｜>",
    "functionary_qwen25": HERMES_CALL + "<|im_end|>It is on.<|im_end|>",
    "functionary_cogito": HERMES_CALL + "<|im_end|>It is on.<|im_end|>",
    "functionary_gemma3": HERMES_CALL + "<end_of_turn>It is on.<end_of_turn>",
    "hermes": f"{TOOL_CALL}It is on.<|im_end|>",
    "qwen25": f"{TOOL_CALL}It is on.<|im_end|>",
    "qwen3": f"{TOOL_CALL}<think>\n\n</think>\n\nIt is on.<|im_end|>",
    "qwen3_thinking": f"{TOOL_CALL}<think>\n\n</think>\n\nIt is on.<|im_end|>",
    "qwen35": (
        "<think>\n\n</think>\n\n<tool_call>\n<function=set_light>\n<parameter=room>\nhall\n</parameter>\n"
        "</function>\n</tool_call><|im_end|><think>\n\n</think>\n\nIt is on.<|im_end|>"
    ),
    "llama31": '{"name": "set_light", "parameters": {"room": "hall"}}<|eot_id|>It is on.<|eot_id|>',
    "mistral": '[TOOL_CALLS] [{"name": "set_light", "arguments": {"room": "hall"}}]</s> It is on.</s>',
    "mistral_nemo": '[TOOL_CALLS][{"name": "set_light", "arguments": {"room": "hall"}}]</s>It is on.</s>',
    "mistral_v7": '[TOOL_CALLS][{"name": "set_light", "arguments": {"room": "hall"}}]</s>It is on.</s>',
    "mistral_v11": '[TOOL_CALLS]set_light[ARGS]{"room": "hall"}</s>It is on.</s>',
    "mistral_v13": '[TOOL_CALLS]set_light[ARGS]{"room": "hall"}</s>It is on.</s>',
    "gpt_oss": (
        '<|channel|>commentary to=functions.set_light <|constrain|>json<|message|>{"room": "hall"}<|call|>'
        "<|channel|>final<|message|>It is on.<|return|>"
    ),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_learned_pieces(name: str) -> None:
    """The model learns exactly the text that it generates, including stop tokens.

    The model learns neither the opening of its turn nor a line break after a stop token. In v1_plain it also learns the
    beginning of the user's turn, since the model ends its own turn with it.
    """
    assert learned(name, CHAT) == LEARNED[name]


def test_separators_inside_a_turn_are_learned() -> None:
    calls = (Call("set_light", "{}"), Call("set_light", '{"room": "hall"}'))
    turn = [Message("assistant", "Both.", calls)]
    assert learned("functionary_v3", turn) == 'all\nBoth.>>>set_light\n{}>>>set_light\n{"room": "hall"}<|eot_id|>'


def test_v1_plain_tokenizes_each_message_separately() -> None:
    """In v1_plain each message is tokenized separately and begins with a space token, as in training.

    The text and the call of one assistant's turn are two messages.
    """
    template = load_template("functionary_v1_plain")
    turn = Message("assistant", "One moment.", (Call("set_light", "{}"),))
    stretches: list[str] = []
    for piece in [*template.render([Message("user", "Hi"), turn], []), template.opening]:
        if piece.is_separate:
            stretches.append("")
        stretches[-1] += piece.text
    assert stretches[1:] == [
        "user:\n</s>Hi\n",
        "assistant:\nOne moment.\n",
        "assistant to=functions.set_light:\n{}</s>",
        "assistant",
    ]


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "functionary_v1_plain"])
def test_other_formats_have_no_separate_pieces(name: str) -> None:
    template = load_template(name)
    assert not any(piece.is_separate for piece in [*template.render(CHAT, [LIGHT]), template.opening])


@pytest.mark.parametrize("name", ["functionary_v1", "functionary_v1_plain"])
def test_formats_without_code_interpreter_raise_an_error(name: str) -> None:
    with pytest.raises(RequestError, match=f"prompt format, {name}, has no code interpreter"):
        load_template(name).render([Message("user", "1 + 1?")], [CodeInterpreter()])


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "functionary_r1"])
def test_a_longer_conversation_extends_the_prompt(name: str) -> None:
    """The prompt of the next turn begins with the prompt of this one, so that the prefix cache finds all of it.

    The published format r1 has a line break after its opening, but none before the texts of earlier turns.
    """
    template = load_template(name)
    before = joined([*template.render(CHAT[:2], [LIGHT]), template.opening])
    assert joined(template.render(CHAT, [LIGHT])).startswith(before)


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_empty_turn_leaves_no_trace(name: str) -> None:
    """As in training. A turn shown as empty text would teach the model to say nothing."""
    template = load_template(name)
    empty = Message("assistant", reasoning="Hm.")
    assert joined(template.render([*CHAT, empty, CHAT[1]], [])) == joined(template.render([*CHAT, CHAT[1]], []))


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name.startswith("functionary")])
def test_functionarys_formats_have_no_names_of_authors_and_no_reasoning(name: str) -> None:
    template = load_template(name)
    told = [replace(one, name="ada", reasoning="Hm.") if one.role != "tool" else one for one in CHAT]
    assert joined(template.render(told, [])) == joined(template.render(CHAT, []))
    assert not template.renders_names and not template.renders_reasoning


def regenerate() -> None:
    for case in CASES:
        case.with_suffix(".txt").write_text(prompt(case.parent.name, read_request(case)), encoding="utf-8")


if __name__ == "__main__":
    regenerate()
