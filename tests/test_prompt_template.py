"""What all templates share: tool choices, normalised messages, and the detection of a model's template."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from core.conversation import Call, CodeInterpreter, Function, Message, Reasoning, Tool, ToolChoice
from core.errors import ModelError, RequestError
from core.turn_format import TurnFormat
from prompt_template import (
    ANY_REASONING,
    Piece,
    PromptTemplate,
    detect,
    detect_template,
    load_template,
    normalise,
    one_call_per_turn,
    template_names,
)

SEARCH, CLOCK = Function("search"), Function("clock")
TOOLS = (SEARCH, CLOCK, CodeInterpreter())
NAMES = template_names()
CALLS = (Call("search", "{}", "a"), Call("clock", "{}", "b"))

_TAGGED = '<tool_call>\n{"name": "clock", "arguments'  # without a quote, so that the next token is whole
PREFILLS = {  # the prefill for tool_choice none, and the prefill for the function "clock"
    "functionary_v1": ("", "\n<|START_OF_FUNCTION_CALL|>clock:\n"),
    "functionary_v1_plain": ("", " to=functions.clock:\n"),
    "functionary_v3": ("all\n", "clock\n"),
    "functionary_v3_chatml": ("all\n", "clock\n"),
    "functionary_v3_llava": ("all\n", "clock\n"),
    "functionary_v2": ("all\n<|content|>", "clock\n<|content|>"),
    "functionary_v2_llama3": ("", "<|reserved_special_token_249|>clock\n"),
    "functionary_v3_llama31": ("", "<function=clock>"),
    "functionary_v4r": ("", "<function=clock>"),
    "functionary_r1_llama": ("", "<function=clock>"),
    "functionary_r1_qwen": ("", _TAGGED),
    "functionary_qwen25": ("", _TAGGED),
    "functionary_cogito": ("", _TAGGED),
    "functionary_gemma3": ("", _TAGGED),
}


@pytest.mark.parametrize("name", NAMES)
def test_none_hides_all_tools(name: str) -> None:
    template, choice = load_template(name), ToolChoice("none")
    assert template.visible_tools(TOOLS, choice) == ()
    assert template.choice_prefill(choice) == template.text_prefill == PREFILLS.get(name, ("", ""))[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_named_choice_shows_only_its_function_and_prefills_the_call(name: str) -> None:
    template, choice = load_template(name), ToolChoice("named", ("clock",))
    assert template.visible_tools(TOOLS, choice) == (CLOCK,)
    if name == "functionary_r1":
        with pytest.raises(RequestError, match="cannot force one function"):
            template.prefill(choice)
        return
    if name in PREFILLS:
        assert template.prefill(choice) == PREFILLS[name][1]
    head = template.calls_open + template.call_head("clock")
    assert template.choice_prefill(choice) and head.startswith(template.choice_prefill(choice))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("choice", [ToolChoice("auto"), ToolChoice("required"), ToolChoice("required", ("clock",))])
def test_other_choices_show_all_tools(name: str, choice: ToolChoice) -> None:
    """Only a required call has a prefill, the same for all functions.

    `allowed_tools` limits the calls but not the functions in the prompt.

    Since the prompt is unchanged, the prefix cache still finds it.
    """
    template = load_template(name)
    assert template.visible_tools(TOOLS, choice) == TOOLS
    assert template.choice_prefill(choice) == (template.required_prefill if choice.mode == "required" else "")


def test_results_are_sorted_by_the_order_of_their_calls() -> None:
    results = [Message("tool", "noon", call_id="b"), Message("tool", "found", call_id="a")]
    normalised = normalise([Message("assistant", None, CALLS), *results, Message("user", "ok")])
    assert [message.content for message in normalised] == [None, "found", "noon", "ok"]


def test_results_of_calls_without_ids_keep_their_order() -> None:
    calls = (Call("search", "{}"), Call("clock", "{}"))
    normalised = normalise([Message("assistant", None, calls), Message("tool", "1"), Message("tool", "2")])
    assert [(message.name, message.content) for message in normalised[1:]] == [("search", "1"), ("clock", "2")]


def test_a_result_is_named_after_its_call() -> None:
    """A result gets the function name of its call.

    Regression test (D8): OpenAI's clients send tool messages without `name`, which crashed a previous version.
    """
    late = Message("tool", "noon", call_id="b")
    normalised = normalise([Message("assistant", None, CALLS), Message("user", "Well?"), late])
    assert normalised[-1].name == "clock"


def test_call_ids_may_repeat() -> None:
    """A result belongs to the latest call with its id: some clients number the calls of every turn from 1."""
    turns = [Message("assistant", None, (Call(name, "{}", "call_1"),)) for name in ("search", "clock")]
    result = Message("tool", "x", call_id="call_1")
    assert [message.name for message in normalise([turns[0], result, turns[1], result])] == ["", "search", "", "clock"]


def test_a_result_without_any_call_keeps_its_text() -> None:
    assert normalise([Message("tool", "x", call_id="gone")]) == [Message("tool", "x", call_id="gone")]


def test_null_content_is_empty_but_for_the_assistant() -> None:
    """Null content of a user message is empty text. Null content of an assistant message means that there is no text.

    Regression test (D9): null content of a user message was an internal error in a previous version of the server.
    """
    messages = [Message("system"), Message("user"), Message("tool"), Message("assistant")]
    assert [message.content for message in normalise(messages)] == ["", "", "", None]


def test_parallel_calls_become_one_call_per_turn() -> None:
    """v1 and v1_plain have no parallel calls, but a history from another model may contain some."""
    turn = Message("assistant", "Both.", CALLS)
    results = [Message("tool", "found", call_id="a"), Message("tool", "noon", call_id="b")]
    assert one_call_per_turn([turn, *results]) == [
        Message("assistant", "Both.", CALLS[:1]),
        results[0],
        Message("assistant", None, CALLS[1:]),
        results[1],
    ]


def test_calls_without_results_are_kept() -> None:
    turns = one_call_per_turn([Message("assistant", None, CALLS), Message("user", "Stop")])
    assert [call.name for turn in turns for call in turn.calls] == ["search", "clock"]
    assert turns[-1].content == "Stop"


def test_long_histories_are_normalised_in_linear_time() -> None:
    turns = [Message("assistant", None, (Call("search", "{}", "1"),)), Message("tool", "x", call_id="1")] * 5000
    assert len(one_call_per_turn(normalise(turns))) == 10_000


@pytest.mark.parametrize("name", [*NAMES, "v1", "v1.0-plain", "v3.llama3", "v3.chatml"])
def test_templates_load_by_name_and_version(name: str) -> None:
    template = load_template(name)
    assert name in (template.name, *template.versions)


@pytest.mark.parametrize("name", ["v9", "../conversation", "", "__init__"])
def test_an_unknown_template_is_an_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError, match=r"^There is no prompt template .*; there are .*functionary_v1, .*\.$"):
        load_template(name)


def tokens(**ids: int) -> Callable[[str], int | None]:
    spellings = {
        "eom": "<|eom_id|>",
        "reserved": "<|reserved_special_token_249|>",
        "sender": "<|from|>",
        "call": "<|START_OF_FUNCTION_CALL|>",
    }
    return {spellings[name]: number for name, number in ids.items()}.get


LLAMA_3, LLAMA_31 = tokens(reserved=128254), tokens(reserved=128254, eom=128008)


def test_the_version_comment_wins() -> None:
    chat_template = "{# version=v3.llama3 #}{%- for message in messages %}"
    assert detect_template(chat_template, LLAMA_31, "any").name == "functionary_v3"


def test_a_comment_may_name_our_own_template() -> None:
    assert detect_template("{#version=functionary_v3_chatml#}", tokens(), "any").name == "functionary_v3_chatml"


def test_llama_3_tokens_mean_v3() -> None:
    assert detect_template(None, LLAMA_3, "meetkai/functionary-medium-v3.0").name == "functionary_v3"


@pytest.mark.parametrize(
    ("chat_template", "token_id", "name"),
    [
        (None, LLAMA_31, "functionary_v3_llama31"),
        ("{# version=v3-llama3.1 #}{{ bos_token }}", LLAMA_31, "functionary_v3_llama31"),
        ("<|reserved_special_token_249|>", LLAMA_3, "functionary_v2_llama3"),
        ("image_url >>>", LLAMA_3, "functionary_v3_llava"),
        (None, tokens(sender=32000), "functionary_v2"),
    ],
)
def test_other_formats_are_known_by_their_tokens(
    chat_template: str | None, token_id: Callable[[str], int | None], name: str
) -> None:
    assert detect_template(chat_template, token_id, "org/model").name == name


def test_the_reasoning_format_is_known_by_its_switch() -> None:
    """The chat template of functionary-v4r-small-preview states the version of the format without reasoning.

    Regression test: a previous version of the server took it for that format, without `Reasoning Mode` in the prompt.
    """
    chat_template = "{# version=v3-llama3.1 #}{{ 'Reasoning Mode: On\\n\\n' }}"
    assert detect_template(chat_template, LLAMA_31, "any").name == "functionary_v4r"
    assert detect_template("{{ 'Reasoning Mode: On' }}", LLAMA_31, "any").name == "functionary_v4r"


def test_the_call_token_means_v1() -> None:
    assert detect_template(None, tokens(call=32000), "/models/mine").name == "functionary_v1"


@pytest.mark.parametrize("checkpoint", ["meetkai/functionary-small-v3.2", "/models/Functionary-Medium-v3.2/"])
def test_v3_2_is_known_by_name(checkpoint: str) -> None:
    """v3.2 models are recognized by their names, since they have Llama 3.1's tokenizer.

    Regression test: a previous version of the server took them for v3-llama3.1.
    """
    assert detect_template(None, LLAMA_31, checkpoint).name == "functionary_v3"


@pytest.mark.parametrize(
    "checkpoint", ["musabgultekin/functionary-7b-v1", "functionary-7b-v0.2", "x\\functionary-7b-v0.1"]
)
def test_v1_plain_is_known_by_name(checkpoint: str) -> None:
    """v1_plain models are recognized by their names.

    Their tokenizer, Llama 2's, has no control tokens from which the format could be detected.
    """
    assert detect_template("", tokens(), checkpoint).name == "functionary_v1_plain"


@pytest.mark.parametrize(
    ("chat_template", "token_id", "found"),
    [
        ("{# version=v99 #}", LLAMA_3, "v99"),
        (None, LLAMA_31, "v3-llama3.1"),
        ("<|reserved_special_token_249|>", LLAMA_3, "v2.llama3"),
        ("image_url >>>", LLAMA_3, "v3.llava_llama"),
        (None, tokens(sender=32000), "v2"),
    ],
)
def test_formats_without_template_are_named(
    chat_template: str | None, token_id: Callable[[str], int | None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prompt_template.template_names", lambda: ["functionary_v3"])
    with pytest.raises(ModelError) as error:
        detect_template(chat_template, token_id, "org/model")
    assert str(error.value) == (
        f"org/model has the prompt format {found}, which has no template here; "
        "choose one with --template: functionary_v3."
    )


@pytest.mark.parametrize("token_id", [tokens(), tokens(eom=5), tokens(reserved=7)])
def test_unknown_formats_ask_for_the_option(token_id: Callable[[str], int | None]) -> None:
    """If the format cannot be detected, an error asks for the option that names it.

    Llama 3's control tokens identify a format only if they have the ids of Llama 3's vocabulary.
    """
    with pytest.raises(
        ModelError, match=r"^gpt2 has no known prompt format; choose one with --template: .*functionary_v1, "
    ):
        detect_template(None, token_id, "gpt2")


class Diary(PromptTemplate):
    """A format with a place for names and reasoning, as some families have it: `NAME: (REASONING) TEXT`."""

    name = "diary"
    renders_names = renders_reasoning = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        lines = ((one.name or one.role, one.reasoning, one.content or "") for one in normalise(messages))
        return [Piece(f"{name}: ({reasoning}) {text}\n") for name, reasoning, text in lines]

    def call_head(self, name: str) -> str:
        return name

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        return TurnFormat(start="text", regions={})


TALK = (
    Message("user", "Hi", name="ada"),
    Message("assistant", None, CALLS[:1], reasoning="Hm."),
    Message("tool", "found", name="search", call_id="a"),
    Message("assistant", reasoning="Cut he"),
)


def test_a_template_may_print_names_and_reasoning() -> None:
    """Names, reasoning and turns of reasoning only reach the template, which decides what its format has."""
    template = Diary()
    lines = [piece.text for piece in template.render(TALK, ())]
    assert lines == ["ada: () Hi\n", "assistant: (Hm.) \n", "search: () found\n", "assistant: (Cut he) \n"]
    assert template.unrendered(TALK) == []


def test_reasoning_stays_with_the_first_of_several_calls() -> None:
    turns = one_call_per_turn(normalise([Message("assistant", "x", CALLS, reasoning="Hm.")]))
    assert [turn.reasoning for turn in turns] == ["Hm.", ""]


@pytest.mark.parametrize("name", NAMES)
def test_other_templates_say_what_they_leave_out(name: str) -> None:
    template = load_template(name)
    names = [] if template.renders_names else ["name"]
    reasoning = [] if template.renders_reasoning else ["reasoning_content"]
    assert template.unrendered(TALK) == names + reasoning
    assert template.unrendered(TALK[:1]) == names
    assert template.unrendered(TALK[1:]) == reasoning
    assert template.unrendered(TALK[2:3]) == []  # the name of a function is not an author's


LLAMA_31_CHAT = """<|start_header_id|>{{ role }}<|end_header_id|> <|python_tag|>
{"name": function name, "parameters": dictionary of argument name and its value} <|eom_id|>"""
LLAMA_31_TOKENS = {
    "<|eom_id|>": 128008,
    "<|eot_id|>": 128009,
    "<|python_tag|>": 128010,
    "<|start_header_id|>": 128006,
    "<|end_header_id|>": 128007,
}


def test_stock_llama_3_1_is_not_taken_for_a_functionary_model() -> None:
    """Meta's own Llama 3.1 has the control tokens of functionary-v3.1; only the chat template tells them apart."""
    found = detect(LLAMA_31_CHAT, LLAMA_31_TOKENS.get, "meta-llama/Llama-3.1-8B-Instruct")
    assert found and found.version == "llama31" and '"parameters"' in found.sign
    found = detect("<function=name>{...}</function> <|eom_id|>", LLAMA_31_TOKENS.get, "any")
    assert found and found.version == "v3-llama3.1"
    found = detect("<|start_header_id|>assistant<|end_header_id|>\n\n>>>", LLAMA_31_TOKENS.get, "any")
    assert found and found.version == "v3.llama3"
    assert detect("{{ messages[0].content }}", LLAMA_31_TOKENS.get, "a/fine-tune") is None


