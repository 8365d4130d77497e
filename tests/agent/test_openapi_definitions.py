"""Function definitions are read from OpenAPI documents, and references in the documents are resolved."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.definitions.candidates import Unfit
from agent.definitions.references import Inliner
from tests.support.definition_sources import SOURCES, read, written
from train.definitions import collect

REFS = st.sampled_from(["#", "#/properties/x", "#/properties/x/items", "#/$defs/y", "#/$defs/y/allOf/0", "other.json"])
SCHEMAS = st.recursive(
    st.fixed_dictionaries({"$ref": REFS}) | st.sampled_from([{"type": "string"}, {"type": "integer"}]),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"items": inner, "allOf": st.lists(inner, min_size=1, max_size=2)}
    ),
    max_leaves=6,
)


def test_operations_become_functions_with_their_references_resolved() -> None:
    functions, _ = read(SOURCES / "library.json")
    assert functions["find_books"] == {
        "name": "find_books",
        "description": "Find books in the catalogue",
        "parameters": {
            "type": "object",
            "properties": {
                "branch": {"type": "string", "enum": ["north", "south"]},
                "title": {"type": "string", "description": "A part of the title."},
                "limit": {"type": "integer", "exclusiveMinimum": 0, "default": 10},
            },
            "required": ["title"],
        },
    }
    assert functions["get_book"]["parameters"]["required"] == ["id"]
    added = functions["post_books"]
    assert added["description"] == "Add a book."
    assert list(added["parameters"]["properties"]) == ["branch", "title", "year"]
    assert added["parameters"]["required"] == ["title", "year"]


def test_a_body_whose_names_are_taken_is_one_parameter() -> None:
    functions, _ = read(SOURCES / "library.json")
    labelled = functions["label_shelf"]["parameters"]
    assert labelled["properties"]["label"] == {"type": "string"}
    assert list(labelled["properties"]["body"]["properties"]) == ["label", "above"]
    assert labelled["required"] == []


def test_a_type_inside_itself_becomes_its_bare_type() -> None:
    functions, _ = read(SOURCES / "library.json")
    shelf = functions["add_shelf"]["parameters"]
    assert shelf["properties"] == {"label": {"type": "string"}, "above": {"type": "object"}}


def test_operations_that_cannot_be_called_are_rejected_with_their_path() -> None:
    _, rejects = read(SOURCES / "library.json")
    assert "not local" in rejects["{id}"]
    reasons = {str(line["where"]).partition("#")[2]: str(line["reason"]) for line in _rejects("library.json")}
    assert "not local" in reasons["DELETE /books/{id}"]
    assert "image/png" in reasons["PUT /books/{id}"]
    assert "points to nothing" in reasons["PATCH /shelves"]
    assert len(reasons) == 3


def _rejects(name: str) -> list[dict[str, object]]:
    return collect([SOURCES / name]).rejects


def test_swagger_2_in_yaml_where_no_is_a_word_and_a_date_a_text() -> None:
    """In YAML documents `no` and 2024-05-01 stay texts, although YAML 1.1 reads them as false and as a date."""
    functions, _ = read(SOURCES / "ferry.yaml")
    found = functions["find_crossings"]["parameters"]["properties"]
    assert found["day"] == {"type": "string", "format": "date", "default": "2024-05-01"}
    assert found["from"] == {"type": "string", "enum": ["no", "on", "kiel"]}
    booked = functions["book_crossing"]["parameters"]
    assert (list(booked["properties"]), booked["required"]) == (["people", "cabin"], ["people"])
    assert "a file" in str(_rejects("ferry.yaml")[0]["reason"])


def test_references_that_double_each_other_are_rejected_at_once(tmp_path: Path) -> None:
    schemas = {
        f"S{n}": {"type": "object", "properties": {k: {"$ref": f"#/x/S{n + 1}"} for k in "ab"}} for n in range(40)
    }
    schemas["S40"] = {"type": "string"}
    body = {"content": {"application/json": {"schema": {"$ref": "#/x/S0"}}}}
    document = {"openapi": "3.1.0", "paths": {"/a": {"post": {"summary": "A", "requestBody": body}}}, "x": schemas}
    (reason,) = read(written(tmp_path, "a.json", document))[1].values()
    assert "expanded" in reason or "deeper" in reason


def test_yaml_whose_aliases_double_each_other_is_rejected_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30))]
    lines += ["name: f", "description: F", "parameters: {type: object, properties: {x: {enum: *a29}}}"]
    (fault,) = collect([written(tmp_path, "a.yaml", "\n".join(lines))]).faults
    assert "parts" in fault


@given(SCHEMAS, SCHEMAS)
@settings(deadline=None)
def test_no_reference_is_left_and_what_was_valid_still_is(x: dict[str, object], y: dict[str, object]) -> None:
    root = {"type": "object", "properties": {"x": x}, "$defs": {"y": y}}
    try:
        copied = Inliner(root).schema(root)
    except Unfit as error:
        assert any(words in str(error) for words in ("not local", "nothing", "deeper", "expanded", "object"))
        return
    assert '"$ref"' not in json.dumps(copied)
    jsonschema.Draft202012Validator.check_schema(copied)
