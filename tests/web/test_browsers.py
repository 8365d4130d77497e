"""Web pages of other sites: CORS with `--allow-origin`, preflights, and errors that a page can read."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from inference import Model
from server import create_app
from tests.support.abuse_bytes import GOOD
from tests.support.abuse_client import BODY, CHAT, Answer, Client, as_json, check_error
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.command_line import introduction, read_options
from web.settings import Settings

SITE = "https://app.example"
KEY = "sk-key-of-a-page"
ASKS = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


@pytest.fixture(scope="module")
def url(chatml: Model) -> Iterator[str]:
    """A server without a key that admits one site and local files."""
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(allow_origins=[SITE, "null"]))) as url:
        yield url


@pytest.fixture(scope="module")
def locked_url(chatml: Model) -> Iterator[str]:
    """A server with a key that admits every site."""
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=[KEY], allow_origins=["*"]))) as url:
        yield url


@pytest.fixture(scope="module")
def closed_urls(chatml: Model) -> Iterator[list[str]]:
    """Two servers that admit no site: without a key, and with one."""
    model, _ = scripted(chatml, "all\nhello")
    with (
        serving(create_app(lambda: model)) as open_url,
        serving(create_app(lambda: model, Settings(api_keys=[KEY]))) as locked,
    ):
        yield [open_url, locked]


def preflight(url: str, path: str, origin: str, **more: str) -> Answer:
    headers = {"Origin": origin, **ASKS, **{name.replace("_", "-"): value for name, value in more.items()}}
    with Client(url) as client:
        return client.send("OPTIONS", path, headers=headers)


def admits(answer: Answer) -> dict[str, str]:
    """Return the CORS headers of an answer."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_a_preflight_of_a_private_network(url: str) -> None:
    """Chrome asks before a public page calls an address in a private network, and needs a header in the answer."""
    answer = preflight(url, CHAT, SITE, Access_Control_Request_Private_Network="true")
    assert admits(answer)["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("origin", [SITE, "null"])
def test_an_admitted_page_reads_answers(url: str, origin: str) -> None:
    with Client(url) as client:
        for stream in (False, True):
            body = as_json({**BODY, "stream": stream, "unknown": 1})
            answer = client.send("POST", CHAT, body, {"Origin": origin})
            assert answer.status == 200
            assert admits(answer)["access-control-allow-origin"] == origin
            exposed = admits(answer)["access-control-expose-headers"].split(", ")
            assert {"x-request-id", "request-id", "x-ignored-fields", "retry-after"} == set(exposed)
            assert answer.headers["vary"] == "Origin"
        assert client.send("GET", "/live").headers["vary"] == "Origin"  # else a cache could mix the two up


def test_an_admitted_page_reads_errors(url: str, locked_url: str) -> None:
    """Without CORS headers a page sees only "network error", whatever the error was."""
    cases = {
        400: (url, "POST", CHAT, b"{", {}),
        401: (locked_url, "POST", CHAT, GOOD, {}),
        403: (url, "POST", CHAT, GOOD, {"Host": "host.docker.internal"}),
        404: (url, "POST", "/chat/completions", GOOD, {}),
        405: (url, "GET", CHAT, b"", {}),
        413: (url, "POST", CHAT, b" " * (2**21 + 1), {}),
        415: (url, "POST", CHAT, GOOD, {"Content-Encoding": "br"}),
    }
    for status, (base, method, path, body, headers) in cases.items():
        with Client(base) as client:
            answer = client.send(method, path, body, {"Origin": SITE, **headers})
            assert answer.status == status
            check_error(answer.body)
            assert admits(answer)["access-control-allow-origin"] in (SITE, "*")


def test_with_a_key_a_page_needs_the_key(locked_url: str) -> None:
    with Client(locked_url, KEY) as client:
        answer = client.send("POST", CHAT, GOOD, {"Origin": "https://any.example"})
        assert (answer.status, admits(answer)["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.evil.example",
        "https://app.example:444",
        "http://app.example",
        "https://x.app.example",
        "HTTPS://APP.EXAMPLE",
        "*",
        "",
    ],
)
def test_any_other_page_is_refused(url: str, origin: str) -> None:
    for answer in (preflight(url, CHAT, origin), preflight(url, "/live", origin)):
        assert (answer.status, admits(answer)) == (403, {})
        check_error(answer.body)
    with Client(url) as client:
        answer = client.send("POST", CHAT, GOOD, {"Origin": origin})
        assert (answer.status, admits(answer)) == (403, {})


@pytest.mark.parametrize("origin", ["http://localhost:3000", "null", "chrome-extension://abc"])
def test_by_default_no_page_is_admitted_and_the_error_names_the_option(
    closed_urls: list[str], origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The 403 for a foreign page names the option that admits it; the log too, since browsers hide the error."""
    caplog.set_level(logging.INFO)
    for url in closed_urls:
        answer = preflight(url, CHAT, origin)
        assert (answer.status, admits(answer)) == (403, {})
        assert f"--allow-origin {origin} admits" in answer.error["message"]
        assert f"--allow-origin {origin} admits" in caplog.text
        caplog.clear()
    with Client(closed_urls[0]) as client:
        answer = client.send("POST", CHAT, GOOD, {"Origin": origin})
        assert (answer.status, admits(answer)) == (403, {})
    with Client(closed_urls[1], KEY) as client:  # with its key any program is served; browsers do not show the answer
        answer = client.send("POST", CHAT, GOOD, {"Origin": origin})
        assert (answer.status, admits(answer)) == (200, {})


def test_a_hostile_origin_is_not_repeated(closed_urls: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for origin in ("https://a\x1b[31m", "https://\xe9", "a b", "https://a/" + "x" * 5_000, "https://" + "x" * 5_000):
        answer = preflight(closed_urls[0], CHAT, origin)
        assert answer.status in (400, 403)
        check_error(answer.body)
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_origins_on_the_command_line() -> None:
    """Origins are compared as browsers send them, so they may be written with a slash, capitals or the usual port."""
    written = [
        "https://App.Example/",
        "http://localhost:80",
        "https://x:443",
        "http://x:443",
        "*",
        "null",
        "app://obsidian.md",
    ]
    meant = ["https://app.example", "http://localhost", "https://x", "http://x:443", "*", "null", "app://obsidian.md"]
    assert read_options(["--allow-origin", *written]).allow_origin == meant
    assert read_options(["--allow-origin", "*", "--allow-origin", "null"]).allow_origin == ["*", "null"]


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/page", "https://", "https://a@b", "https://a b", "https://*.example"]
)
def test_what_is_no_origin_is_an_error(origin: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(["--allow-origin", origin])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not an origin; use one such as https://app.example" in line


def test_the_start_lines_warn_if_any_site_may_use_the_model(chatml: Model) -> None:
    for options, warns in (
        (["--allow-origin", "*"], True),
        (["--allow-origin", "null"], True),
        (["--allow-origin", SITE], False),
        (["--allow-origin", "*", "--api-key", KEY], False),
        ([], False),
    ):
        lines = introduction(chatml, read_options(options), 8000)
        assert ("any web site in a browser here may use the model" in lines) == warns
