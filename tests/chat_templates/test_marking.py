"""A text of a request never becomes a control token, in whatever field it stands and whatever the template does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_templates.generic import GenericTemplate
from core.conversation import Call, ChatRequest, Function, Message, ToolChoice
from core.errors import RequestError
from tests.support.family_templates import CHATML, FAMILIES, Family
from text.tokenizer import Tokenizer

FIELDS = ("system", "user", "answer", "result", "argument", "key", "description", "property", "enum", "name", "title")
CALLING = [name for name in FAMILIES if name != "plain"]


def request(**texts: str) -> ChatRequest:
    """Return a request with a text in each of the given fields, and fixed texts in the others."""
    key = texts.get("property", "city")
    schema = {"type": "string", "description": texts.get("description", "A city."), "title": texts.get("title", "City")}
    parameters = {"type": "object", "properties": {key: {**schema, "enum": [texts.get("enum", "Oslo")]}}}
    name = texts.get("name", "f")
    arguments = json.dumps({texts.get("key", "city"): texts.get("argument", "Oslo")})
    messages = (
        Message("system", texts.get("system", "Be brief.")),
        Message("user", texts.get("user", "Rain?")),
        Message("assistant", None, (Call(name, arguments, "abcdefghi"),)),
        Message("tool", texts.get("result", "Dry."), name=name, call_id="abcdefghi"),
        Message("assistant", texts.get("answer", "No.")),
        Message("user", "Sure?"),
    )
    tool = Function(name, texts.get("description", "Weather."), parameters | {"required": [key]})
    return ChatRequest("m", messages, (tool,), ToolChoice("auto"))


@dataclass
class Served:
    """A family's template and tokenizer."""

    family: Family
    template: GenericTemplate
    tokenizer: Tokenizer

    def control_ids(self, wanted: ChatRequest) -> Counter[int]:
        ids = self.tokenizer.encode(self.template.prompt(wanted)).ids
        return Counter(token_id for token_id in ids if self.tokenizer.is_control(token_id))

    def text(self, wanted: ChatRequest) -> str:
        return "".join(piece.text for piece in self.template.prompt(wanted))


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Served]]:
    made = {name: Served(FAMILIES[name], FAMILIES[name].template(), FAMILIES[name].tokenizer()) for name in CALLING}
    yield made
    for one in made.values():
        one.template.close()


@pytest.mark.parametrize("name", CALLING)
def test_no_control_token_in_any_field_becomes_one(name: str, served: dict[str, Served]) -> None:
    one = served[name]
    expected = one.control_ids(request())
    for token in one.family.control_tokens:
        for field in FIELDS:
            for text in (token, f"a{token}", f"{token} b", f" x {token}{token} y\n", f"x\n{token}\ny"):
                wanted = request(**{field: text})
                assert not one.control_ids(wanted) - expected, (field, text)


fragments = st.lists(
    st.sampled_from(
        [token for family in FAMILIES.values() for token in family.control_tokens]
        + [
            "<|",
            "|>",
            "im_end",
            "</",
            "think>",
            "[",
            "INST",
            "]",
            " ",
            "\n",
            '"',
            "\\",
            "{",
            "}",
            "ü",
            "\ufdd0",
            "\ufdd1",
        ]
        + ["\ufdd2", "<|im_\ufdd2end|>", "None", "\\u003c|im_end|\\u003e"]
    ),
    max_size=8,
).map("".join)


@pytest.mark.parametrize("name", CALLING)
def test_no_text_forges_a_control_token(name: str, served: dict[str, Served]) -> None:
    one = served[name]
    expected = one.control_ids(request())

    @settings(max_examples=150)
    @given(st.dictionaries(st.sampled_from(FIELDS), fragments, max_size=4))
    def check(texts: dict[str, str]) -> None:
        wanted = request(**texts)
        try:
            found = one.control_ids(wanted)
        except RequestError as error:
            assert "cannot be told" in error.message
            return
        assert not found - expected

    check()


@pytest.mark.parametrize("name", CALLING)
def test_marks_change_no_prompt(name: str, served: dict[str, Served]) -> None:
    """The prompt is exactly what transformers renders from the request."""
    from transformers.utils.chat_template_utils import render_jinja_template

    from chat_templates.variables import chat_messages, chat_tools
    from prompt_template import functions_of, normalise

    one = served[name]
    wanted = request(user="  Is <|im_end|>\n</s> text? \n", description=" A [/INST] line.\n")
    family = one.family
    texts, _ = render_jinja_template(
        [chat_messages(normalise(wanted.messages), one.template._facts.shape)],
        chat_template=family.chat_template,
        tools=chat_tools(functions_of(wanted.tools)),
        add_generation_prompt=True,
        bos_token=family.bos_token,
        eos_token=family.end_token,
    )
    assert one.text(wanted) == texts[0]


def test_a_template_that_cuts_a_text_keeps_its_own_control_tokens() -> None:
    """The text of an answer is cut at `</think>`, and the parts stand around the template's own `</think>`."""
    family = Family(
        "{% for m in messages %}<|im_start|>{{ m.content.split('</think>')[0] }}\n</think>"
        "{{ m.content.split('</think>')[-1] }}<|im_end|>{% endfor %}",
        CHATML.control_tokens,
        "<|im_end|>",
    )
    template, tokenizer = family.template(), family.tokenizer()
    try:
        pieces = template.prompt(ChatRequest("m", (Message("user", "a</think>b <|im_end|>"),)))
    finally:
        template.close()
    control = [tokenizer.token_id(text) for text in ("<|im_start|>", "</think>", "<|im_end|>")]
    assert [token_id for token_id in tokenizer.encode(pieces).ids if tokenizer.is_control(token_id)] == control


def test_a_template_that_deletes_characters_forges_nothing() -> None:
    """A template that deletes a line break from `<|im_\\nend|>` would make a control token of it."""
    family = Family(
        "{% for m in messages %}<|im_start|>{{ m.content | replace('\\n', '') }}<|im_end|>{% endfor %}",
        CHATML.control_tokens,
        "<|im_end|>",
    )
    template = family.template()
    try:
        assert template.prompt(ChatRequest("m", (Message("user", "a\nb"),)))
        with pytest.raises(RequestError, match=r"'<\|im_end\|>' in one of them cannot be told"):
            template.prompt(ChatRequest("m", (Message("user", "a <|im_\nend|> b"),)))
    finally:
        template.close()


def test_a_template_that_rewrites_texts_is_served_without_control_tokens_in_them() -> None:
    family = Family(
        "{% for m in messages %}<|im_start|>{{ m.content | length }}{{ m.content[:5] }}<|im_end|>{% endfor %}",
        CHATML.control_tokens,
        "<|im_end|>",
    )
    template = family.template()
    try:
        assert "".join(p.text for p in template.prompt(ChatRequest("m", (Message("user", "Hello!"),)))).startswith(
            "<|im_start|>6Hello<|im_end|>"
        )
        with pytest.raises(RequestError, match=r"cannot be told from the model's own control token; remove it\.$"):
            template.prompt(ChatRequest("m", (Message("user", "Hello <|im_end|>"),)))
    finally:
        template.close()
