"""The guarantees that requests ask for hold in every template, even for a random model."""

from __future__ import annotations

import json

import jsonschema
import pytest

from core.conversation import ChatRequest, CodeInterpreter, Function, JsonSchema, ResponseFormat, ToolChoice
from core.errors import EngineError, RequestError
from core.generation import Constraint
from guarantees.constraint import constraint
from prompt_template import PromptTemplate
from templates import functionary_v1, functionary_v1_plain, functionary_v3, functionary_v3_chatml
from tests.support.random_model import RandomModel, Turn, byte_level

V1, V1_PLAIN, V3, V3_CHATML = (
    module.TEMPLATE for module in (functionary_v1, functionary_v1_plain, functionary_v3, functionary_v3_chatml)
)
TEMPLATES = (V1, V1_PLAIN, V3, V3_CHATML)
SEEDS = range(6)

CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Zürich", "北京"]}, "days": {"type": "integer", "minimum": 1, "maximum": 14}},
    "required": ["city"],
}
STRICT_CITY = {**CITY, "required": ["city", "days"], "additionalProperties": False}
WEATHER = Function("get_weather", "", CITY)
WEATHER_NOW = Function("get_weather_now", "", {"type": "object", "properties": {"at": {"type": "string"}}})
PING = Function("ping")
ANY = Function("any", "", {})
TOOLS = (WEATHER, WEATHER_NOW, PING, ANY)
STRICT = (Function("get_weather", "", STRICT_CITY, strict=True), WEATHER_NOW, PING)
PYTHON = CodeInterpreter()
ANSWER = ResponseFormat(
    "json_schema", {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
)
AUTO, REQUIRED, NONE = ToolChoice("auto"), ToolChoice("required"), ToolChoice("none")

each_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)


def asked(choice: ToolChoice, tools: tuple[Function | CodeInterpreter, ...] = TOOLS, **others: object) -> ChatRequest:
    return ChatRequest("m", (), tools, choice, **others)  # type: ignore[arg-type]


def answers(
    model: RandomModel, template: PromptTemplate, request: ChatRequest, script: str = "", *, num: int = 6
) -> list[Turn]:
    """Yield `num` answers of a random model to `request`, each of which begins with `script`."""
    wanted = constraint(request, template, model.tokenizer.token_id)
    assert wanted is not None
    return walks(model, template, wanted, script, request=request, num=num)


def walks(
    model: RandomModel,
    template: PromptTemplate,
    wanted: Constraint,
    script: str,
    *,
    request: ChatRequest | None = None,
    num: int = 6,
) -> list[Turn]:
    request, turns = request or asked(AUTO), []
    for seed in range(num):
        ids, is_cut = model.walk(wanted, model.stop_ids(template), seed, script=script)
        if not is_cut:
            turns.append(model.read(template, request.tools, ids, template.prefill(request.choice)))
    assert len(turns) >= num - 2
    return turns


def check(name: str, arguments: str) -> None:
    """Check that the arguments of a function in TOOLS are valid for its schema."""
    value = json.loads(arguments)
    assert isinstance(value, dict)
    schema = {tool.name: tool.parameters for tool in TOOLS}[name]
    jsonschema.validate(
        value, {"maxProperties": 0} if schema is None else {**schema, "additionalProperties": schema == {}}
    )


# Only names that the request offers can be called; without `strict` and `--arguments schema` all else is free


@each_template
def test_auto_binds_names_and_nothing_else(template: PromptTemplate, model: RandomModel) -> None:
    """Without `strict`, tool_choice "auto" binds the names only, since a trained model follows the schema by itself."""
    wanted = constraint(asked(AUTO), template, model.tokenizer.token_id)
    assert wanted is not None and not wanted.calls and wanted.turn is None
    for tool in TOOLS:
        for arguments in ('{"anything": [1], "at": {"a": ">>> b >>"}}', "no json: > >> >>>", "\n [1,"):
            assert model.allows(wanted, template.call_head(tool.name) + arguments), (tool.name, arguments)
    for name in ("gone", "get", "get_weather_later", "pin", "anything", "x", "python"):
        assert not model.allows(wanted, template.call_head(name)), name
    text = "Any text > at >> all, even >>> and >>>gone\nand to=functions. assistant to: get_weather:\n{}"
    assert model.allows(wanted, template.text_head + text + template.stop[0])


