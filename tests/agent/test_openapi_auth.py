"""Secrets of OpenAPI plugins come from the environment, reach the server, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any
from urllib.parse import parse_qs

import pytest

from agent.loop import answer
from agent.openapi.tools import openapi_tools
from agent.tools import ToolSourceError
from core.conversation import Message
from tests.support.plugins import called, document, parameter, tools_at
from tests.support.raw_server import RawServer, Seen, raw_server, response
from tests.support.scripted_chat import ScriptedChat

SECRET = "s3cret/value+1"
VARIABLE = "FUNCTIONARY_PET_STORE_MY_KEY"
CLIENT = {"FUNCTIONARY_PET_STORE_MY_KEY": f"id1:{SECRET}"}


def secured(scheme: dict[str, Any], scopes: list[str] | None = None, **operation: Any) -> dict[str, Any]:
    """Return a document whose operation needs the scheme `my-key`."""
    held: dict[str, Any] = {
        "components": {"securitySchemes": {"my-key": scheme}},
        "security": [{"my-key": scopes or []}],
    }
    return document(operation, **held)


def client_credentials(token_url: str) -> dict[str, Any]:
    return {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": {}}}}


def ok(seen: Seen) -> bytes:
    return response("fine", kind="text/plain")


BASIC = base64.b64encode(f"me:{SECRET}".encode()).decode()
SCHEMES: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "apiKey", "in": "header", "name": "X-Key"}, SECRET, f"x-key: {SECRET}"),
    ({"type": "apiKey", "in": "query", "name": "key"}, SECRET, "/x?key=s3cret%2Fvalue%2B1"),
    ({"type": "apiKey", "in": "cookie", "name": "sid"}, SECRET, f"cookie: sid={SECRET}"),
    ({"type": "http", "scheme": "Bearer"}, SECRET, f"authorization: Bearer {SECRET}"),
    ({"type": "http", "scheme": "basic"}, f"me:{SECRET}", f"authorization: Basic {BASIC}"),
    ({"type": "openIdConnect", "openIdConnectUrl": "https://x.example"}, SECRET, f"authorization: Bearer {SECRET}"),
    ({"type": "oauth2", "flows": {"implicit": {}}}, SECRET, f"authorization: Bearer {SECRET}"),
]


@pytest.mark.parametrize(("scheme", "value", "sent"), SCHEMES)
def test_each_kind_of_secret_goes_where_the_document_says_and_nowhere_else(
    scheme: dict[str, Any], value: str, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The server repeats all it got, as debugging servers do; results, traces, logs and messages are searched."""

    def repeat(seen: Seen) -> bytes:
        return response(json.dumps([seen.target, seen.headers]), "200 OK" if seen.method == "GET" else "403 Forbidden")

    found = secured(
        scheme, parameters=[parameter("key", "query"), parameter("X-Key", "header"), parameter("sid", "cookie")]
    )
    found["paths"]["/x"]["post"] = {"operationId": "refused", "summary": "S"}
    with raw_server(repeat) as server, caplog.at_level(logging.DEBUG):
        tools = tools_at(server, found, environment={VARIABLE: f" {value}\n"})
        model = ScriptedChat([("call", {}), ("refused", {})], "Done.")

        async def run() -> list[Any]:
            return [event async for event in answer(model, [Message("user", "Go.")], list(tools.values()))]

        trace = repr(asyncio.run(run())) + repr(model.asked) + repr(tools)
        got = [seen.target + "\n" + "\n".join(f"{k}: {v}" for k, v in seen.headers.items()) for seen in server.seen]
    assert len(got) == 2
    assert all(sent in one for one in got)
    assert "[secret]" in trace
    for text in (trace, caplog.text):
        assert not any(form in text for form in (SECRET, BASIC, "s3cret"))
    shown = (tools["call"].function.parameters or {})["properties"]
    assert len(shown) == (2 if scheme["type"] == "apiKey" else 3), "a parameter that is the secret is not shown"


def test_a_variable_that_is_not_set_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with raw_server(ok) as server, caplog.at_level(logging.WARNING):
        for environment in ({}, {VARIABLE: " "}):
            tools = tools_at(server, secured({"type": "http", "scheme": "bearer"}), environment=environment)
            assert called(tools).text == f"Error: the environment variable {VARIABLE} is not set"
        assert f"calls that need {VARIABLE} will fail until it is set" in caplog.text
        assert server.num_connections == 0


def test_the_environment_of_the_process_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    with raw_server(ok) as server:
        called(tools_at(server, secured({"type": "http", "scheme": "bearer"}), environment=None))
        assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX: y", "a\x00", "schlüssel"])
def test_a_secret_that_no_header_can_have_is_not_told(value: str) -> None:
    with raw_server(ok) as server:
        tools = tools_at(server, secured({"type": "http", "scheme": "bearer"}), environment={VARIABLE: value})
        result = called(tools)
        assert result.text == f"Error: the environment variable {VARIABLE} has characters that no header can have"
        assert server.num_connections == 0


