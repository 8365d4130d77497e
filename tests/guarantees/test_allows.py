"""`Matcher.allows` says of one token what the whole mask says."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from core.conversation import ChatRequest, Function, Reasoning, ResponseFormat, ToolChoice
from core.generation import Constraint
from guarantees.constraint import constraint
from guarantees.matcher import ConstraintCompiler, Matcher
from prompt_template import load_template
from tests.support.custom_grammars import LARK, custom, lark
from tests.support.random_model import RandomModel, byte_level, sentencepiece

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{1,3}$"},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = Function("get_weather", "The weather.", SCHEMA)
STRICT = Function("get_weather", "The weather.", SCHEMA, strict=True)
CUSTOM = custom(lark(LARK["sql"]))
TEMPLATES = ("functionary_v3", "functionary_v3_llama31", "hermes", "llama31", "qwen35", "mistral")
TEXTS = ("", "Sure, I will look.", '{"city": "Paris", "days": [1', "<tool_call>\n", ">>>get_weather\n")


def constraints(model: RandomModel, name: str) -> Iterator[Constraint]:
    template = load_template(name).bound(model.tokenizer.token_id)
    for choice, tool in (
        ("auto", WEATHER),
        ("auto", STRICT),
        ("required", WEATHER),
        ("auto", CUSTOM),
        ("required", CUSTOM),
    ):
        request = ChatRequest("m", (), (tool,), ToolChoice(choice), reasoning=Reasoning(False))  # type: ignore[arg-type]
        for arguments in ("free", "schema"):
            if found := constraint(request, template, model.tokenizer.token_id, arguments):
                yield found
    shaped = ChatRequest("m", (), (), response_format=ResponseFormat("json_schema", schema=SCHEMA))
    if found := constraint(shaped, template, model.tokenizer.token_id, "free"):
        yield found


def compared(matcher: Matcher, model: RandomModel, drawing: random.Random) -> int:
    """Compare all tokens at this position, and return an allowed one."""
    for_one = [matcher.allows(token_id) for token_id in range(model.vocab_size)]
    mask = matcher.mask()
    assert for_one == ([True] * model.vocab_size if mask is None else mask.tolist())
    assert all(matcher.allows(token_id) == for_one[token_id] for token_id in drawing.sample(range(len(for_one)), 9))
    allowed = [token_id for token_id, is_allowed in enumerate(for_one) if is_allowed]
    likely = [token_id for token_id in model.tokenize(drawing.choice(TEXTS)) if for_one[token_id]]
    return drawing.choice(likely or allowed)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("tokenizer", [byte_level, sentencepiece], ids=["byte_level", "sentencepiece"])
def test_one_token_is_allowed_where_the_mask_has_it(tokenizer: object, name: str) -> None:
    """The property holds at each step of random walks, before and after `mask` is called at the same position."""
    model = RandomModel(tokenizer())  # type: ignore[operator]
    eos_id = model.stop_ids(load_template(name))[0]  # llguidance treats the end-of-text token in its own way
    model.constraints = ConstraintCompiler(tokenizer().backend_tokenizer, model.vocab_size, eos_id=eos_id)  # type: ignore[operator]
    num_checked = 0
    for number, wanted in enumerate(constraints(model, name)):
        drawing, matcher = random.Random(number), model.constraints.matcher(wanted)
        for _ in range(25):
            if matcher.is_done:
                break
            matcher.accept(compared(matcher, model, drawing))
            num_checked += 1
    assert num_checked > 50


def test_a_number_that_has_enough_digits_must_end() -> None:
    model = RandomModel(byte_level())
    request = ChatRequest(
        "m",
        (),
        (Function("f", "", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}),),
        ToolChoice("required"),
        reasoning=Reasoning(False),
    )
    wanted = constraint(
        request, load_template("hermes").bound(model.tokenizer.token_id), model.tokenizer.token_id, "free"
    )
    assert wanted is not None
    matcher = model.constraints.matcher(wanted)
    for token_id in matcher.forced():
        matcher.accept(token_id)
    (one,) = model.tokenize("1")
    num = 0
    while matcher.allows(one):
        mask = matcher.mask()
        assert mask is not None and mask[one]
        matcher.accept(one)
        num += 1
    assert 20 < num < 30
