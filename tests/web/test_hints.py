"""What a client with a wrong URL, name or key header is told, and the log of a client that leaves."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI

from inference import Model, load_model
from server import ROUTES, create_app
from tests.support.abuse_bytes import post
from tests.support.abuse_client import BODY, CHAT, RAW, Client, as_json, check_answer, connect, head, raw, statuses
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from tests.support.streamed import events
from web.command_line import read_options
from web.settings import Settings

KEY = "sk-functionary-of-the-hints"


@pytest.fixture(scope="module")
def app(chatml: Model) -> FastAPI:
    model, _ = scripted(chatml, "all\nhello")
    return create_app(lambda: model, Settings(own_hosts=["host.docker.internal"]))


@pytest.fixture(scope="module")
def locked_url(chatml: Model) -> Iterator[str]:
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=[KEY, "другой ключ"]))) as url:
        yield url


# Paths


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/chat/completions", CHAT),
        ("/v1/v1/chat/completions", CHAT),
        ("//v1/chat/completions", CHAT),
        ("/v1//chat/completions", CHAT),
        ("/v1/chat/completions/", CHAT),
        ("/v1/chat/completions/chat/completions", CHAT),
        ("/api/v1/chat/completions", CHAT),
        ("/openai/deployments/tiny/chat/completions", CHAT),
        ("/V1/chat/completions", CHAT),
        ("/completions", RAW),
        ("/v1/v1/completions", RAW),
        ("/models", "/v1/models"),
        ("/v1/v1/models", "/v1/models"),
        ("/models/tiny", "/v1/models/tiny"),
        ("/v1/v1/models/org/name", "/v1/models/org/name"),
    ],
)
def test_a_wrong_base_url_gets_the_right_one(url: str, path: str, right: str) -> None:
    """A base URL without /v1, or with it twice, is the usual mistake; the error says what the base URL is."""
    for method in ("GET", "POST"):
        received = raw(url, head(method, path, "Connection: close", "Content-Length: 0"))
        assert statuses(received) == [404]
        assert f"The path is {right} here: set your client's base URL to http://localhost/v1.".encode() in received


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/messages", "/v1/messages"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    ],
)
def test_anthropics_clients_have_a_base_url_without_the_version(url: str, path: str, right: str) -> None:
    """Anthropic's clients add /v1 themselves: a base URL with it leads to /v1/v1/messages."""
    received = raw(url, head("POST", path, "Connection: close", "Content-Length: 0"))
    assert statuses(received) == [404]
    assert f"The path is {right} here: set your client's base URL to http://localhost.".encode() in received


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("POST", "/v1/v1/messages", "The path is /v1/messages here: set your client's base URL to {}."),
        ("POST", "/anthropic/v1/messages", "The path is /v1/messages here: set your client's base URL to {}."),
        ("GET", "/v1/v1/models", "The path is /v1/models here: set your client's base URL to {}."),
        ("GET", "/v1/v1/models/tiny", "The path is /v1/models/tiny here: set your client's base URL to {}."),
        ("GET", "/v1/messages/batches", "the base URL for clients is {}, and"),
    ],
)
def test_a_wrong_base_url_of_anthropics_clients(url: str, method: str, path: str, says: str) -> None:
    """They got OpenAI's error without a request id; and for /v1/v1/models the wrong base URL that they already had."""
    with Client(url) as client:
        answer = client.send(method, path, headers={"anthropic-version": "2023-06-01"})
    assert answer.status == 404
    assert says.format(url) in answer.error["message"]
    assert (answer.json["type"], answer.error["type"]) == ("error", "not_found_error")
    assert answer.json["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


def test_the_right_base_url_is_the_one_under_which_the_client_came(url: str) -> None:
    request = head("GET", "/models", "Connection: close").replace(b"localhost", b"host.docker.internal:81", 1)
    assert b"http://host.docker.internal:81/v1." in raw(url, request)
    whole = head("GET", "http://127.0.0.1:82/models", "Connection: close")
    assert b"http://127.0.0.1:82/v1." in raw(url, whole)


@pytest.mark.parametrize("path", ["/v1/tokenize", "/tokenize/", "/v1/detokenize", "/v1/health", "/x/openapi.json"])
def test_a_route_that_is_not_below_the_version(url: str, path: str) -> None:
    """vLLM's /tokenize is not below /v1, but the base URL of clients is. The error listed the routes without it."""
    with Client(url) as client:
        answer = client.send("POST", path)
    right = "/" + path.strip("/").split("/")[-1]
    assert (answer.status, answer.error["message"].split(". ")[-1]) == (404, f"The path is {right} here.")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/nope", "/v1/chat", "/" + "a" * 5_000])
def test_an_unknown_path_says_what_is_served(url: str, path: str) -> None:
    with Client(url) as client:
        answer = client.send("GET", path)
        check_answer(answer)
        assert answer.status == 404
        message = answer.error["message"]
        for route in ROUTES:
            if route.path.startswith("/v1/") and "{" not in route.path:
                assert f"{route.method} {route.path}" in message
        assert f"the base URL for clients is {url}/v1, and /docs describes all routes." in message


def test_a_wrong_method_names_the_right_ones(url: str) -> None:
    with Client(url) as client:
        answer = client.send("GET", CHAT)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert "This path takes POST." in answer.error["message"]
        answer = client.send("POST", "/v1/models")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models%2f"])
def test_a_slash_after_models_is_the_list(url: str, path: str) -> None:
    """`GET /v1/models/` was answered with "The model '' does not exist"."""
    with Client(url) as client:
        answer = client.send("GET", path)
        assert (answer.status, answer.json) == (200, client.send("GET", "/v1/models").json)


def test_the_root_says_where_things_are(url: str, locked_url: str) -> None:
    """Clients and people try the root first. It needs no key and holds no secret."""
    for base in (url, locked_url):
        with Client(base) as client:
            answer = client.send("GET", "/")
            assert answer.status == 200
            about = answer.json
            assert about.keys() == {"name", "version", "base_url", "docs"}
            assert (about["base_url"], about["docs"]) == (f"{base}/v1", "/docs")
            assert client.send("HEAD", "/").status == 200
    for lines in (("Host: evil.example",), ("Host: localhost", "Origin: http://evil.example")):
        request = "\r\n".join(("GET / HTTP/1.1", *lines, "Connection: close", "", "")).encode()
        assert statuses(raw(url, request)) == [403]


# Whole URLs as targets, as proxies send them


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost/v1/models", "localhost", 200),
        ("HTTP://LOCALHOST:8000/v1/models?x=y", "localhost", 200),
        ("https://127.0.0.1/v1/models", "127.0.0.1:8000", 200),
        ("http://localhost", "localhost", 200),
        ("http://localhost/v1/models", "evil.example", 403),
        ("http://evil.example/v1/models", "localhost", 403),
        ("http://evil.example/v1/models", "evil.example", 403),
        ("http://localhost@evil.example/v1/models", "localhost", 403),
        ("http://evil.example@localhost/v1/models", "localhost", 403),
        ("http:///v1/models", "localhost", 403),
        ("http://localhost.evil.example/live", "localhost", 403),
        ("http://localhost/v1/http://localhost/live", "localhost", 404),
    ],
)
def test_a_whole_url_is_read_as_its_path(url: str, target: str, host: str, status: int) -> None:
    """A proxy's `GET http://host/path` was a 404. Its host counts; without keys Host must be ours too."""
    received = raw(url, f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert statuses(received) == [status], received


def test_a_whole_url_needs_the_key_of_its_path(locked_url: str) -> None:
    for target, status in (("http://x/live", 200), ("http://x/v1/models", 401), ("http://x/live/../v1/models", 401)):
        assert statuses(raw(locked_url, head("GET", target, "Connection: close"))) == [status]
    with_key = head("GET", "http://x/v1/models", f"Authorization: Bearer {KEY}", "Connection: close")
    assert statuses(raw(locked_url, with_key)) == [200]


# Hosts, keys and models


def test_an_unknown_host_is_told_the_option(chatml: Model, url: str) -> None:
    """A container calls its host as host.docker.internal, and met a 403 that did not say what to do."""
    request = head("GET", "/v1/models", "Connection: close").replace(b"localhost", b"host.docker.internal:8000", 1)
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model)) as closed:
        received = raw(closed, request)
    assert statuses(received) == [403]
    assert b"--allow-host host.docker.internal admits it" in received
    assert statuses(raw(url, request)) == [200]
    assert read_options(["--allow-host", "A.example:80", "b"]).allow_host == ["a.example", "b"]
    with pytest.raises(SystemExit):
        read_options(["--allow-host", "http://a"])


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "X-API-Key"])
@pytest.mark.parametrize("key", [KEY, "другой ключ"])
def test_a_key_in_the_headers_of_other_apis(locked_url: str, header: str, key: str) -> None:
    """Anthropic's clients send x-api-key and Azure's api-key; they met a 401 that asked for a key."""
    sent = key.encode().decode("latin-1")
    with Client(locked_url) as client:
        assert client.send("GET", "/v1/models", headers={header: sent}).status == 200
        assert client.send("POST", CHAT, as_json(BODY), {header: sent}).status == 200
        for wrong in (sent[:-1], sent + "x", f"Bearer {sent}", f"{sent}, {sent}"):
            answer = client.send("GET", "/v1/models", headers={header: wrong})
            check_answer(answer)
            assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
            assert KEY not in answer.body.decode()