@each_template
def test_text_is_not_masked(template: PromptTemplate, model: RandomModel) -> None:
    """In a text no mask is computed, except where the head of a call may have begun."""
    wanted = constraint(asked(AUTO), template, model.tokenizer.token_id)
    assert wanted is not None
    matcher = model.constraints.matcher(wanted)
    for number, token_id in enumerate(model.tokenize(f"{template.text_head}Some text, long enough.")):
        assert matcher.mask() is None or number < len(model.tokenize(template.text_head))
        matcher.accept(token_id)
    assert matcher.mask() is None


@each_template
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["no tools", "choice none"])
def test_a_request_that_offers_no_call_gets_text(
    tools: tuple[Function, ...], template: PromptTemplate, model: RandomModel
) -> None:
    """Without tools, or with tool_choice "none", a call cannot open.

    Such a call was dropped by the parser, and with it the rest of the answer, which was often empty.
    """
    wanted = constraint(asked(NONE, tools), template, model.tokenizer.token_id)
    prefill = template.prefill(NONE)
    if wanted is not None:
        assert not wanted.recipients and not wanted.calls
        for name in ("gone", "ping"):
            head = template.call_head(name).removeprefix(prefill)
            assert not model.allows(wanted, head) or prefill  # after the prefill this head is text
            separated = f"{template.separator or ''}{head}"
            assert not model.allows(wanted, f"A text.{separated}") or (template.separator and name == "gone")
        rest = template.text_head.removeprefix(prefill)
        assert model.allows(wanted, f"{rest}A text, with >>> and >>>gone\n.{template.stop[0]}")
    else:
        assert template in (V3, V3_CHATML) and not tools  # after the prefill `all`, nothing can open a call


def test_a_token_beyond_a_mark_cannot_begin_a_wrong_name() -> None:
    """A token can end the mark before a name and contain the beginning of the name, such as ".s" in v1.0-plain.

    Regression test: such a token was allowed for any name, and then no token could continue the answer.
    """
    model = RandomModel(byte_level())
    vocabulary = model.constraints.vocabulary
    wanted = constraint(asked(AUTO, (PING,)), V1_PLAIN, model.tokenizer.token_id)
    assert wanted is not None
    matcher = model.constraints.matcher(wanted)
    for token_id in model.tokenize(" to=functions"):
        matcher.accept(token_id)
    across = list(vocabulary.tokens_starting_with(b"."))
    assert {b"", b"s", b">>>"} <= {rest for rest, _ in across}
    mask = matcher.mask()
    assert mask is not None
    for rest, token_id in across:
        assert bool(mask[token_id]) == (not rest or rest.startswith(b">")), rest  # `>` cannot be in a name


def test_characters_that_cannot_be_a_name_stay_text(model: RandomModel) -> None:
    """`>>>` after a call opens a name, but `>>>>` and a quotation mark after it are text, as the parser reads them."""
    wanted = constraint(asked(AUTO), V3, model.tokenizer.token_id)
    assert wanted is not None
    assert model.allows(wanted, "ping\n{}>>>")
    matcher = model.constraints.matcher(wanted)
    for token_id in model.tokenize("ping\n{}>>>") + model.tokenize(">"):
        matcher.accept(token_id)
    assert matcher.mask() is None


# Arguments bound by the schema in auto


@each_template
def test_the_schema_binds_arguments_in_auto(template: PromptTemplate, model: RandomModel) -> None:
    """With `--arguments schema`, the arguments of each call are valid, strict or not; texts stay free."""
    wanted = constraint(asked(AUTO), template, model.tokenizer.token_id, "schema")
    assert wanted is not None and set(wanted.calls) == {tool.name for tool in TOOLS}
    for tool in TOOLS:
        for turn in walks(model, template, wanted, template.call_head(tool.name).rstrip()):
            for name, arguments in turn.calls:
                check(name, arguments)
    assert model.allows(wanted, f"{template.text_head}Any text.{template.stop[0]}")
    assert not model.allows(wanted, template.call_head("get_weather") + '{"town')


