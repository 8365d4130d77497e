"""OpenAPI documents become tools, and their calls are the requests that the documents describe."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from agent.events import AgentEnd, ToolResult
from agent.loop import answer
from agent.openapi.tools import openapi_tools
from agent.sources import opened
from agent.tools import ToolSourceError
from core.conversation import Message
from tests.support.plugins import called, document, parameter, tools_at
from tests.support.raw_server import RawServer, Seen, raw_server, response
from tests.support.scripted_chat import ScriptedChat

PETSTORE = Path(__file__).parents[2] / "examples" / "petstore.json"


def echo(seen: Seen) -> bytes:
    return response(json.dumps({"method": seen.method, "target": seen.target, "body": seen.body}))


def test_the_operations_of_the_example_as_functions() -> None:
    find, add = sorted(openapi_tools(PETSTORE, allow_private=True), key=lambda tool: tool.name, reverse=True)
    assert (find.name, find.own_name, find.source) == ("find_pets", "find_pets", str(PETSTORE))
    assert find.function.description == "Find pets in the store"
    assert find.function.parameters == {
        "type": "object",
        "properties": {
            "species": {
                "type": "string",
                "enum": ["cat", "dog", "parrot"],
                "description": "The kind of animal",
            }
        },
        "required": [],
    }
    assert (add.function.parameters or {})["required"] == ["name", "species"]


def test_an_agent_creates_and_finds_a_pet_over_http() -> None:
    pets: list[Any] = []

    def store(seen: Seen) -> bytes:
        if seen.method == "POST":
            pets.append({"id": 1, **json.loads(seen.body)})
            return response(json.dumps(pets[-1], indent=2), "201 Created")
        return response(json.dumps(pets))

    with raw_server(store) as server:
        tools = tools_at(server, PETSTORE)
        model = ScriptedChat(
            [("add_pet", {"name": "Rex", "species": "dog"})], [("find_pets", {"species": "dog"})], "Rex is there."
        )

        async def run() -> list[Any]:
            return [event async for event in answer(model, [Message("user", "Add Rex.")], list(tools.values()))]

        events = asyncio.run(run())
    rex = '{"id":1,"name":"Rex","species":"dog"}'
    assert [event.text for event in events if isinstance(event, ToolResult)] == [rex, f"[{rex}]"]
    assert isinstance(events[-1], AgentEnd)
    assert events[-1].reason == "stop"
    assert [(seen.method, seen.target) for seen in server.seen] == [("POST", "/pets"), ("GET", "/pets?species=dog")]
    assert server.seen[0].headers["content-type"] == "application/json"
    assert json.loads(server.seen[0].body) == {"name": "Rex", "species": "dog"}


LIST = [1, "a b", "c,d"]
OBJECT = {"r": 1, "g": "x&y"}
STYLES: list[tuple[dict[str, Any], object, str]] = [
    (parameter("q", "query"), "a b&c=d/é#", "/x?q=a%20b%26c%3Dd%2F%C3%A9%23"),
    (parameter("q", "query", "boolean"), True, "/x?q=true"),
    (parameter("q", "query", "number"), 1.5, "/x?q=1.5"),
    (parameter("q", "query", "array"), LIST, "/x?q=1&q=a%20b&q=c%2Cd"),
    (parameter("q", "query", "array", explode=False), LIST, "/x?q=1,a%20b,c%2Cd"),
    (parameter("q", "query", "array", style="spaceDelimited", explode=False), LIST, "/x?q=1%20a%20b%20c%2Cd"),
    (parameter("q", "query", "array", style="pipeDelimited"), LIST, "/x?q=1%7Ca%20b%7Cc%2Cd"),
    (parameter("q", "query", "object"), OBJECT, "/x?r=1&g=x%26y"),
    (parameter("q", "query", "object", explode=False), OBJECT, "/x?q=r,1,g,x%26y"),
    (parameter("q", "query", "object", style="deepObject"), OBJECT, "/x?q%5Br%5D=1&q%5Bg%5D=x%26y"),
    (parameter("$filter[a]", "query"), "x", "/x?%24filter%5Ba%5D=x"),
    (
        {"name": "q", "in": "query", "content": {"application/json": {"schema": {}}}},
        {"a": [1]},
        "/x?q=%7B%22a%22%3A%20%5B1%5D%7D",
    ),
    (parameter("p", "path"), "a/b?c", "/x/a%2Fb%3Fc"),
    (parameter("p", "path"), "%2F", "/x/%252F"),
    (parameter("p", "path", "integer"), 7, "/x/7"),
    (parameter("p", "path", "array"), LIST, "/x/1,a%20b,c%2Cd"),
    (parameter("p", "path", "object", explode=True), OBJECT, "/x/r=1,g=x%26y"),
    (parameter("p", "path", "object"), OBJECT, "/x/r,1,g,x%26y"),
]


@pytest.mark.parametrize(("held", "value", "target"), STYLES)
def test_parameters_are_written_as_the_document_says(held: dict[str, Any], value: object, target: str) -> None:
    path = "/x/{p}" if held["in"] == "path" else "/x"
    with raw_server(echo) as server:
        tools = tools_at(server, document({"parameters": [held]}, path))
        result = called(tools, arguments=json.dumps({held["name"]: value}))
        assert not result.is_error, result.text
        assert server.seen[0].target == target


def test_headers_and_cookies() -> None:
    held = [
        parameter("X-Trace", "header"),
        parameter("X-List", "header", "array"),
        parameter("session", "cookie"),
        parameter("Host", "header"),
        parameter("Authorization", "header"),
        parameter("Content-Length", "header", required=True),
    ]
    with raw_server(echo) as server:
        tools = tools_at(server, document({"parameters": held}))
        assert list((tools["call"].function.parameters or {})["properties"]) == ["X-Trace", "X-List", "session"]
        called(tools, arguments='{"X-Trace": "é b", "X-List": [1, "b"], "session": "a; b=c"}')
    headers = server.seen[0].headers
    assert (headers["x-trace"], headers["x-list"], headers["cookie"]) == ("é b", "1,b", "session=a%3B%20b%3Dc")
    assert headers["host"] == f"127.0.0.1:{server.port}"


def test_a_line_break_in_a_header_is_not_sent() -> None:
    with raw_server(echo) as server:
        tools = tools_at(server, document({"parameters": [parameter("X-Trace", "header")]}))
        for value in ("a\r\nHost: evil", "a\nb", "a\rb", "a\x00b"):
            result = called(tools, arguments=json.dumps({"X-Trace": value}))
            assert result.is_error
            assert "must not have line breaks" in result.text
        assert server.num_connections == 0


@pytest.mark.parametrize(
    "value",
    [
        "..",
        ".",
        "../../admin",
        "a/../b",
        "%2e%2e",
        "%2E%2E%2Fadmin",
        "%252e%252e",
        "..%2fadmin",
        "..\\admin",
        "a/.",
        "",
    ],
)
def test_a_value_that_leads_to_another_path_is_not_sent(value: str) -> None:
    with raw_server(echo) as server:
        tools = tools_at(server, document({"parameters": [parameter("p", "path")]}, "/pets/{p}"))
        result = called(tools, arguments=json.dumps({"p": value}))
        assert result.is_error
        assert "leads to another path" in result.text or "must not be empty" in result.text
        assert server.num_connections == 0


def test_dots_of_two_values_do_not_join() -> None:
    with raw_server(echo) as server:
        held = [parameter("a", "path"), parameter("b", "path")]
        tools = tools_at(server, document({"parameters": held}, "/pets/{a}{b}/x"))
        assert "another path" in called(tools, arguments='{"a": ".", "b": "."}').text
        assert (
            called(tools, arguments='{"a": ".", "b": "c"}').text == '{"method":"GET","target":"/pets/.c/x","body":""}'
        )


def test_bodies() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array"}}, "required": ["a"]}
    given = '{"a": "x y&", "b": [1, {"c": 2}]}'
    sent: list[tuple[str, str]] = []
    with raw_server(echo) as server:
        for kind in ("application/vnd.api+json", "*/*", "application/x-www-form-urlencoded", "multipart/form-data"):
            body = {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}
            called(tools_at(server, document(body, method="post")), arguments=given)
            sent.append((server.seen[-1].headers["content-type"].partition(";")[0], server.seen[-1].body))
        listed = {"requestBody": {"content": {"application/json": {"schema": {"type": "array", "items": {}}}}}}
        called(tools_at(server, document(listed, method="post")), arguments='{"body": [1, 2]}')
        called(tools_at(server, document(listed, method="post")))
    assert [kind for kind, _ in sent] == [
        "application/vnd.api+json",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ]
    assert json.loads(sent[0][1]) == json.loads(sent[1][1]) == json.loads(given)
    assert sent[2][1] == "a=x%20y%26&b=1&b=%7B%22c%22%3A2%7D"
    assert 'name="b"\r\n\r\n{"c":2}' in sent[3][1]
    assert (server.seen[-2].body, server.seen[-1].body) == ("[1, 2]", "")


def test_a_body_of_several_forms_is_one_argument() -> None:
    """Its properties beside `anyOf` were shown alone, so that the others could not be given."""
    forms = [{"properties": {"cat": {"type": "string"}}}, {"properties": {"dog": {"type": "string"}}}]
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}, "anyOf": forms}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
    with raw_server(echo) as server:
        tools = tools_at(server, document(body, method="post"))
        assert json.loads(called(tools, arguments='{"body": {"id": 1, "dog": "Rex"}}').text)["body"]
    assert server.seen[0].body == '{"id": 1, "dog": "Rex"}'


def test_arguments_of_one_name_in_two_places() -> None:
    with raw_server(echo) as server:
        held = [parameter("id", "path"), parameter("id", "query"), parameter("id", "header")]
        tools = tools_at(server, document({"parameters": held}, "/x/{id}"))
        called(tools, arguments='{"id": "1", "query_id": "2", "header_id": "3"}')
    assert (server.seen[0].target, server.seen[0].headers["id"]) == ("/x/1?id=2", "3")


def test_an_operation_without_a_description_is_described_by_its_path() -> None:
    found = document({"summary": ""}, servers=[{"url": "https://api.example"}])
    assert openapi_tools(found)[0].function.description == "GET /x"


def test_names_are_legal_and_unique() -> None:
    names = ["list pets", "list-pets", "list.pets", "é", "all", "x" * 90, "x" * 91]
    paths = {f"/p{n}": {"get": {"operationId": name, "summary": "S"}} for n, name in enumerate(names)}
    tools = openapi_tools({"openapi": "3.0.0", "paths": paths, "servers": [{"url": "https://api.example"}]})
    found = {tool.own_name: tool.name for tool in tools}
    assert (found["list pets"], found["list-pets"], found["list.pets"]) == ("list_pets", "list_pets_2", "list_pets_3")
    assert len(set(found.values())) == len(tools)
    assert all(len(name) <= 64 for name in found.values())


def test_arguments_that_do_not_fit_are_not_sent() -> None:
    with raw_server(echo) as server:
        tools = tools_at(server, PETSTORE)
        for arguments in (
            '{"species": "dragon", "name": "x"}',
            '{"name": "x"}',
            '{"name": "x", "species": "dog", "a": 1}',
        ):
            assert not called(tools, "add_pet", arguments).has_run
        assert server.num_connections == 0


def test_null_fits_a_nullable_parameter() -> None:
    """OpenAPI 3.0 says `nullable`, which JSON Schema does not know, so that null was rejected."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "nullable": True, "enum": ["x"]}}}
    body = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    with raw_server(echo) as server:
        tools = tools_at(server, document(body, method="post"))
        assert json.loads(called(tools, arguments='{"a": null}').text)["body"] == '{"a": null}'