def test_stock_llama_3_is_not_taken_for_a_functionary_model() -> None:
    assert detect("<|start_header_id|>{{ role }}<|end_header_id|>", LLAMA_3, "meta-llama/Meta-Llama-3-8B") is None


CHATML = {"<|im_start|>": 1, "<|im_end|>": 2}
MISTRAL = dict.fromkeys(
    ("[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "</s>"), 1
)
MISTRAL |= dict.fromkeys(("[/TOOL_RESULTS]", "[ARGS]", "[CALL_ID]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"), 1)
MISTRAL |= {"[TOOL_CONTENT]": 1}
HARMONY = dict.fromkeys(
    ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>"), 1
)
QWEN = "<|im_start|>assistant\\n <tool_call>{'name': ..., 'arguments': ...}</tool_call>"


@pytest.mark.parametrize(
    ("chat_template", "ids", "found"),
    [
        (f"{QWEN} You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", CHATML, "qwen25"),
        (f"{QWEN} reasoning_content <think> enable_thinking", CHATML, "qwen3"),
        (f"{QWEN} reasoning_content '<|im_start|>assistant\\n<think>\\n'", CHATML, "qwen3_thinking"),
        (f"{QWEN} <think> enable_thinking <function=example_function_name>", CHATML, "qwen35"),
        (f"{QWEN} Use the following pydantic model json schema", CHATML, "hermes"),
        (QWEN, CHATML, None),
        ("<|start|>assistant<|channel|>analysis<|message|> <|constrain|>json", HARMONY, "gpt_oss"),
        ("<|start|>assistant<|channel|>analysis<|message|> <|constrain|>json", CHATML, None),
        ("'[INST] ' '[TOOL_CALLS] ['", MISTRAL, "mistral"),
        ("'[INST]' '[TOOL_CALLS]['", MISTRAL, "mistral_nemo"),
        ("'[SYSTEM_PROMPT]' '[INST]' '[TOOL_CALLS]['", MISTRAL, "mistral_v7"),
        ("'[SYSTEM_PROMPT]' '[INST]' '[TOOL_CALLS]' '[CALL_ID]' '[ARGS]'", MISTRAL, "mistral_v11"),
        ("'[SYSTEM_PROMPT]' '[INST]' '[TOOL_CALLS]' '[ARGS]'", MISTRAL, "mistral_v13"),
        ("'[INST]' only", MISTRAL, None),
    ],
)
def test_families_are_known_by_the_signs_in_their_chat_template(
    chat_template: str, ids: dict[str, int], found: str | None
) -> None:
    """A format is detected only if the tokenizer has its control tokens too; others get the generic template."""
    detected = detect(chat_template, ids.get, "org/model")
    assert (detected.version if detected else None) == found
