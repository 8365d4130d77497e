"""OpenAPI documents from files, URLs and manifests; what cannot be used is an error of one line."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.openapi.tools import openapi_tools
from agent.tools import ToolError, ToolSourceError
from tests.support.plugins import called, document, tools_at
from tests.support.raw_server import Seen, raw_server, response

PETSTORE = Path(__file__).parents[2] / "examples" / "petstore.json"
DATA = Path(__file__).parents[1] / "data"


def echo(seen: Seen) -> bytes:
    return response(json.dumps({"method": seen.method, "target": seen.target, "body": seen.body}))


def test_documents_in_yaml_swagger_2_and_from_a_url() -> None:
    text = (DATA / "definitions" / "ferry.yaml").read_text(encoding="utf-8")
    with raw_server(
        lambda seen: response(text, kind="text/yaml") if seen.target == "/api.yaml" else echo(seen)
    ) as server:
        tools = tools_at(server, f"{server.url}/api.yaml")
        called(tools, "find_crossings", '{"day": "2024-05-01", "from": "no"}')
        assert server.seen[-1].target == "/crossings?day=2024-05-01&from=no"


def test_swagger_2_forms_lists_and_servers() -> None:
    form = [{"name": "a", "in": "formData", "type": "string"}]
    listed = [{"name": "ids", "in": "query", "type": "array", "items": {"type": "integer"}}]
    paths = {
        "/form": {"post": {"operationId": "form", "summary": "F", "parameters": form}},
        "/list": {"get": {"operationId": "list", "summary": "L", "parameters": listed}},
    }
    with raw_server(echo) as server:
        source = {"swagger": "2.0", "host": server.url.removeprefix("http://"), "basePath": "/v1", "schemes": ["http"]}
        tools = tools_at(server, {**source, "paths": paths}, base_url=None)
        called(tools, "form", '{"a": "x y"}')
        called(tools, "list", '{"ids": [1, 2]}')
    assert [(seen.target, seen.body) for seen in server.seen] == [("/v1/form", "a=x%20y"), ("/v1/list?ids=1,2", "")]


def test_the_manifest_of_a_plugin_leads_to_its_document(tmp_path: Path) -> None:
    manifest: dict[str, Any] = {"schema_version": "v1", "name_for_model": "shop", "auth": {"type": "service_http"}}

    def respond(seen: Seen) -> bytes:
        if seen.target == "/.well-known/ai-plugin.json":
            return response(json.dumps({**manifest, "api": {"type": "openapi", "url": f"{server.url}/api.json"}}))
        return response(json.dumps(document({}))) if seen.target == "/api.json" else echo(seen)

    with raw_server(respond) as server:
        environment = {"FUNCTIONARY_SHOP_AUTH": "token1"}
        tools = tools_at(server, f"{server.url}/.well-known/ai-plugin.json", base_url=None, environment=environment)
        called(tools)
        assert server.seen[-1].headers["authorization"] == "Bearer token1"
        (tmp_path / "api.json").write_text(json.dumps(document({})))
        (tmp_path / "ai-plugin.json").write_text(json.dumps({**manifest, "api": {"url": "api.json"}}))
        assert list(tools_at(server, tmp_path / "ai-plugin.json")) == ["call"]


@pytest.mark.parametrize(
    "url", ["http://localhost:PORT/api.json", "file:///etc/passwd", "http://169.254.169.254/", "http://["]
)
def test_a_manifest_from_a_url_cannot_lead_elsewhere(url: str) -> None:
    def respond(seen: Seen) -> bytes:
        return response(json.dumps({"api": {"url": url.replace("PORT", seen.headers["host"].partition(":")[2])}}))

    with raw_server(respond) as server:
        with pytest.raises(ToolSourceError):
            tools_at(server, f"{server.url}/ai-plugin.json")
        assert server.num_connections == 1


def test_recursive_schemas_and_operations_that_cannot_be_called(caplog: pytest.LogCaptureFixture) -> None:
    with raw_server(echo) as server, caplog.at_level(logging.WARNING):
        tools = tools_at(server, DATA / "definitions" / "library.json")
        assert called(tools, "add_shelf", '{"label": "a", "above": {"label": "b"}}').text.startswith('{"method":"POST"')
    assert "3 operations are left out, the first:" in caplog.text


BOMB = "\n".join(["a0: &a0 {x: 1, y: 2}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))])
BROKEN: list[tuple[str | bytes, str]] = [
    ("", "an object was expected, got NoneType"),
    ("[]", "an object was expected, got list"),
    ("{", "no JSON"),
    ('{"openapi": "3.0.0"', "no JSON"),
    ('{"a": NaN}', "no JSON"),
    (b"\xff\xfe", "not UTF-8"),
    ("a: [1\nb: {", ":2: no YAML"),
    ("a: !!python/object/apply:os.system [true]", "no YAML: could not determine a constructor"),
    ("a: &a [*a]", "no anchor before it"),
    (BOMB, "parts once its aliases are expanded"),
    ("a: " + "[" * 200, "nests deeper than 100 levels"),
    ('{"a": ' + "[" * 100_000, "nested deeper than 128 levels"),
    ("x: " + "y" * (2 << 20), "more than 2 MiB"),
    ('{"info": {"title": "x"}}', "no OpenAPI document"),
    ('{"openapi": "4.0.0", "paths": {}}', "no OpenAPI document"),
    ('{"openapi": "3.0.0"}', "no operation can be used; paths: the document has no object of paths"),
    ('{"openapi": "3.0.0", "paths": {}}', "no operation can be used; it has no operations"),
    ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "#/paths/~1a"}}}', "leads back to itself"),
    ('{"openapi": "3.0.0", "paths": {"/a": {"$ref": "https://evil.example/x"}}}', "is not local"),
    ('{"openapi": "3.0.0", "paths": {"/a": {"get": 1}}}', "an object was expected, got int"),
    ('{"openapi": "3.0.0", "paths": {"/a/{id}": {"get": {}}}}', "its path has {id}, which is none of its parameters"),
    ('{"openapi": "3.0.0", "paths": {"@evil.example/": {"get": {}}}}', "must begin with /"),
    ('{"openapi": "3.0.0", "paths": {"/a?b=c": {"get": {}}}}', "must begin with /"),
    ('{"openapi": "3.0.0", "paths": {"/a": {"get": {"security": [{"x": []}]}}}}', "security scheme 'x' is not defined"),
    (
        json.dumps({"openapi": "3.0.0", "paths": {f"/{n}": {"get": {"summary": "S"}} for n in range(1_025)}}),
        "it has more than 1024 operations",
    ),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_documents_that_cannot_be_used_are_one_line(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "api.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ToolSourceError) as caught:
        openapi_tools(path, base_url="https://api.example")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "source", ["missing.json", "/", "a\0b", "ftp://x.example/a", "http://", "http://a b/", "file:///etc/passwd"]
)
def test_sources_that_cannot_be_read_are_one_line(source: str) -> None:
    with pytest.raises(ToolSourceError) as caught:
        openapi_tools(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [response("", "404 Not Found"), response("{", kind="text/html"), b"", response("", "302 Found", location="/")],
)
def test_documents_that_cannot_be_fetched_are_one_line(said: bytes) -> None:
    with raw_server(said) as server, pytest.raises(ToolSourceError) as caught:
        openapi_tools(f"{server.url}/api.json?key=hidden", allow_private=True)
    assert str(caught.value).startswith(f"{server.url}/api.json: ")
    assert "hidden" not in str(caught.value)


def test_a_document_without_end_is_read_up_to_the_limit() -> None:
    def endless(seen: Seen) -> Any:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        for _ in range(16_384):
            yield b" " * 65_536

    with raw_server(endless) as server, pytest.raises(ToolSourceError, match="more than 2 MiB"):
        openapi_tools(server.url, allow_private=True)


def test_references_that_double_each_other_end_soon() -> None:
    """Each operation alone is below its limit, and all of them together would take minutes."""
    schemas = {f"S{n}": {"properties": {key: {"$ref": f"#/x/S{n + 1}"} for key in "ab"}} for n in range(10)}
    schemas["S10"] = {"type": "string"}  # type: ignore[dict-item]
    body = {"content": {"application/json": {"schema": {"$ref": "#/x/S0"}}}}
    paths = {f"/{n}": {"post": {"summary": "A", "requestBody": body}} for n in range(1_000)}
    source = {"openapi": "3.1.0", "paths": paths, "x": schemas, "servers": [{"url": "https://api.example"}]}
    assert 10 < len(openapi_tools(source)) < 200


def test_only_some_operations() -> None:
    found = openapi_tools(PETSTORE, include=["find_pets"])
    assert [tool.name for tool in found] == ["find_pets"]
    with pytest.raises(ToolSourceError, match="no operation 'drop_pets'; it has find_pets, add_pet"):
        openapi_tools(PETSTORE, include=["drop_pets"])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "/x", "query", "#/x"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["$ref", "name", "url", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)
WHOLE: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "T"},
    "servers": [{"url": "https://127.0.0.{a}/v1", "variables": {"a": {"default": "1"}}}],
    "security": [{"key": []}],
    "paths": {
        "/x/{id}": {
            "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}],
            "post": {
                "operationId": "call",
                "summary": "Call it.",
                "security": [{"oauth": ["a"]}],
                "servers": [{"url": "/v2"}],
                "parameters": [{"$ref": "#/components/parameters/q"}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}}},
            },
        }
    },
    "components": {
        "parameters": {
            "q": {"name": "q", "in": "query", "style": "form", "explode": True, "schema": {"type": "array"}}
        },
        "schemas": {"S": {"allOf": [{"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]}]}},
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "oauth": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "https://127.0.0.1/t", "scopes": {}}},
            },
        },
    },
}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return all holders and keys within a JSON value."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


async def awaited(result: Awaitable[object]) -> object:
    return await result


@given(st.lists(st.tuples(st.integers(0, 200), JSON), min_size=1, max_size=3))
@settings(max_examples=200)
def test_no_value_anywhere_in_a_document_breaks_more_than_its_operation(changes: list[tuple[int, Any]]) -> None:
    """A wrong value in a document of strangers was an AttributeError here and there."""
    found = copy.deepcopy(WHOLE)
    for number, value in changes:
        holders = places(found)
        holder, key = holders[number % len(holders)]
        holder[key] = value
    try:
        tools = openapi_tools(found, environment={})
    except ToolSourceError as error:
        assert "\n" not in str(error)
        return
    for tool in tools:
        with contextlib.suppress(ToolError):
            asyncio.run(awaited(tool.run({"id": "1", "q": ["a"], "a": "x", "body": {}})))