# Answers


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (response('{ "a" : [1.0, "é"] }\n'), '{"a":[1.0,"é"]}'),
        (response("{broken"), "{broken"),
        (response('{"n": NaN}'), '{"n": NaN}'),
        (response("plain", kind="text/plain"), "plain"),
        (response("plain", kind=""), "plain"),
        (response("1e5,2", kind="text/csv"), "1e5,2"),
        (response("<a/>", kind="application/atom+xml"), "<a/>"),
        (response("é".encode("latin-1"), kind="text/plain; charset=ISO-8859-1"), "é"),
        (response("", "204 No Content"), "HTTP 204 No Content, without a body"),
        (response("", "299 Odd"), "HTTP 299 , without a body"),
    ],
)
def test_answers(said: bytes, text: str) -> None:
    with raw_server(said) as server:
        result = called(tools_at(server, document({})))
    assert (result.text, result.is_error) == (text, False)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (response('{"error": "no such pet"}', "404 Not Found"), 'Error: HTTP 404 Not Found: {"error":"no such pet"}'),
        (response("", "500 Internal Server Error"), "Error: HTTP 500 Internal Server Error"),
        (response(b"\xff\xfe\x00", "503 Busy", "image/png"), "Error: HTTP 503 Service Unavailable"),
        (response("", "304 Not Modified"), "Error: HTTP 304 Not Modified"),
        (
            response(b"\x89PNG\r\n\x00", kind="image/png"),
            "Error: HTTP 200: the answer is no text (type image/png, 7 bytes)",
        ),
        (response(b"a\x00b", kind="text/plain"), "Error: HTTP 200: the answer is no text (type text/plain, 3 bytes)"),
        (response(b"\xff\xfe", kind="text/plain"), "Error: HTTP 200: the answer is no text (type text/plain, 2 bytes)"),
        (
            response("abc", kind="text/plain; charset=zlib_codec"),
            "Error: HTTP 200: the answer is no text (type text/plain; charset=zlib_codec, 3 bytes)",
        ),
        (
            response("", "302 Found", location="http://localhost/"),
            "Error: 127.0.0.1 redirects to http://localhost, and only",
        ),
        (b"", "Error: 127.0.0.1 sent no valid HTTP (Server disconnected without sending a response.)"),
    ],
)
def test_failed_answers(said: bytes, text: str) -> None:
    """Each call is sent once: its side effects must not happen twice."""
    for method in ("get", "post"):
        with raw_server(said) as server:
            result = called(tools_at(server, document({}, method=method)))
            assert server.num_connections == 1
        assert result.is_error
        assert result.text.startswith(text)