def test_what_does_not_compile_is_dropped_in_auto(model: RandomModel) -> None:
    """A keyword that the compiler does not support is dropped and the others stay, as in forced calls."""
    properties = {"x": {"type": "string", "pattern": "(?=x)"}, "n": {"enum": [1, 2]}}
    odd = Function("odd", "", {"type": "object", "properties": properties, "required": ["x", "n"]})
    wanted = constraint(asked(AUTO, (odd, *TOOLS)), V3, model.tokenizer.token_id, "schema")
    assert wanted is not None
    assert model.allows(wanted, 'odd\n{"x": "y", "n": 1}>>>ping\n{}<|eot_id|>')
    assert not model.allows(wanted, 'odd\n{"x": "y", "n": 3')


def test_code_stays_free(model: RandomModel) -> None:
    wanted = constraint(asked(AUTO, (PING, PYTHON)), V3, model.tokenizer.token_id, "schema")
    assert wanted is not None
    assert model.allows(wanted, "python\nprint(1 >> 2)<|eot_id|>") and not model.allows(wanted, "ping\nprint")
    assert not model.allows(wanted, "python\nprint(1)>>>pong\n") or "pong" not in {tool.name for tool in TOOLS}


# Forced calls


@each_template
def test_required_means_calls_and_no_text(template: PromptTemplate, model: RandomModel) -> None:
    turns = answers(model, template, asked(REQUIRED), num=20)
    for turn in turns:
        assert turn.calls and not turn.text
        for name, arguments in turn.calls:
            check(name, arguments)
    assert len({name for turn in turns for name, _ in turn.calls}) > 1
    assert (max(len(turn.calls) for turn in turns) > 1) == (template.separator is not None)


@each_template
def test_required_among_allowed_tools(template: PromptTemplate, model: RandomModel) -> None:
    for turn in answers(model, template, asked(ToolChoice("required", ("ping", "get_weather")))):
        assert {name for name, _ in turn.calls} <= {"ping", "get_weather"} and not turn.text


@each_template
def test_at_most_one_call(template: PromptTemplate, model: RandomModel) -> None:
    for turn in answers(model, template, asked(REQUIRED, max_calls=1), num=12):
        assert len(turn.calls) == 1


@each_template
def test_a_named_function_is_called_exactly_once(template: PromptTemplate, model: RandomModel) -> None:
    for turn in answers(model, template, asked(ToolChoice("named", ("get_weather",)))):
        assert [name for name, _ in turn.calls] == ["get_weather"] and not turn.text
        check(*turn.calls[0])


@each_template
def test_a_function_without_parameters_gets_an_empty_object(template: PromptTemplate, model: RandomModel) -> None:
    for turn in answers(model, template, asked(ToolChoice("named", ("ping",)))):
        assert turn.calls == [("ping", "{}")]


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "required": [], "$schema": "http://json-schema.org/draft-07/schema#"},
        {"type": "object", "additionalProperties": False, "x-order": 1, "description": "Nothing."},
        {},
    ],
)
def test_parameters_without_properties_take_nothing(parameters: JsonSchema, model: RandomModel) -> None:
    """`{"type": "object"}` was printed as taking nothing and bound as taking anything: six arguments were invented."""
    tools = (Function("ping", "", parameters), WEATHER)
    for turn in answers(model, V3, asked(ToolChoice("named", ("ping",)), tools)):
        assert turn.calls == [("ping", "{}")]


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "patternProperties": {"^a": {}}},
        {"type": "object", "required": ["a"]},
        {"type": "object", "minProperties": 1},
        {"type": "object", "anyOf": [{"required": ["a"]}]},
    ],
)
def test_parameters_that_allow_properties_take_them(parameters: JsonSchema, model: RandomModel) -> None:
    tools = (Function("log", "", parameters),)
    wanted = constraint(asked(ToolChoice("named", ("log",)), tools), V3, model.tokenizer.token_id)
    assert wanted is not None and model.allows(wanted, '{"a": "x"}<|eot_id|>')


@each_template
def test_a_forced_call_wins_over_the_response_format(template: PromptTemplate, model: RandomModel) -> None:
    for turn in answers(model, template, asked(REQUIRED, response_format=ANSWER)):
        assert turn.calls and not turn.text


def test_forced_code_is_free_but_for_the_separator(model: RandomModel) -> None:
    request = asked(ToolChoice("named", ("python",)), (WEATHER, PYTHON))
    for turn in answers(model, V3, request, "print('any' >> 1)\n"):
        assert [name for name, _ in turn.calls] == ["python"] and turn.calls[0][1].startswith("print('any' >> 1)")
    wanted = constraint(request, V3, model.tokenizer.token_id)
    assert wanted is not None and not model.allows(wanted, "x>>>get_weather\n")


