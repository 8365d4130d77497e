"""Group B of the hostile requests: tools and response formats with hostile schemas.

The schemas are invalid, endless or huge, or refer to other hosts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.abuse_client import BODY, as_json
from tests.support.abuse_json import Case

Schema = dict[str, Any]
PARAMETERS = "tools[0].function.parameters"
REQUIRED = {"type": "function", "function": {"name": "f"}}
SERVED_OR_REFUSED = (200, 400)
VALUES: tuple[Any, ...] = (None, True, 0, -1, 1.5, "x", [], [1], [None], {}, {"x": 1}, {"x": None}, {"x": {}})
_SCHEMAS: tuple[Any, ...] = (True, {}, [], {"x": 1}, {"x": None}, {"x": {}})  # unknown keywords are valid
_NAMED: tuple[Any, ...] = ({}, [], {"x": None}, {"x": {}})  # named schemas
_COUNTS = (0,)
# The items of VALUES that each keyword accepts, beside null, which is the same as no keyword.
RIGHT: dict[str, tuple[Any, ...]] = {
    "type": (),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"), _NAMED),
    "required": ([],),
    "enum": ([], [1], [None]),
    "anyOf": (),
    "oneOf": (),
    "allOf": (),
    "prefixItems": (),
    "items": _SCHEMAS,
    "additionalProperties": _SCHEMAS,
    "not": _SCHEMAS,
    "if": _SCHEMAS,
    "contains": _SCHEMAS,
    "propertyNames": _SCHEMAS,
    "$ref": (),
    "$id": ("x",),
    "title": ("x",),
    "description": ("x",),
    "format": ("x",),
    "pattern": ("x",),
    "minimum": (0, -1, 1.5),
    "exclusiveMaximum": (True, 0, -1, 1.5),
    "multipleOf": (1.5,),
    "minLength": _COUNTS,
    "maxLength": _COUNTS,
    "minItems": _COUNTS,
    "maxProperties": _COUNTS,
    "uniqueItems": (True,),
    **dict.fromkeys(("default", "const", "examples", "deprecated", "$anchor", "x-vendor", "nullable"), VALUES),
}
EVIL_PATTERNS = (
    *("(a+)+$", "(a*)*b", "(a|a)*b", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*x", "((a{0,50}){0,50}){0,50}"),
    *("a{1000000000}", "(a{1,1000}){1,1000}", "[a-z]{1,100000}", "(?:a?){500}a{500}", ".*.*.*.*.*=.*", r"(\w+\s?)+$"),
    *("(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?P<n>a)(?P=n)", "(?(1)a|b)", "(?>a)", "a++", r"\K"),
    *("(", ")", "[", "a**", "*", "+", "?", "{", "a{2,1}", "[z-a]", "\\", r"\p{L}+", r"\p{Nope}", "(?i)[\0-\U0010ffff]"),
    *("^^^$$$", "$^", r"\bword\b", r"[\s\S]*", r"\u{1F600}", "\0", "x" * 512, "(" * 200 + "a" + ")" * 200, "a|" * 250),
)
NUMBERS: tuple[Schema, ...] = (
    {"type": "string", "maxLength": 10**9},
    {"type": "string", "minLength": 10**9},
    {"type": "array", "minItems": 10**9, "items": {}},
    {"type": "array", "maxItems": 10**18, "uniqueItems": True},
    {"type": "object", "minProperties": 10**9},
    {"type": "integer", "minimum": -(10**300), "maximum": 10**300},
    {"type": "number", "multipleOf": 1e-300},
    {"type": "integer", "multipleOf": 10_000_003},
    {"type": "number", "exclusiveMinimum": 1.7976931348623157e308},
    {"enum": [1e308, -0.0, 10**300, "\0", None, {"a": [[]]}]},
    {"const": {"x" * 1_000: ["y" * 10_000]}},
    {"type": ["string", "null", "integer", "array", "object", "boolean", "number"]},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "../../../x"},
    {"anyOf": [{"type": "string"}] * 500},
    {"allOf": [{"pattern": "a"}, {"pattern": "b"}]},
    {"oneOf": [{}, {}]},
    {"if": {}, "then": {"type": "string"}, "else": False},
)

IMPOSSIBLE: tuple[Schema, ...] = (
    {"type": "string", "minLength": 5, "maxLength": 4},
    {"type": "integer", "minimum": 10**300, "maximum": -(10**300)},
    {"not": {}},
    {"type": "integer", "enum": ["1"]},
)


def tool(parameters: Any, **fields: Any) -> Schema:
    return {"type": "function", "function": {"name": "f", "parameters": parameters, **fields}}


def with_property(schema: Any, **beside: Any) -> Schema:
    return {"type": "object", "properties": {"a": schema}, **beside}


def keywords() -> Iterator[Case]:
    """Yield schemas in which each keyword has values of every type, for a forced call and for a response format."""
    for key, right in RIGHT.items():
        for value in VALUES:
            fits = value is None or any(value == one and type(value) is type(one) for one in right)
            schema = with_property({key: value})
            expected = SERVED_OR_REFUSED if fits and value == [] else (200,) if fits else (400,)
            body = {**BODY, "tools": [tool(schema)], "tool_choice": REQUIRED}
            yield Case(f"{key}: {value!r}", body, expected, param=None if fits else PARAMETERS)
            wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            yield Case(f"format {key}: {value!r}", {**BODY, "response_format": wanted}, expected)


def patterns() -> Iterator[Case]:
    """Yield patterns that cannot become an automaton. Such a pattern is dropped; in a strict schema it is an error."""
    for pattern in EVIL_PATTERNS:
        schema = with_property({"type": "string", "pattern": pattern}, required=["a"], additionalProperties=False)
        for is_strict in (False, True):
            body = {**BODY, "tools": [tool(schema, strict=is_strict)], "tool_choice": REQUIRED}
            expected = SERVED_OR_REFUSED if is_strict else (200,)
            yield Case(f"{'strict ' * is_strict}pattern {pattern!r:.40}", body, expected)
        schema = {"type": "object", "patternProperties": {pattern: {}}}
        yield Case(f"key pattern {pattern!r:.40}", {**BODY, "tools": [tool(schema)], "tool_choice": REQUIRED}, (200,))


def references(elsewhere: str) -> Iterator[Case]:
    """Yield `$ref`s that form loops, refer to nothing or double forty times. Nothing is fetched from `elsewhere`."""
    urls = (
        elsewhere,
        f"{elsewhere}/x.json#/a",
        "file:///x.json",
        "ftp://localhost/x",
        "//localhost/x",
        "x.json",
        "",
    )
    errors = {url: {"$ref": url} for url in urls}
    errors |= {ref: {"$ref": ref} for ref in ("#/nowhere", "#nowhere", "#/properties/a", "#/$defs", "#/properties/a/x")}
    for name, schema in errors.items():
        yield Case(f"ref {name}", {**BODY, "tools": [tool(with_property(schema))]}, param=PARAMETERS)
    loop = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    yield Case("refs in a circle", {**BODY, "tools": [tool({**with_property({"$ref": "#/$defs/a"}), **loop})]})
    laughs = {f"d{i}": with_property({"$ref": f"#/$defs/d{i + 1}"}, required=[]) for i in range(40)}
    for i in range(40):
        laughs[f"d{i}"]["properties"]["b"] = {"$ref": f"#/$defs/d{i + 1}"}
    laughs["d40"] = {"type": "string"}
    chain = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(500)} | {"d500": {}}
    served: dict[str, Schema] = {
        "the whole": with_property({"$ref": "#"}),
        "a tree": {**with_property({"$ref": "#/$defs/t"}), "$defs": {"t": with_property({"$ref": "#/$defs/t"})}},
        "an endless list": with_property({"type": "array", "items": {"$ref": "#/properties/a"}}),
        "a billion laughs": {**with_property({"$ref": "#/$defs/d0"}), "$defs": laughs},
        "a long chain": {**with_property({"$ref": "#/$defs/d0"}), "$defs": chain},
        "odd $id": {**with_property({"$ref": "#"}), "$id": elsewhere, "$schema": f"{elsewhere}/draft"},
        "odd $schema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
        "$dynamicRef": with_property({"$dynamicRef": f"{elsewhere}#x", "$anchor": "x"}),
    }
    for name, schema in served.items():
        for choice in ("auto", REQUIRED):
            body = {**BODY, "tools": [tool(schema)], "tool_choice": choice}
            yield Case(f"{name}, {str(choice)[:6]}", body, SERVED_OR_REFUSED)


def nests() -> Iterator[Case]:
    """Yield deeply nested schemas. They are bytes because json.dumps cannot nest so deep.

    With 30,000 nested brackets, native grammar compilers crash.
    """
    start = as_json({**BODY, "tool_choice": REQUIRED, "tools": []})[:-2]
    for opening, closing in (
        ('{"properties":{"a":', "}}"),
        ('{"items":', "}"),
        ('{"anyOf":[', "]}"),
        ('{"not":', "}"),
        ('{"enum":[', "]}"),
        ('{"default":[', "]}"),
        ('{"x":', "}"),
    ):
        for depth in (30, 70, 200, 2_000, 30_000):
            schema = '{"type":"object","properties":{"a":' + opening * depth + "{}" + closing * depth + "}}"
            called = f'{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}'
            expected = (400,) if depth >= 200 else SERVED_OR_REFUSED
            yield Case(f"{depth} times {opening}", start + called.encode(), expected)


def numbers() -> Iterator[Case]:
    """Yield schemas with large counts, which a grammar compiler must not unroll."""
    for schema in NUMBERS:
        closed = with_property(schema, required=["a"], additionalProperties=False)
        for is_strict in (False, True):
            body = {**BODY, "tools": [tool(closed, strict=is_strict)], "tool_choice": REQUIRED}
            expected = SERVED_OR_REFUSED if is_strict else (200,)
            yield Case(f"{'strict ' * is_strict}{json.dumps(schema)[:60]}", body, expected)
    for schema in IMPOSSIBLE:
        closed = with_property(schema, required=["a"])
        body = {**BODY, "tools": [tool(closed)], "tool_choice": REQUIRED}
        yield Case(f"impossible {json.dumps(schema)[:60]}", body, param=PARAMETERS)