def test_one_right_key_is_enough(locked_url: str) -> None:
    """A proxy's own Authorization stands beside the key of the server."""
    with Client(locked_url) as client:
        for authorization in ("Basic dXNlcjpwYXNz", "Bearer placeholder", "Bearer "):
            headers = {"Authorization": authorization, "x-api-key": KEY}
            assert client.send("GET", "/v1/models", headers=headers).status == 200
        assert client.send("GET", "/v1/models", headers={"Authorization": "Bearer a", "api-key": "b"}).status == 401
        nothing = client.send("GET", "/v1/models", headers={"x-api-key": " ", "api-key": ""})
        assert (nothing.status, nothing.error["code"]) == (401, None)


def test_the_header_of_a_key_does_not_matter_for_its_cache(chatml: Model) -> None:
    """The owner of a request is its key, whichever header holds it."""
    model, engine = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=[KEY]))) as url, Client(url) as client:
        owners = []
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"api-key": KEY}):
            assert client.send("POST", CHAT, as_json(BODY), headers).status == 200
            assert engine.last_sampling is not None
            owners.append(engine.last_sampling.owner)
    assert len(set(owners)) == 1 and owners[0]


def test_an_unknown_model_names_the_served_ones(url: str) -> None:
    with Client(url) as client:
        for answer in (client.chat(model="gpt-4o"), client.send("GET", "/v1/models/gpt-4o")):
            assert (answer.status, answer.error["code"]) == (404, "model_not_found")
            assert answer.error["message"].endswith("This server has: tiny.")  # and no path of a folder