def test_code_comes_last(model: RandomModel) -> None:
    turns = answers(model, V3, asked(REQUIRED, (PING, PYTHON)), num=20)
    for turn in turns:
        assert "python" not in [name for name, _ in turn.calls[:-1]] and not turn.text
    assert {name for turn in turns for name, _ in turn.calls} == {"ping", "python"}


# allowed_tools with mode auto


@each_template
def test_only_allowed_tools_can_be_called(template: PromptTemplate, model: RandomModel) -> None:
    wanted = constraint(asked(ToolChoice("auto", ("get_weather",))), template, model.tokenizer.token_id)
    assert wanted is not None
    assert model.allows(wanted, template.call_head("get_weather") + '{"anything": 1}')
    for name in ("get_weather_now", "ping", "any", "invented"):
        assert not model.allows(wanted, template.call_head(name)), name
    assert model.allows(wanted, template.text_head + "Any text > at >> all, even >>> and >>>ping pong")


def test_a_text_cannot_lead_to_a_forbidden_call(model: RandomModel) -> None:
    wanted = constraint(asked(ToolChoice("auto", ("get_weather",))), V3, model.tokenizer.token_id)
    assert wanted is not None
    assert not model.allows(wanted, "all\nWait.>>>ping\n") and not model.allows(wanted, "all\n>>>>>ping\n")
    assert not model.allows(wanted, 'get_weather\n{"city": 1}>>>ping\n')
    assert model.allows(wanted, 'all\nWait.>>>get_weather\n{"city": 1}>>>all\nDone.>>>get_weather\n{}')


@each_template
def test_allowed_tools_may_be_strict(template: PromptTemplate, model: RandomModel) -> None:
    request = asked(ToolChoice("auto", ("get_weather", "ping")), STRICT)
    for turn in answers(model, template, request, template.call_head("get_weather") + '{"city": "'):
        jsonschema.validate(json.loads(turn.calls[0][1]), STRICT_CITY)
        assert {name for name, _ in turn.calls} <= {"get_weather", "ping"}


def test_allowed_tools_hold_for_whatever_a_model_says(model: RandomModel) -> None:
    request = asked(ToolChoice("auto", ("ping",)))
    for template in TEMPLATES:
        for script in ("", template.text_head, f"{template.text_head}text>>>"):
            for turn in answers(model, template, request, script):
                assert {name for name, _ in turn.calls} <= {"ping"}


# `strict` with tool_choice auto


@each_template
def test_strict_arguments_are_bound_when_the_call_opens(template: PromptTemplate, model: RandomModel) -> None:
    request = asked(AUTO, STRICT)
    for turn in answers(model, template, request, template.call_head("get_weather") + '{"city": "'):
        jsonschema.validate(json.loads(turn.calls[0][1]), STRICT_CITY)


@each_template
def test_before_a_strict_call_nothing_is_bound(template: PromptTemplate, model: RandomModel) -> None:
    wanted = constraint(asked(AUTO, STRICT), template, model.tokenizer.token_id)
    assert wanted is not None
    matcher = model.constraints.matcher(wanted)
    for token_id in model.tokenize(f"{template.text_head}Some text, long enough."):
        assert matcher.mask() is None or template is not V1
        matcher.accept(token_id)
    assert matcher.mask() is None and not matcher.is_done
    assert model.allows(wanted, template.call_head("get_weather_now") + '{"city": "not bound')


def test_several_strict_calls_in_one_turn(model: RandomModel) -> None:
    wanted = constraint(asked(AUTO, STRICT), V3, model.tokenizer.token_id)
    assert wanted is not None
    call = 'get_weather\n{"city": "Zürich", "days": 3}'
    assert model.allows(wanted, f"{call}>>>{call}>>>all\nDone.>>>{call}<|eot_id|>")
    for broken in (
        '{"city": "Oslo',
        '{"days',
        '{"city": "Zürich"}',
        "\n",
        " {",
    ):
        assert not model.allows(wanted, f"{call}>>>get_weather\n{broken}"), broken
        assert not model.allows(wanted, f"all\nText.>>>get_weather\n{broken}"), broken


