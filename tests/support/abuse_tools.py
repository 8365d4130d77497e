"""Group B of the hostile requests: shapes, names and sizes of tools. The schemas are in abuse_schemas.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.support.abuse_client import BODY, USER
from tests.support.abuse_json import Case
from tests.support.abuse_schemas import PARAMETERS, Schema, tool, with_property

NAMES_REFUSED: tuple[Any, ...] = ("", "x" * 257, "x" * 100_000, None, 1, True, [], {}, ["f"])
NAMES_WITH_ALIAS = (
    *("a b", "a.b", "a/b", "../f", "é", "fоo", "f\u202e", "f\0", "f\n", "f\n>>>all", "a{b}", "${f}", "<|im_end|>"),
    *("x" * 65, "x" * 256, "😀", " f", "f ", "f;", "f()", "f'", '"f"', "all ", "\ufffd"),
)
NAMES = (
    "__proto__",
    "constructor",
    "prototype",
    "__class__",
    "__init__",
    "None",
    "python",
    "toString",
    "f",
    "-",
    "_",
    "0",
)
ROOTS: tuple[Any, ...] = (
    *(True, 1, "x", [{}], {"type": "string"}, {"type": "array"}, {"type": ["object", "null"]}, {"$ref": 1}),
)
BROKEN_TOOLS: tuple[Any, ...] = (
    *(None, 1, "f", [], {}, {"type": "function"}, {"function": {"name": "f"}}, {"type": "x"}, {"type": "custom"}),
)


def roots() -> Iterator[Case]:
    """Yield parameters that are no schema of an object, in `tools` and in the older `functions`, and invalid tools."""
    yield Case("root []", {**BODY, "tools": [tool([])]}, (200,))
    for value in ROOTS:
        yield Case(f"root {value!r}", {**BODY, "tools": [tool(value)]}, param=PARAMETERS)
        body = {**BODY, "functions": [{"name": "f", "parameters": value}]}
        yield Case(f"function's root {value!r}", body, param="functions[0].parameters")
    for broken in BROKEN_TOOLS:
        yield Case(f"tool {broken!r}", {**BODY, "tools": [broken]}, param="tools[0]")
    for field, value in (("strict", "yes"), ("strict", 1), ("description", 1), ("description", [])):
        yield Case(
            f"{field} {value!r}", {**BODY, "tools": [tool({}, **{field: value})]}, param=f"tools[0].function.{field}"
        )


def names() -> Iterator[Case]:
    for name in NAMES_REFUSED:
        body = {**BODY, "tools": [tool({}, name=name)]}
        yield Case(f"name {name!r:.30}", body, message="tools[0].function.name", param="tools[0].function.name")
        yield Case(f"older name {name!r:.30}", {**BODY, "functions": [{"name": name}]}, param="functions[0].name")
    for name in NAMES_WITH_ALIAS:
        yield Case(f"alias of {name!r:.30}", {**BODY, "tools": [tool({}, name=name)]}, (200,))
    yield Case("two of a name", {**BODY, "tools": [tool({}), tool({})]}, message="unique")


def sizes() -> Iterator[Case]:
    """Yield tools just above each limit. The error names the limit."""
    over: dict[str, tuple[Any, str]] = {
        "properties": ({"type": "object", "properties": {f"p{i}": {} for i in range(1_001)}}, "1000"),
        "required": ({"type": "object", "required": [f"p{i}" for i in range(1_001)]}, "1000"),
        "description": (with_property({"description": "x" * 20_001}), "20000"),
        "schemas": (with_property({"anyOf": [{}] * 20_001}), "20000"),
    }
    for name, (schema, limit) in over.items():
        yield Case(f"over the limit: {name}", {**BODY, "tools": [tool(schema)]}, message=limit, param=PARAMETERS)
    many = [tool({}, name=f"f{i}") for i in range(5_000)]
    yield Case("5,000 tools", {**BODY, "tools": many}, message="maximum length 1024", param="tools")
    yield Case("1,025 tools", {**BODY, "tools": many[:1025]}, message="maximum length 1024", param="tools")
    yield Case("no tools", {**BODY, "tools": []}, (200,))
    described = tool({}, description="x" * 20_001)
    yield Case(
        "long description", {**BODY, "tools": [described]}, message="20000", param="tools[0].function.description"
    )
    yield Case("1 MB description", {**BODY, "tools": [tool({}, description="x" * 10**6)]}, message="20000")


def sizes_that_fit() -> Iterator[Case]:
    """Yield tools just below each limit and above OpenAI's, for an engine that accepts prompts of any length."""
    words: Schema = {f"p{i}": {} for i in range(1_000)}
    for name, schema in {
        "enum": with_property({"enum": list(range(1_001))}),
        "pattern": with_property({"type": "string", "pattern": "x" * 513}),
        "key pattern": {"type": "object", "patternProperties": {"x" * 513: {}}},
        "properties": {"type": "object", "properties": words, "required": list(words)},
        "description": with_property({"description": "x" * 20_000}),
        "schemas": with_property({"anyOf": [{}] * 19_990}),
    }.items():
        yield Case(f"at the limit: {name}", {**BODY, "tools": [tool(schema)]}, (200,))
    many = [tool(with_property({}), name=f"f{i}") for i in range(1024)]
    yield Case("1,024 tools", {**BODY, "tools": many}, (200,))
    yield Case("1,024 tools, one called", {**BODY, "tools": many, "tool_choice": "required"}, (200,))
    yield Case("a long description", {**BODY, "tools": [tool({}, description="x" * 20_000)]}, (200,))


def forced_calls() -> Iterator[tuple[str, Schema]]:
    """Yield functions whose names mean something in JavaScript, Python or a prompt format, each with a forced call."""
    for name in (*NAMES, *NAMES_WITH_ALIAS):
        choice = {"type": "function", "function": {"name": name}}
        yield name, {"messages": [USER], "tools": [tool({}, name=name)], "tool_choice": choice, "max_tokens": 8}