def test_the_first_alternative_with_a_secret_is_taken() -> None:
    schemes = {
        "key": {"type": "apiKey", "in": "query", "name": "key"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "odd": {"type": "mutualTLS"},
    }
    held: dict[str, Any] = {"components": {"securitySchemes": schemes}}
    security: list[Any] = [{"odd": []}, {"key": [], "bearer": []}, {"bearer": []}, {}]
    with raw_server(ok) as server:
        for names, target, header in (
            (("KEY", "BEARER"), "/x?key=v", "Bearer v"),
            (("BEARER",), "/x", "Bearer v"),
            ((), "/x", None),
        ):
            environment = {f"FUNCTIONARY_PET_STORE_{name}": "v" for name in names}
            called(tools_at(server, document({"security": security}, **held), environment=environment))
            assert (server.seen[-1].target, server.seen[-1].headers.get("authorization")) == (target, header)
        called(tools_at(server, document({"security": []}, security=[{"bearer": []}], **held)))
        assert "authorization" not in server.seen[-1].headers
        with pytest.raises(ToolSourceError, match="of a kind that is not supported"):
            tools_at(server, document({"security": [{"odd": []}]}, **held))


def test_secrets_do_not_follow_a_redirect_to_another_host() -> None:
    with raw_server(ok) as other:
        location = f"http://localhost:{other.port}/"
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
            with raw_server(response("", status, location=location)) as server:
                tools = tools_at(
                    server,
                    secured({"type": "http", "scheme": "bearer"}),
                    environment={VARIABLE: SECRET},
                    allow_hosts=["localhost"],
                )
                assert "only redirects to itself are followed" in called(tools).text
        assert other.num_connections == 0


# OAuth2 client credentials


def tokens(server_answers: list[bytes]) -> Any:
    """Return a server's function: /token gives the answers in order, all else the token that it got."""

    def respond(seen: Seen) -> bytes:
        return server_answers.pop(0) if seen.target == "/token" else response("fine", kind="text/plain")

    return respond


def token(value: str, **more: Any) -> bytes:
    return response(json.dumps({"access_token": value, "token_type": "bearer", **more}))


def used(server: RawServer) -> list[str]:
    return [seen.headers["authorization"] for seen in server.seen if seen.target == "/x"]


def test_a_token_is_fetched_once_and_again_when_it_ends() -> None:
    with raw_server(tokens([token("t1", expires_in=3600), token("t2")])) as server:
        tools = tools_at(server, secured(client_credentials(f"{server.url}/token"), ["a", "b"]), environment=CLIENT)
        assert called(tools).text == "fine"
        called(tools)
        assert used(server) == ["Bearer t1", "Bearer t1"]
        request = server.seen[0]
        assert (request.method, request.target) == ("POST", "/token")
        assert parse_qs(request.body) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
        packed = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        assert packed == "id1:s3cret%2Fvalue%2B1"
    with raw_server(tokens([token("t1", expires_in=10), token("t2")])) as server:
        tools = tools_at(server, secured(client_credentials(f"{server.url}/token")), environment=CLIENT)
        called(tools)
        called(tools)
        assert used(server) == ["Bearer t1", "Bearer t2"]


def test_a_token_that_the_server_rejects_is_not_used_again_and_the_call_is_not_repeated() -> None:
    answers = [token("t1"), token("t2")]

    def respond(seen: Seen) -> bytes:
        if seen.target == "/token":
            return answers.pop(0)
        return response("no", "401 Unauthorized") if seen.headers["authorization"] == "Bearer t1" else ok(seen)

    with raw_server(respond) as server:
        tools = tools_at(server, secured(client_credentials(f"{server.url}/token")), environment=CLIENT)
        assert called(tools).text == "Error: HTTP 401 Unauthorized: no"
        assert used(server) == ["Bearer t1"]
        assert called(tools).text == "fine"


@pytest.mark.parametrize(
    "said",
    [
        response(SECRET, "400 Bad Request"),
        response("{}"),
        response("[]"),
        response('{"access_token": 1}'),
        response('{"access_token": "a\\nb"}'),
        response('{"access_token": "a", "expires_in": "soon"}'),
        response('{"access_token": "a"}', "500 Oops"),
        response("x" * 100_000),
        response("", "302 Found", location="http://localhost/"),
        b"",
    ],
)
def test_without_a_token_there_is_no_call(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with raw_server(tokens([said])) as server, caplog.at_level(logging.DEBUG):
        tools = tools_at(server, secured(client_credentials(f"{server.url}/token")), environment=CLIENT)
        result = called(tools)
        assert result.text.startswith(f"Error: no token for {VARIABLE}: 127.0.0.1 ")
        assert SECRET not in result.text + caplog.text
        assert used(server) == []
        assert server.num_connections == 1


def test_tokens_of_another_host_need_a_permission() -> None:
    """A document must not send the secret of its client to any host that it likes."""
    with raw_server(tokens([token("t1")])) as server:
        found = secured(client_credentials(f"http://localhost:{server.port}/token"))
        with pytest.raises(ToolSourceError, match="tokens cannot be fetched: the host 'localhost' is not allowed"):
            tools_at(server, found, environment=CLIENT)
        tools = tools_at(server, found, environment=CLIENT, allow_hosts=["localhost"])
        assert called(tools).text == "fine"


def test_tokens_are_not_fetched_from_private_addresses() -> None:
    with raw_server(tokens([])) as server:
        found = secured(client_credentials(f"{server.url}/token"))
        tools = tools_at(server, found, environment=CLIENT, allow_private=False)
        assert "not public" in called(tools).text
        assert server.num_connections == 0


def test_swagger_2_schemes() -> None:
    schemes = {
        "user": {"type": "basic"},
        "app": {"type": "oauth2", "flow": "application", "tokenUrl": "https://api.example/token"},
    }
    paths = {
        "/user": {"get": {"summary": "U", "security": [{"user": []}]}},
        "/app": {"get": {"summary": "A", "security": [{"app": ["x"]}]}},
    }
    found = {
        "swagger": "2.0",
        "host": "api.example",
        "info": {"title": "A b"},
        "securityDefinitions": schemes,
        "paths": paths,
    }
    for tool, name in zip(openapi_tools(found, environment={}), ("USER", "APP"), strict=True):
        result = called({tool.name: tool}, tool.name)
        assert result.text == f"Error: the environment variable FUNCTIONARY_A_B_{name} is not set"
