"""Group J of the hostile requests: access without a right API key.

The tests send wrong API keys, paths around the check of the key, and requests as web pages in a local browser do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from inference import Model
from server import create_app
from tests.support.abuse_bytes import GOOD, UNKNOWN_PATHS
from tests.support.abuse_client import (
    CANARY,
    CHAT,
    Client,
    check_answer,
    check_error,
    head,
    raw,
    statuses,
)
from tests.support.all_routes import CASES, PAGES, PUBLIC
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.settings import Settings

KEY = "sk-functionary-0123456789abcdef"
KEYS = (KEY, "another key with spaces", "ключ-🔑")


@pytest.fixture(scope="module")
def app(chatml: Model) -> FastAPI:
    model, _ = scripted(chatml, "all\nhello")
    return create_app(lambda: model)


@pytest.fixture(scope="module")
def locked_url(chatml: Model) -> Iterator[str]:
    """A server that requires an API key."""
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=KEYS))) as url:
        yield url


@pytest.fixture(autouse=True)
def silent_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server logs no traceback, no prompt, no key and no line break of a client."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record.getMessage() for record in caplog.records if record.exc_info]
    assert not [secret for secret in (CANARY, *KEYS) if secret in caplog.text]
    assert all(record.getMessage().isprintable() for record in caplog.records)


def check_health(url: str) -> None:
    with Client(url) as client:
        client.check_health()


WRONG_KEYS: dict[str, str | None] = {
    "none": None,
    "empty": "",
    "scheme alone": "Bearer",
    "scheme and a space": "Bearer ",
    "another scheme": f"Basic {KEY}",
    "no scheme": KEY,
    "a beginning": f"Bearer {KEY[:-1]}",
    "one letter": f"Bearer {KEY[0]}",
    "longer": f"Bearer {KEY}x",
    "twice": f"Bearer {KEY} {KEY}",
    "a list": f"Bearer {KEY}, {KEY}",
    "other case": f"Bearer {KEY.upper()}",
    "quoted": f'Bearer "{KEY}"',
    "NUL's neighbour": f"Bearer {KEY}\x01",
    "Latin-1": "Bearer \xff\xfe\xe9",
    "a digest": "Bearer b7cbcda0f0e4ccfd0b1e6b1f1c8ff5e0",
    "10 kB": "Bearer " + "k" * 10_000,
    "star": "Bearer *",
}
# Paths that some servers have mistaken for a public path.
BYPASSES = (
    *(case.path for case in CASES if case.path not in PUBLIC),
    *PAGES,
    "/v1/models/tiny",
    *UNKNOWN_PATHS,
    *(
        "/live/../v1/models",
        "/live/%2e%2e/v1/models",
        "/live%2f..%2fv1%2fmodels",
        "/live//v1/models",
        "/live/v1/models",
    ),
    *(
        "/v1/models?/live",
        "/v1/models?x=/health",
        "/v1/models;/live",
        "/v1/models%3f/live",
        "/v1/models#/live",
        "/Live",
    ),
    *(
        "/live%00",
        "/live%20",
        "/live.",
        "/%6cive/",
        "/./live",
        "//live",
        "/v1/../live",
        "\\live",
        "http://localhost/v1/models",
        "http://localhost/live/",
        "http://localhost//live",
    ),
)
HOSTS = (
    "localhost/live",
    "a/?x=",
    "localhost/live?x=",
    "x@localhost",
    "live",
    "/live",
    "localhost#/live",
    "[::1]/live",
)


def test_wrong_keys(locked_url: str, subtests: pytest.Subtests) -> None:
    """Each wrong key gets a 401, and the answer shows at most the ends of the key."""
    for name, value in WRONG_KEYS.items():
        with subtests.test(name):
            with Client(locked_url) as client:
                for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/nope"), ("DELETE", "/docs")):
                    answer = client.send(method, path, headers={} if value is None else {"Authorization": value})
                    check_answer(answer)
                    assert answer.status == 401
                    assert answer.error["code"] in ("invalid_api_key", None)
                    assert answer.headers["www-authenticate"] == "Bearer"
                    assert not [key for key in KEYS if key in answer.body.decode()]
            with Client(locked_url, KEY) as client:
                client.check_health()


def test_a_key_belongs_into_its_header(locked_url: str) -> None:
    with Client(locked_url) as client:
        for path in (f"/v1/models?api_key={KEY}", f"/v1/models?key={KEY}"):
            assert client.send("GET", path).status == 401
        for header in ("x-api-key", "api-key", "Cookie", "Proxy-Authorization"):
            assert client.send("GET", "/v1/models", headers={header: f"Bearer {KEY}"}).status == 401
        for header in ("x-key", "Cookie", "Proxy-Authorization"):
            assert client.send("GET", "/v1/models", headers={header: KEY}).status == 401
    both = head("GET", "/v1/models", "Authorization: Bearer x", f"Authorization: Bearer {KEY}", "Connection: close")
    assert statuses(raw(locked_url, both)) == [401]


@pytest.mark.parametrize("key", KEYS)
def test_right_keys(locked_url: str, key: str) -> None:
    """A right key is accepted. A key can have any characters, since its bytes are compared.

    Upper and lower case make no difference in the scheme `Bearer`.
    """
    sent = key.encode().decode("latin-1")
    with Client(locked_url, sent) as client:
        client.check_health()
        for scheme in ("bearer", "BEARER"):
            assert client.send("GET", "/v1/models", headers={"Authorization": f"{scheme} {sent}"}).status == 200


def test_no_path_avoids_the_key(locked_url: str) -> None:
    for path in BYPASSES:
        for method in ("GET", "POST", "OPTIONS"):
            received = raw(locked_url, head(method, path, "Connection: close", "Content-Length: 0"))
            assert statuses(received) in ([401], [400]), (path, received)
    for host in HOSTS:
        request = head("GET", "/v1/models", "Connection: close").replace(b"localhost", host.encode(), 1)
        assert statuses(raw(locked_url, request)) in ([401], [400]), host
    for path in ("/", "/live", "/ready", "/health", "/live?x=y", "/%6cive", "http://localhost/live"):
        assert statuses(raw(locked_url, head("GET", path, "Connection: close"))) == [200]
    with Client(locked_url, KEY) as client:
        client.check_health()


# Foreign sites: without an API key, any web page could call the server from a local browser


@pytest.mark.parametrize(
    "lines",
    [
        ("Host: evil.example",),
        ("Host: localhost.evil.example",),
        ("Host: 127.0.0.1.evil.example:8000",),
        ("Host: evil.example:127.0.0.1",),
        ("Host: localhost@evil.example",),
        ("Host: [::1].evil.example",),
        ("Host: 0.0.0.0",),
        ("Host: 127.1",),
        ("Host:",),
        ("Host: localhost", "Origin: http://evil.example"),
        ("Host: localhost", "Origin: null"),
        ("Host: localhost", "Origin: http://localhost.evil.example"),
        ("Host: localhost", "Origin: http://localhost:3000"),
        ("Host: localhost", "Origin: localhost"),
        ("Host: evil.example", "Origin: http://evil.example"),
    ],
)
def test_foreign_sites(url: str, lines: tuple[str, ...]) -> None:
    for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/live"), ("OPTIONS", CHAT)):
        request = "\r\n".join((f"{method} {path} HTTP/1.1", *lines, "Connection: close", "", "")).encode()
        received = raw(url, request)
        assert statuses(received) == [403], received
        check_error(received.partition(b"\r\n\r\n")[2])
        assert b"access-control-allow" not in received.lower()
    check_health(url)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "localhost."])
def test_our_own_site(url: str, host: str) -> None:
    for origin in ((), (f"Origin: http://{host}",)):
        lines = (f"Host: {host}", *origin, "Connection: close", f"Content-Length: {len(GOOD)}")
        request = "\r\n".join((f"POST {CHAT} HTTP/1.1", *lines, "", "")).encode() + GOOD
        received = raw(url, request, silence_s=5)
        assert statuses(received) == [200]
        answer: Any = json.loads(received.partition(b"\r\n\r\n")[2])
        assert answer["choices"][0]["message"]["role"] == "assistant"


def test_with_a_key_any_site_may_call(locked_url: str) -> None:
    lines = (
        "Host: functionary.example",
        "Origin: https://app.example",
        f"Authorization: Bearer {KEY}",
        "Connection: close",
    )
    request = "\r\n".join(("GET /v1/models HTTP/1.1", *lines, "", "")).encode()
    received = raw(locked_url, request)
    assert statuses(received) == [200]
    assert b"access-control-allow" not in received.lower()  # without --allow-origin