def test_long_answers_are_cut() -> None:
    with raw_server(lambda seen: response("é" * (1 << 20), kind="text/plain")) as server:
        result = called(tools_at(server, document({})))
    assert len(result.text) < 66_000
    assert result.text.startswith("éé")
    assert "cut" in result.text[65_000:]
    with raw_server(lambda seen: response("x" * 9_000, "500 Oops", "text/plain")) as server:
        assert len(called(tools_at(server, document({}))).text) < 700


def test_a_server_that_hangs_is_left() -> None:
    def hang(seen: Seen) -> Any:
        while not server.is_closed.wait(0.02):
            yield b""

    with raw_server(hang) as server:
        result = called(tools_at(server, document({}), timeout_s=0.3))
        assert result.text == "Error: 127.0.0.1 did not answer within 0.3 s"


# Servers


def targets(source: Any, server: RawServer, **options: Any) -> list[str]:
    tools = tools_at(server, source, base_url=None, **options)
    for name in tools:
        called(tools, name)
    return [seen.target for seen in server.seen]


def test_servers_of_document_path_and_operation_with_variables() -> None:
    with raw_server(echo) as server:
        found = document({}, servers=[{"url": f"{server.url}/top/"}])
        found["paths"]["/y"] = {"servers": [{"url": f"{server.url}/path"}], "get": {"summary": "Y"}}
        variables = {"version": {"default": "v2", "enum": ["v1", "v2"]}}
        own = {"url": server.url + "/{version}", "variables": variables}
        found["paths"]["/z"] = {"get": {"summary": "Z", "servers": [own]}}
        assert targets(found, server) == ["/top/x", "/path/y", "/v2/z"]