def test_a_star_takes_any_model_name(chatml: Model) -> None:
    """`--served-model-name '*'` is for clients whose model name cannot be set. Answers repeat the name."""
    model, _ = scripted(replace(chatml, takes_any_name=True), "all\nhello")
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        assert client.chat(model="gpt-4o").json["model"] == "gpt-4o"
        *chunks, _ = events(client.chat(model="any/thing", stream=True).body)
        assert all('"model":"any/thing"' in chunk for chunk in chunks)
        assert client.send("GET", "/v1/models/gpt-4o").json["id"] == "gpt-4o"
        assert [card["id"] for card in client.send("GET", "/v1/models").json["data"]] == list(chatml.names)


def test_a_star_is_no_name(chatml_folder: object) -> None:
    model = load_model(str(chatml_folder), served_names=["*", "tiny"], dtype="float32")
    assert (model.names, model.takes_any_name) == (("tiny", str(chatml_folder)), True)
    assert model.serves("anything") and model.serves("*")


# Clients that leave


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_is_logged_as_499(chatml: Model, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A whole answer whose client had left was logged with status 0, a stream with 200 as if it were complete."""
    caplog.set_level(logging.INFO)
    model, _ = scripted(chatml, "all\n" + "hello " * 200, step_s=0.05)
    body = as_json({**BODY, "stream": stream, "max_tokens": 200})
    with serving(create_app(lambda: model)) as url:
        with connect(url) as client:
            client.sendall(post(body))
            if stream:
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            else:
                time.sleep(0.3)
        deadline = time.monotonic() + 5
        while not (lines := [one for one in caplog.messages if CHAT in one]) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert f"POST '{CHAT}' 499 " in lines[0]


def test_half_a_body_and_gone_is_499(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with connect(url) as client:
        client.sendall(head("POST", CHAT, "Content-Length: 100") + b"{")
        time.sleep(0.1)
    deadline = time.monotonic() + 5
    while not caplog.messages and time.monotonic() < deadline:
        time.sleep(0.02)
    assert f"POST '{CHAT}' 499 " in caplog.text
