"""Function definitions are read from a pasted text, whatever its kind."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.definitions import sources
from agent.definitions.candidates import Candidate, Unfit
from agent.definitions.sources import MAX_TEXT, candidates_in

WEATHER = {
    "name": "get_weather",
    "description": "Get the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOOL = {"type": "function", "function": WEATHER}
SIGNATURE = "def get_weather(city: str)"
DOCUMENTED = f'{SIGNATURE} -> str:\n    """Get the weather."""\n'
OPENAPI = {
    "openapi": "3.1.0",
    "paths": {
        "/weather": {
            "get": {
                "operationId": "get_weather",
                "summary": "Get the weather.",
                "parameters": [{"name": "city", "in": "query", "required": True, "schema": {"type": "string"}}],
            }
        }
    },
}
YAML = """
openapi: 3.1.0
paths:
  /weather:
    get:
      operationId: get_weather
      summary: Get the weather.
      parameters: [{name: city, in: query, required: true, schema: {type: string}}]
"""


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WEATHER),
        json.dumps([WEATHER], indent=4),
        json.dumps(TOOL),
        json.dumps({"model": "m", "tools": [TOOL]}),
        json.dumps({"functions": [WEATHER]}),
        json.dumps(WEATHER) + "\n" + json.dumps(TOOL),
        "\ufeff  \n" + json.dumps(WEATHER),
        DOCUMENTED,
        "from x import y\n\n@tool\nasync " + DOCUMENTED,
        "    @tool(confirm=True)\n    " + DOCUMENTED.replace("\n", "\n    "),
        json.dumps(OPENAPI),
        YAML,
        json.dumps(WEATHER, indent=2).replace("{", " {", 1),
    ],
)
def test_functions_are_found_in_every_kind_of_text(text: str) -> None:
    assert all(found.function == WEATHER for found in candidates_in(text))


@pytest.mark.parametrize(
    "text", [SIGNATURE, SIGNATURE + ":", "class C:\n    x: int\n\nasync def get_weather(\n    city: str\n) -> C"]
)
def test_a_signature_without_a_body_is_a_function(text: str) -> None:
    """A page asks for "a Python signature", and a signature copied from documentation has neither colon nor body."""
    assert [found.function for found in candidates_in(text)] == [{**WEATHER, "description": ""}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty; expected are functions in JSON"),
        (" \n\t", "empty"),
        ("Hello, what is the weather?", "no functions; expected are"),
        ("a: b: c", "neither JSON nor Python, and no YAML"),
        ("a: b", "must be"),
        ('{"name": "f",\n"description": }', "no JSON: Expecting value: line 2 column 16"),
        ("[" * 100_000, "nested too deep"),
        ("a: " + "[" * 100_000, "no YAML"),
        ("def f(x: int:\n    pass", "no Python"),
        ("def f(x=" + "-" * 100_000 + "1): ...", "no Python"),
        ("class C:\n    pass\n", "no public function at its top level"),
        ("def _private(): ...", "no public function at its top level"),
        ("x" * (MAX_TEXT + 1), "the limit is 2,097,152"),
        ("[]", "no public function"),
        ("[1]", "must be a JSON object"),
        ("3", "no functions"),
        ("openapi: 3.1.0", "no object of paths"),
        ("def f(*x): ...", "any number of arguments"),
        ("\0def f(): ...", "neither JSON"),
        ("def f(x:\0 int): ...", "no Python"),
        ("a: &a [*a]", "alias"),
        ("a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)), "aliases"),
        ("\ud800", "neither JSON"),
    ],
)
def test_a_broken_text_gives_a_sentence(text: str, words: str) -> None:
    try:
        faults = [found.fault or f"must be {found.function}" for found in candidates_in(text)]
    except Unfit as error:
        faults = [str(error)]
    assert len(faults) == 1 and words in faults[0]
    assert "\n" not in faults[0] and len(faults[0]) < 500


def test_functions_are_read_when_they_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """All functions of a text were once read before the first was returned, so that no caller could bound the work."""
    read: list[object] = []

    def candidate(item: object, where: str) -> Candidate:
        read.append(item)
        return Candidate(where, WEATHER)

    monkeypatch.setattr(sources, "_candidate", candidate)
    found = candidates_in(json.dumps([WEATHER] * 1_000))
    assert next(found).function == WEATHER and len(read) == 1


def test_the_line_of_a_fault_is_known() -> None:
    with pytest.raises(Unfit) as raised:
        list(candidates_in("import x\n\ndef f(x:):\n    pass\n"))
    assert raised.value.line == 3


def test_deep_expressions_are_a_fault_of_their_function() -> None:
    """`ast.parse` accepts a hint that `ast.unparse` cannot write, which once ended the whole reading."""
    first, second = candidates_in(f"def f(x: {'-' * 500}1): ...\n\n{DOCUMENTED}")
    assert first.fault and second.function == WEATHER


@given(st.text(max_size=300) | st.text(st.sampled_from("{}[]:,\"' \ndefgx(@):-&*a#"), max_size=80))
@settings(deadline=None)
def test_any_text_gives_candidates_or_a_reason(text: str) -> None:
    try:
        found = list(candidates_in(text))
    except Unfit as error:
        assert str(error)
    else:
        assert all(one.fault or one.function is not None for one in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "".join(f"class A{n}(TypedDict):\n" + f"    a: A{n + 1}\n    b: 'A{n + 1}'\n" * 5 for n in range(9))
            + "class A9(TypedDict):\n    x: int\n\ndef f(a: A0): ...\n",
            "more than 50,000 type hints",
        ),
        ("def f(x: Union[" + ",".join(f"Literal['a{n}']" for n in range(20_000)) + "]): ...", ""),
    ],
)
def test_a_small_text_takes_no_minutes(text: str, words: str) -> None:
    """Ten classes whose fields name the next class stood for a billion hints, and a union was compared by pairs."""
    started = time.thread_time()
    (found,) = candidates_in(text)
    assert words in found.fault
    assert time.thread_time() - started < 20


def test_functions_are_read_one_by_one() -> None:
    """A server stops after some seconds, but all functions were read before it saw the first one."""
    functions = candidates_in("def f(): ...\n" + "def g(x: Unknown): ...\n" * 2_000)
    assert next(functions).where == "f"
