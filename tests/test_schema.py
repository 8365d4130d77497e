"""Functions printed as TypeScript: golden files, and endless `$ref`s.

In tests/golden/schema, functions/CASE.json declares functions; typescript/CASE.txt and flat/CASE.txt are the printed
texts. `python -m tests.test_schema` rewrites the texts. Review their diff before you commit it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.conversation import Function, JsonSchema
from core.errors import RequestError
from schema import flat_typescript, typescript
from tests.support.printed_schemas import printed, property_lines
from tests.support.work import num_lines

GOLDEN = Path(__file__).parent / "golden" / "schema"
CASES = sorted(path.stem for path in GOLDEN.glob("functions/*.json"))
PRINTERS = {"typescript": typescript, "flat": flat_typescript}


def functions_of(case: str) -> list[Function]:
    declared = json.loads((GOLDEN / "functions" / f"{case}.json").read_text(encoding="utf-8"))
    return [Function(f.get("name", ""), f.get("description", ""), f.get("parameters")) for f in declared]


@pytest.mark.parametrize("printer", PRINTERS)
def test_golden(printer: str, subtests: pytest.Subtests) -> None:
    for case in CASES:
        with subtests.test(case):
            text = (GOLDEN / printer / f"{case}.txt").read_text(encoding="utf-8")
            assert PRINTERS[printer](functions_of(case)) == text


def test_no_functions_is_an_empty_namespace() -> None:
    expected = (
        "// Supported function definitions that should be called when necessary.\n"
        "namespace functions {\n\n} // namespace functions"
    )
    assert typescript([]) == flat_typescript([]) == expected


def test_equal_in_every_process() -> None:
    """Equal functions have equal texts in processes with different hash seeds.

    Regression test: the types of a oneOf were kept in a set, so the prefix cache missed prompts of another process.
    """
    schema = {"properties": {"a": {"oneOf": [{"type": word} for word in ("string", "null", "integer", "boolean")]}}}
    program = f"from schema import *; print(typescript([Function('f', '', {schema!r})]))"
    texts = set()
    for seed in "0123":
        run = [sys.executable, "-c", program]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        texts.add(subprocess.run(run, env=environment, cwd=GOLDEN.parents[2], capture_output=True, check=True).stdout)
    assert len(texts) == 1
    assert b"a?: string | null | number | boolean," in texts.pop()


def test_the_flat_format_says_what_it_has_words_for() -> None:
    """The flat format shows one line for each property: null unions, constants and `$ref`s by their type."""
    null = {"type": "null"}
    properties = {
        "a": {"anyOf": [{"type": "integer"}, null]},
        "b": {"anyOf": [{"type": "integer"}, null]},
        "c": {"const": "x"},
        "d": {"$ref": "#/$defs/D", "description": "Where"},
        "e": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]},
        "f": {"type": ["string", "null"]},
    }
    parameters = {"properties": properties, "required": ["b"], "$defs": {"D": {"type": "object", "properties": {}}}}
    lines = flat_typescript([Function("f", "", parameters)]).split("\n")[5:-3]
    expected = ["a?: number,", "b: number | null,", 'c?: "x",', "// Where", "d?: object,", "e?: array | string,"]
    assert lines == [*expected, "f?: ['string', 'null'],"]


@pytest.mark.parametrize("required", [None, []])
def test_nothing_is_required_by_an_empty_list_or_null(required: list[str] | None) -> None:
    parameters = {"properties": {"a": {"type": "string"}}, "required": required}
    assert printed(parameters)[2] == "a?: string,"


# `$ref`s


def test_a_type_inside_itself_is_printed_by_name() -> None:
    """A type that refers to itself, such as a tree in pydantic, is printed by name.

    A previous version of the server ended with a RecursionError.
    """
    tree = {
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            "up": {"$ref": "#/$defs/Tree"},
        },
    }
    lines = property_lines({"$ref": "#/$defs/Tree"}, **{"$defs": {"Tree": tree}})
    assert lines == ["a: {", "    children?: Tree[],", "    up?: Tree,", "},"]


@pytest.mark.parametrize(
    ("ref", "name"),
    [("#/$defs/List%3CT%3E", "List_T_"), ("#/$defs/1~1x", "_1_1x"), ("#/$defs/%0A%7D", "object"), ("#/$defs/nü", "nü")],
)
def test_the_name_of_a_recursion_is_an_identifier(ref: str, name: str) -> None:
    inside: JsonSchema = {"type": "object", "properties": {"again": {"$ref": ref}}}
    definitions = {"List<T>": inside, "1/x": inside, "\n}": inside, "nü": inside}
    assert property_lines({"$ref": ref}, **{"$defs": definitions}) == ["a: {", f"    again?: {name},", "},"]


def test_the_parameters_as_a_whole_have_no_name() -> None:
    assert property_lines({"type": "array", "items": {"$ref": "#"}}) == ["a: object[],"]


def test_refs_that_double_each_other_are_an_error_at_once() -> None:
    """2 kB of `$ref`s that expand to 2**40 properties (a "billion laughs" attack) are an error at once."""
    definitions: JsonSchema = {"d40": {"type": "string"}}
    for level in range(40):
        twice = {"$ref": f"#/$defs/d{level + 1}"}
        definitions[f"d{level}"] = {"type": "object", "properties": {"a": twice, "b": twice}}
    laughs = Function("f", "", {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions})

    def rejected() -> None:
        with pytest.raises(RequestError, match=r"function 'f': its \$refs expand to more than 20000 schemas") as caught:
            typescript([laughs])
        assert caught.value.code == "invalid_function_parameters"

    assert num_lines(rejected) < 1_000_000  # it was 383,640 lines when this test was written
    assert "a?: object," in flat_typescript([laughs])  # this format shows no more of it


def test_the_refs_of_all_functions_of_a_request_share_one_budget() -> None:
    wide = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(900)}}
    function = Function("f", "", {"properties": {"a": {"$ref": "#/$defs/W"}}, "$defs": {"W": wide}})
    assert typescript([function] * 20).count("p899?: string,") == 20
    with pytest.raises(RequestError, match="more than 20000 schemas"):
        typescript([function] * 23)


def test_one_long_text_behind_many_refs_is_an_error() -> None:
    definitions = {"Long": {"type": "string", "description": "x" * 20_000}}
    properties = {f"p{i}": {"$ref": "#/$defs/Long"} for i in range(100)}
    with pytest.raises(RequestError, match="longer than 500000 characters"):
        printed({"properties": properties, "$defs": definitions})


def test_a_chain_of_refs_is_followed_64_deep() -> None:
    chain: JsonSchema = {f"c{i}": {"$ref": f"#/$defs/c{i + 1}"} for i in range(200)}
    chain["c200"] = {"type": "integer"}
    assert property_lines({"$ref": "#/$defs/c150"}, **{"$defs": chain}) == ["a: number,"]
    with pytest.raises(RequestError, match=r"more than 64 \$refs inside each other"):
        property_lines({"$ref": "#/$defs/c0"}, **{"$defs": chain})


@pytest.mark.parametrize("ref", ["#/$defs/None", "#anchor", "http://localhost/x", "file:///x", "#/required/9", "#/a~1"])
def test_a_ref_to_nowhere_is_any_type(ref: str) -> None:
    """The printer neither fails at a `$ref` to nowhere nor fetches it. json_schema/check.py reports the error."""
    assert property_lines({"$ref": ref}) == ["a: any,"]


if __name__ == "__main__":
    for case in CASES:
        for printer, print_functions in PRINTERS.items():
            (GOLDEN / printer / f"{case}.txt").write_text(print_functions(functions_of(case)), encoding="utf-8")