def test_a_relative_server_starts_from_the_documents_url() -> None:
    def respond(seen: Seen) -> bytes:
        if seen.target.startswith("/docs/"):
            return response(json.dumps(document({}, servers=[{"url": "../v1"}])))
        return echo(seen)

    with raw_server(respond) as server:
        tools = tools_at(server, f"{server.url}/docs/api.json?key=hidden", base_url=None)
        assert tools["call"].source == f"{server.url}/docs/api.json"
        assert json.loads(called(tools).text)["target"] == "/v1/x"
    with pytest.raises(ToolSourceError, match="names no server; give base_url"):
        openapi_tools(document({}))


def test_servers_on_other_hosts_need_a_permission(caplog: pytest.LogCaptureFixture) -> None:
    with raw_server(echo) as server:
        found = document({}, servers=[{"url": server.url}])
        other = f"http://localhost:{server.port}"
        found["paths"]["/y"] = {"get": {"operationId": "other", "summary": "Y", "servers": [{"url": other}]}}
        with caplog.at_level(logging.WARNING):
            assert list(tools_at(server, found, base_url=None)) == ["call"]
        assert "GET /y: the host 'localhost' is not allowed; allowed are 127.0.0.1" in caplog.text
        assert list(tools_at(server, found, base_url=None, allow_hosts=["LOCALHOST"])) == ["call", "other"]


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pass@127.0.0.1",
        "ftp://127.0.0.1",
        "http://127.0.0.1/?a=b",
        "http://2130706433",
        "http://{x}.example",
    ],
)
def test_servers_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ToolSourceError, match="no operation can be used"):
        openapi_tools(document({}, servers=[{"url": url}]), allow_private=True)


