"""The walk over all schemas inside a schema, and the table of keywords that tells the walk where schemas are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_specifications import REGISTRY

from core.conversation import JsonSchema
from json_schema.walk import KEYWORDS, Value, children, lookup, nodes, target_of, walk
from tests.support.work import num_lines

VOCABULARIES = ("core", "applicator", "unevaluated", "validation", "meta-data", "format-annotation", "content")


def metaschemas() -> Iterator[JsonSchema]:
    yield REGISTRY["http://json-schema.org/draft-07/schema#"].contents
    for name in VOCABULARIES:
        yield REGISTRY[f"https://json-schema.org/draft/2020-12/meta/{name}"].contents


def held_by(value: Any) -> set[str]:
    """Return how the keyword with the metaschema `value` holds schemas: as one schema, a list or an object.

    The result is empty if the keyword holds data.
    """
    match value:
        case {"anyOf": members}:
            return {kind for member in members for kind in held_by(member)}
        case {"$ref": "#"} | {"$dynamicRef": "#meta"}:
            return {"schema"}
        case {"$ref": "#/definitions/schemaArray" | "#/$defs/schemaArray"}:
            return {"schemas"}
        case {"additionalProperties": inner}:
            return {f"named {kind}s" for kind in held_by(inner)}
    return set()


def test_every_keyword_of_the_metaschemas_is_in_the_table_with_its_schemas() -> None:
    """The walk's table has every keyword of draft 7 and 2020-12.

    For each keyword, the table says correctly whether it holds one schema, a list or an object of schemas.
    """
    defined: dict[str, set[str]] = {}
    for metaschema in metaschemas():
        for key, value in metaschema["properties"].items():
            defined[key] = defined.get(key, set()) | held_by(value)
    assert len(defined) > 55
    for key, kinds in defined.items():
        assert {kind for kind in KEYWORDS[key].value.split(" or ") if "schema" in kind} == kinds, key


def test_every_kind_of_value_is_in_use() -> None:
    assert set(get_args(Value)) == {keyword.value for keyword in KEYWORDS.values()}


NUMBERS = st.integers(0, 10**9)
HOLDERS: dict[str, Value] = {key: keyword.value for key, keyword in KEYWORDS.items() if "schema" in keyword.value}


def around(key: str, inner: st.SearchStrategy[JsonSchema]) -> st.SearchStrategy[Any]:
    """Return values for the keyword `key` that contain the schemas `inner`."""
    named = st.dictionaries(st.sampled_from("abc/~%"), inner, max_size=3)
    match HOLDERS[key]:
        case "schema":
            return inner | st.booleans()
        case "schemas":
            return st.lists(inner, max_size=3)
        case "schema or schemas":
            return inner | st.lists(inner, max_size=3)
        case "named schemas":
            return named
        case _:
            return named | st.dictionaries(st.sampled_from("ab"), st.just(["a"]), max_size=2)


def holding(inner: st.SearchStrategy[JsonSchema]) -> st.SearchStrategy[JsonSchema]:
    """Generate schemas around `inner`, with distinct `$id`s and with data that looks like a schema."""
    data = {"$id": NUMBERS.map(str), "const": st.just({"properties": {"a": {"$id": "data"}}})}
    return st.fixed_dictionaries(data, optional={key: around(key, inner) for key in HOLDERS})


SCHEMAS = st.recursive(st.builds(lambda number: {"$id": str(number)}, NUMBERS), holding, max_leaves=12)


def schemas_by_recursion(schema: JsonSchema) -> list[JsonSchema]:
    """Return all schemas in document order, by a recursive reference implementation."""
    found = [schema]
    for key, value in schema.items():
        if key not in HOLDERS:
            continue
        parts = value if isinstance(value, list) else value.values() if "named" in HOLDERS[key] else [value]
        for part in parts:
            found += schemas_by_recursion(part) if isinstance(part, dict) else []
    return found


@given(SCHEMAS)
def test_every_schema_is_visited_once_in_document_order(schema: JsonSchema) -> None:
    assert [id(node) for node in nodes(schema)] == [id(node) for node in schemas_by_recursion(schema)]


@given(SCHEMAS)
def test_a_context_leads_to_its_schema(schema: JsonSchema) -> None:
    for node, context, depth in walk(schema):
        pointer = "#" + "".join("/" + key.replace("~", "~0").replace("/", "~1").replace("%", "%25") for key in context)
        assert lookup(schema, pointer) is node
        assert depth <= len(context) + 1 <= 2 * depth


def test_schemas_reached_only_by_reference_come_last_and_loops_end() -> None:
    shared = {"$ref": "#/x/B"}
    schema = {"$ref": "#/x/A", "items": {"$ref": "#"}, "x": {"A": shared, "B": {"items": shared}}, "not": False}
    assert [context for _, context, _ in walk(schema)] == [(), ("items",), ("not",), ("x", "A"), ("x", "B")]


@pytest.mark.parametrize("ref", ["http://x.org/#", "#/nowhere", "nowhere", "", 5, None, ["#"]])
def test_a_reference_to_nothing_is_not_followed(ref: Any) -> None:
    assert len(list(walk({"properties": {"a": {"$ref": ref}}}))) == 2


def test_values_of_the_wrong_shape_are_not_followed() -> None:
    """The walk skips values of the wrong shape, since it runs before schemas are checked."""
    values: list[Any] = [None, 1, "x", [1], {"a": 1}, []]
    for key, keyword in KEYWORDS.items():
        followed = [value for value in values if list(children({key: value}))]
        match keyword.value:
            case "schema":
                assert followed == values  # values that are no schema are included, since the caller reports them
            case "schema or schemas":
                assert followed == values[:-1]
            case "schemas":
                assert followed == [[1]]
            case "named schemas" | "named schemas or names":
                assert followed == [{"a": 1}]
            case _:
                assert followed == []


def test_the_caller_ends_a_walk_before_a_schema_is_followed() -> None:
    deep: JsonSchema = {}
    for _ in range(50_000):
        deep = {"items": deep}
    depths = (node.depth for node in walk(deep))
    assert next(depth for depth in depths if depth > 64) == 65


def test_a_walk_takes_linear_time_however_often_schemas_are_referred_to() -> None:
    def web(num: int) -> None:
        names = [f"d{i}" for i in range(num)]
        everything = {name: {"anyOf": [{"$ref": f"#/$defs/{names[(i * 7) % num]}"}]} for i, name in enumerate(names)}
        assert sum(1 for _ in walk({"$defs": everything})) == 2 * num + 1

    assert num_lines(partial(web, 2_000)) < 15 * num_lines(partial(web, 200))


def test_the_target_of_references() -> None:
    root = {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"type": "string"}, "C": {"$ref": "#/$defs/C"}, "D": True}}
    assert target_of(root, {"$ref": "#/$defs/A"}) is root["$defs"]["B"]
    assert target_of(root, root) is root
    for nothing in ({"$ref": "#/$defs/C"}, {"$ref": "#/$defs/D"}, {"$ref": "#/$defs/E"}, True, None):
        assert target_of(root, nothing) == {}


def test_anchors_and_ids_are_found_within_the_same_schema() -> None:
    """TypeBox refers to a recursive type by its `$id`, and 2020-12 has anchors. Both were references to nothing."""
    tree = {"$id": "T0", "properties": {"nodes": {"items": {"$ref": "T0"}}}, "$defs": {"leaf": {"$anchor": "leaf"}}}
    root = {"$id": "https://x.org/root.json", "properties": {"tree": tree}, "$defs": {"a": {"$id": "#old"}}}
    assert lookup(root, "T0") is tree
    assert lookup(root, "T0#/$defs/leaf") is lookup(root, "#leaf") is lookup(root, "T0#leaf") is tree["$defs"]["leaf"]
    assert lookup(root, "https://x.org/root.json#/properties/tree") is tree
    assert lookup(root, "https://x.org/root.json") is root
    assert lookup(root, "#old") is root["$defs"]["a"]
    for nothing in ("T1", "T0#nothing", "https://x.org/other.json#/$defs/a", "", "leaf"):
        assert lookup(root, nothing) is None


def test_many_references_by_anchor_take_linear_time() -> None:
    def anchored(num: int) -> None:
        definitions = {f"d{i}": {"$anchor": f"a{i}", "items": {"$ref": f"#a{num - 1 - i}"}} for i in range(num)}
        assert sum(1 for _ in walk({"$defs": definitions})) == 2 * num + 1

    assert num_lines(partial(anchored, 2_000)) < 15 * num_lines(partial(anchored, 200))
