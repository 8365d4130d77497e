"""The constraint fields of vLLM, llama.cpp and SGLang: honoured in both APIs, and an error where they cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apis.chat_completions import chat_request
from apis.completions import completion_request
from core.conversation import ResponseFormat
from core.errors import RequestError

USER = [{"role": "user", "content": "Hello"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LARK = 'start: "yes" | "no"'


def both(**fields: Any) -> ResponseFormat:
    """Return the format of the answer, which must be the same in chat and raw completions."""
    chat = chat_request({"model": "m", "messages": USER, **fields})
    raw = completion_request({"model": "m", "prompt": "x", **fields})
    assert chat.response_format == raw.response_format
    assert not chat.ignored and not raw.ignored
    return chat.response_format


def error_of(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        chat_request({"model": "m", "messages": USER, **fields})
    with pytest.raises(RequestError) as raw:
        completion_request({"model": "m", "prompt": "x", **fields})
    assert (raw.value.message, raw.value.param) == (caught.value.message, caught.value.param)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"guided_json": CITY}, ResponseFormat("json_schema", CITY, True)),
        ({"guided_json": json.dumps(CITY)}, ResponseFormat("json_schema", CITY, True)),
        ({"json_schema": {"type": "array"}}, ResponseFormat("json_schema", {"type": "array"}, True)),
        ({"guided_regex": "a+"}, ResponseFormat("regex", pattern="a+")),
        ({"regex": ""}, ResponseFormat("regex", pattern="")),
        ({"guided_choice": ["a", "b", "a"]}, ResponseFormat("choice", choices=("a", "b"))),
        ({"guided_grammar": LARK}, ResponseFormat("grammar", grammar=LARK)),
        ({"grammar": LARK}, ResponseFormat("grammar", grammar=LARK)),
        ({"ebnf": 'root ::= "a"'}, ResponseFormat("grammar", grammar='root ::= "a"')),
    ],
    ids=str,
)
def test_fields(fields: dict[str, Any], wanted: ResponseFormat) -> None:
    """Clients of vLLM send `guided_json` and the like with extra_body.

    The server named the fields in x-ignored-fields and answered without the constraint, which no client noticed.
    """
    (param,) = fields
    assert both(**fields) == ResponseFormat(**{**vars(wanted), "param": param})


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        ({"json": CITY}, "json_schema"),
        ({"json_object": True}, "json_object"),
        ({"regex": "[0-9]+", "disable_any_whitespace": True}, "regex"),
        ({"choice": ["a"], "json": None, "whitespace_pattern": None}, "choice"),
        ({"grammar": LARK, "json_object": False}, "grammar"),
    ],
)
def test_structured_outputs(outputs: dict[str, Any], kind: str) -> None:
    found = both(structured_outputs=outputs)
    assert (found.kind, found.param.split(".")[0]) == (kind, "structured_outputs")


def test_null_and_llama_cpps_empty_grammar_are_no_constraint() -> None:
    """llama.cpp's own clients send `grammar: ""` with every request."""
    assert both(guided_json=None, structured_outputs=None, grammar="") == ResponseFormat()


def test_the_schema_of_a_json_object_format_is_kept() -> None:
    """llama.cpp's clients put a schema into `response_format` of type json_object; it was ignored in silence."""
    says_json = [{"role": "user", "content": "JSON please"}]
    wanted = {"type": "json_object", "schema": CITY}
    request = chat_request({"model": "m", "messages": says_json, "response_format": wanted})
    assert (request.response_format.kind, request.response_format.schema) == ("json_schema", CITY)


def test_the_schema_of_a_json_object_format_is_an_objects() -> None:
    """With the schema `{}` the answer was a JSON string."""
    request = chat_request({"model": "m", "messages": USER, "response_format": {"type": "json_object", "schema": {}}})
    assert request.response_format.schema == {"type": "object"}


@pytest.mark.parametrize("schema", [{**CITY, "title": None}, json.dumps({**CITY, "$defs": None})])
def test_what_serializers_write_for_nothing_is_left_out(schema: Any) -> None:
    """The schema of a function may have a keyword with null, as C# and Java write it; here it was a 400."""
    assert both(guided_json=schema).schema == CITY


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"guided_json": CITY, "guided_regex": "a"}, ("guided_json", "guided_regex")),
        (
            {"structured_outputs": {"choice": ["a"], "regex": "a"}},
            ("structured_outputs.regex", "structured_outputs.choice"),
        ),
        ({"structured_outputs": {"choice": ["a"]}, "grammar": LARK}, ("structured_outputs.choice", "grammar")),
    ],
)
def test_two_constraints_are_an_error_that_names_both(fields: dict[str, Any], names: tuple[str, str]) -> None:
    error = error_of(**fields)
    assert all(f"'{name}'" in error.message for name in names)
    assert error.code == "invalid_parameter_combination"


def test_a_response_format_counts_as_a_constraint() -> None:
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": CITY}}
    body = {"model": "m", "messages": USER, "guided_choice": ["a"]}
    with pytest.raises(RequestError, match=r"'response_format' and 'guided_choice'"):
        chat_request({**body, "response_format": named})
    assert chat_request({**body, "response_format": {"type": "text"}}).response_format.kind == "choice"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"guided_json": 1}, "guided_json"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": {"type": "nope"}}, "guided_json"),
        ({"json_schema": {"$ref": "#/nowhere"}}, "json_schema"),
        ({"guided_regex": 1}, "guided_regex"),
        ({"guided_regex": "a" * 16_385}, "guided_regex"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_choice": [1]}, "guided_choice[0]"),
        ({"guided_choice": ["a"] * 1_001}, "guided_choice"),
        ({"guided_choice": ["a" * 4_097]}, "guided_choice[0]"),
        ({"guided_choice": [f"{number:04}" * 20 for number in range(1_000)]}, "guided_choice"),
        ({"grammar": "a" * 65_537}, "grammar"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regexp": "a"}}, "structured_outputs.regexp"),
        ({"structured_outputs": {"json": CITY, "whitespace_pattern": " "}}, "structured_outputs.whitespace_pattern"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag"),
        ({"guided_whitespace_pattern": " "}, "guided_whitespace_pattern"),
    ],
    ids=lambda value: f"{value!s:.50}",
)
def test_what_cannot_be_honoured_is_an_error(fields: dict[str, Any], param: str) -> None:
    error = error_of(**fields)
    assert error.param == param
    assert f"'{param}'" in error.message