def test_private_servers_are_not_reached_unless_they_are_allowed() -> None:
    with raw_server(echo) as server:
        for base_url in (server.url, f"http://localhost:{server.port}", f"http://[::ffff:127.0.0.1]:{server.port}"):
            result = called(tools_at(server, document({}), base_url=base_url, allow_private=False))
            assert result.is_error
            assert "not public (allow_private permits it)" in result.text
        with pytest.raises(ToolSourceError, match="is not public"):
            openapi_tools(f"{server.url}/openapi.json")
        assert server.num_connections == 0


def test_consequential_operations_need_a_confirmation() -> None:
    with raw_server(echo) as server:
        tools = tools_at(server, document({"x-openai-isConsequential": True}, method="delete"))
        assert tools["call"].needs_confirmation
        assert not called(tools).has_run
        assert server.num_connections == 0
        assert not tools_at(server, document({"x-openai-isConsequential": False}))["call"].needs_confirmation


def test_sources_of_a_command_line() -> None:
    with raw_server(echo) as server:
        url = f"{server.url}/api.json"
        server_url: dict[str, Any] = {"servers": [{"url": server.url}]}
        path = PETSTORE
        with raw_server(lambda seen: response(json.dumps(document({}, **server_url)))) as documents:
            url = f"{documents.url}/api.json"
            with opened(openapi=[path, url], allow_private=True) as tools:
                assert [tool.name for tool in tools] == ["find_pets", "add_pet", "call"]
        with pytest.raises(ToolSourceError, match="two tools have the name"), opened(openapi=[path, path]):
            pass