@each_template
def test_after_the_last_strict_call_comes_the_end(template: PromptTemplate, model: RandomModel) -> None:
    wanted = constraint(asked(AUTO, STRICT, max_calls=1), template, model.tokenizer.token_id)
    assert wanted is not None
    call = template.call_head("get_weather") + '{"city": "Zürich", "days": 3}'
    assert model.allows(wanted, call + template.stop[0])
    for more in (">>>", " ", "\n", "and"):
        assert not model.allows(wanted, call + more)


def test_tokens_that_reach_into_the_arguments_are_masked() -> None:
    """A token that ends the head of a call and begins the arguments is allowed only if the arguments fit the schema."""
    model = RandomModel(byte_level())
    wanted = constraint(asked(AUTO, STRICT), V3, model.tokenizer.token_id)
    assert wanted is not None
    matcher, vocabulary = model.constraints.matcher(wanted), model.constraints.vocabulary
    across = {rest: token_id for rest, token_id in vocabulary.tokens_starting_with(b"\n") if rest}
    assert any(rest.startswith(b"{") for rest in across)
    for token_id in model.tokenize("get_weather"):
        matcher.accept(token_id)
    mask = matcher.mask()
    assert mask is not None
    for rest, token_id in across.items():
        assert bool(mask[token_id]) == b'{"city": "'.startswith(rest), rest
    matcher.accept(next(token_id for rest, token_id in across.items() if b'{"city": "'.startswith(rest)))
    assert matcher.mask() is not None


def test_another_spelling_of_the_head_of_a_strict_call_fails(model: RandomModel) -> None:
    wanted = constraint(asked(AUTO, STRICT), V3, model.tokenizer.token_id)
    assert wanted is not None
    matcher = model.constraints.matcher(wanted)
    with pytest.raises(EngineError):
        for token_id in model.tokenize("get_weather \nno json"):
            matcher.accept(token_id)


# Response formats


@each_template
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["no tools", "choice none"])
def test_the_text_is_json(tools: tuple[Function, ...], template: PromptTemplate, model: RandomModel) -> None:
    for turn in answers(model, template, asked(NONE, tools, response_format=ANSWER)):
        assert isinstance(json.loads(turn.text)["ok"], bool) and not turn.calls
    for turn in answers(model, template, asked(NONE, tools, response_format=ResponseFormat("json_object"))):
        assert isinstance(json.loads(turn.text), dict) and not turn.calls


@each_template
def test_with_tools_the_model_may_call_or_answer(template: PromptTemplate, model: RandomModel) -> None:
    turns = answers(model, template, asked(AUTO, (PING,), response_format=ANSWER), num=20)
    for turn in turns:
        assert bool(turn.calls) != bool(turn.text)
        if turn.text:
            assert isinstance(json.loads(turn.text)["ok"], bool)
    assert any(turn.calls for turn in turns) and any(turn.text for turn in turns)


# Errors


def test_errors_name_the_parameter(model: RandomModel) -> None:
    """A function with an alias has the name of the request in errors."""
    schema = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=x)"}}}
    broken = Function("f", "", schema, strict=True, param="tools[1].input_schema")
    request = asked(AUTO, (PING, broken), own_names={"f": "mcp.f"})
    wanted = constraint(request, V3, model.tokenizer.token_id)
    assert wanted is not None
    with pytest.raises(RequestError, match=r"^Invalid schema for function 'mcp\.f': ") as refused:
        model.constraints.matcher(wanted)
    assert refused.value.param == "tools[1].input_schema"
    assert refused.value.code == "invalid_function_parameters"


def test_a_strict_response_format_gets_the_error_too(model: RandomModel) -> None:
    strict = ResponseFormat("json_schema", {"type": "string", "pattern": "(?=x)"}, strict=True, name="place")
    wanted = constraint(asked(NONE, (), response_format=strict), V3, model.tokenizer.token_id)
    assert wanted is not None
    with pytest.raises(RequestError, match=r"^Invalid schema for response_format 'place': ") as refused:
        model.constraints.matcher(wanted)
    assert (refused.value.param, refused.value.code) == ("response_format", None)


def test_128_tools_compile_at_once(model: RandomModel) -> None:
    tools = tuple(Function(f"function_{number}", "", CITY) for number in range(128))
    for turn in answers(model, V3, asked(REQUIRED, tools)):
        assert {name for name, _ in turn.calls} <= {tool.name for tool in tools}
