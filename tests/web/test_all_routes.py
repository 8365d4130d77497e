"""What holds on every route: keys, hosts, web sites, HEAD, request ids, metrics, and errors in the route's dialect.

The routes come from server.ROUTES, so a new one is tested by itself; a new POST route needs a body in
tests/support/all_routes.py.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
from collections.abc import AsyncGenerator, Iterator

import pytest
from fastapi import FastAPI
from starlette.routing import compile_path

from core.errors import EngineBusy
from core.generation import Step
from inference import Model
from server import ROUTES, create_app
from tests.support.abuse_bytes import METHODS, UNKNOWN_PATHS
from tests.support.abuse_client import (
    CHAT,
    RAW,
    Answer,
    Client,
    as_json,
    check_answer,
    check_error,
    head,
    raw,
    statuses,
)
from tests.support.all_routes import BODIES, CASES, GETS, NO_ID, PAGES, POSTS, PUBLIC, Case, need_bodies
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.body import MAX_BODY
from web.connection import MAX_HEAD
from web.openapi import Route
from web.settings import Settings

KEY = "sk-functionary-of-all-routes"
SITE = "https://app.example"
UNKNOWN_FIELD = "zzz_unknown"
CANARY = "canary51c9"
WRONG_VALUES: tuple[object, ...] = (5.5, True, {"x": 1}, [[{}]])


@pytest.fixture(scope="module", autouse=True)
def bodies() -> None:
    need_bodies()


@pytest.fixture(scope="module")
def model(chatml: Model) -> Model:
    return scripted(chatml, "all\nhello")[0]


@pytest.fixture(scope="module")
def app(model: Model) -> FastAPI:
    """An application without keys, whose server is at `url`."""
    return create_app(lambda: model, Settings(own_hosts=["our-name"], allow_origins=[SITE]))


@pytest.fixture(scope="module")
def locked_url(model: Model) -> Iterator[str]:
    with serving(create_app(lambda: model, Settings(api_keys=["another", KEY]))) as url:
        yield url


@pytest.fixture(scope="module")
def pages_url(model: Model) -> Iterator[str]:
    """A server with a key that admits the pages of every site."""
    with serving(create_app(lambda: model, Settings(api_keys=[KEY], allow_origins=["*"]))) as url:
        yield url


@pytest.fixture(scope="module")
def strict_url(model: Model) -> Iterator[str]:
    with serving(create_app(lambda: model, Settings(strict_openai=True))) as url:
        yield url


@pytest.fixture(autouse=True)
def silent_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server logs no traceback, no key, no text of a body, and no line break of a client."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record.getMessage() for record in caplog.records if record.exc_info]
    assert KEY not in caplog.text and CANARY not in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)


def asked(received: bytes) -> Answer:
    """Return the one answer in what a connection received."""
    top, _, body = received.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(statuses(received)) == 1, received
    return Answer(int(first.split()[1]), headers, body)


def raw_case(case: Case, *lines: str, body: bytes = b"") -> bytes:
    own = (f"{name}: {value}" for name, value in case.headers.items())
    return head(case.method, case.path, *own, *lines, "Connection: close") + body


# Good requests


def test_every_route_serves_its_request(url: str, subtests: pytest.Subtests) -> None:
    with Client(url) as client:
        for case in CASES:
            with subtests.test(case.name):
                answer = case.send(client)
                assert answer.status == case.status, answer
                assert answer.headers["openai-processing-ms"].isdecimal()
                assert "x-ignored-fields" not in answer.headers


@pytest.mark.parametrize("packing", ["chunked", "gzip", "gzip, chunked"])
def test_every_route_reads_packed_bodies(url: str, subtests: pytest.Subtests, packing: str) -> None:
    for case in POSTS:
        with subtests.test(case.name):
            body = gzip.compress(case.body) if "gzip" in packing else case.body
            lines = ["Content-Encoding: gzip"] if "gzip" in packing else []
            if "chunked" in packing:
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
                lines.append("Transfer-Encoding: chunked")
            else:
                lines.append(f"Content-Length: {len(body)}")
            answer = asked(raw(url, raw_case(case, *lines, body=body), silence_s=5))
            case.check(answer)
            assert answer.status == case.status, answer


# HEAD


def test_head_is_served_wherever_get_is(url: str, subtests: pytest.Subtests) -> None:
    """HEAD gives GET's status and headers without a body, so that the next answer on the connection is found."""
    others = ("/v1/models/", "/v1/models/nope", "/nope", "/v1/chat/completions")
    for case in (*GETS, *(Case("GET", path, path) for path in (*PAGES, *others))):
        with subtests.test(case.name), Client(url) as client:
            get, answer = case.send(client), case.send(client, method="HEAD")
            assert (answer.status, answer.body) == (get.status, b"")
            varying = {"x-request-id", "request-id", "openai-processing-ms", "date"}
            varying |= {"content-length"} if case.path == "/metrics" else set()
            assert answer.headers.keys() == get.headers.keys()
            for name in answer.headers.keys() - varying:
                assert answer.headers[name] == get.headers[name], name
            assert int(answer.headers["content-length"]) > 0
    received = raw(url, head("HEAD", "/live") + head("GET", "/live", "Connection: close"))
    assert statuses(received) == [200, 200]
    assert received.count(b'{"status":"ok"}') == 1


# Keys


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "api-key"])
def test_every_route_needs_the_key(locked_url: str, subtests: pytest.Subtests, header: str) -> None:
    before = "Bearer " if header == "Authorization" else ""
    for case in (*CASES, *(Case("GET", path, path) for path in PAGES), Case("GET", "other", "/nope", status=404)):
        with subtests.test(case.name), Client(locked_url) as client:
            for key in (None, "", KEY[:-1], f"{KEY}x", "another key"):
                answer = case.send(client, headers={} if key is None else {header: before + key})
                assert answer.status == (case.status if case.path in PUBLIC else 401), (key, answer)
                if case.path not in PUBLIC:
                    assert answer.headers["www-authenticate"] == "Bearer"
                    assert KEY not in answer.body.decode()
            assert case.send(client, headers={header: before + KEY}).status == case.status
            if case.method == "GET":
                assert case.send(client, method="HEAD").status == (case.status if case.path in PUBLIC else 401)
                assert case.send(client, method="HEAD", headers={header: before + KEY}).status == case.status


def test_the_key_is_checked_before_the_body_and_the_method(locked_url: str, subtests: pytest.Subtests) -> None:
    for case in CASES:
        if case.path in PUBLIC:
            continue
        with subtests.test(case.name), Client(locked_url) as client:
            assert case.send(client, body=b"{").status == 401
            assert case.send(client, method="PATCH").status == 401
            assert case.send(client, path=case.path + "/").status == 401


# Hosts and web sites


def test_hosts(url: str, subtests: pytest.Subtests) -> None:
    """Without keys only our own hosts are served: a web site could point its name at a server on loopback."""
    for case in CASES:
        with subtests.test(case.name), Client(url) as client:
            for host in ("localhost:1", "127.0.0.1", "[::1]:8000", "our-name", "OUR-NAME:80"):
                assert case.send(client, headers={"Host": host}).status == case.status, host
            for host in ("evil.example", "our-name.evil.example", "localhost@evil.example", "0.0.0.0"):
                answer = case.send(client, headers={"Host": host})
                assert answer.status == 403, host
                assert "access-control-allow-origin" not in answer.headers


def test_with_a_key_any_host_and_site_is_served(locked_url: str, subtests: pytest.Subtests) -> None:
    for case in CASES:
        with subtests.test(case.name), Client(locked_url, KEY) as client:
            answer = case.send(client, headers={"Host": "evil.example", "Origin": "https://evil.example"})
            assert answer.status == case.status
            assert "access-control-allow-origin" not in answer.headers


def test_web_sites(url: str, subtests: pytest.Subtests) -> None:
    """An admitted page reads answers and errors; any other page is refused, on public routes too."""
    for case in CASES:
        with subtests.test(case.name), Client(url) as client:
            for answer in (
                case.send(client, headers={"Origin": SITE}),
                case.send(client, method="BREW", headers={"Origin": SITE}),
            ):
                assert answer.status in (case.status, 405)
                assert answer.headers["access-control-allow-origin"] == SITE
                assert answer.headers["vary"].endswith("Origin")
            for origin in (
                "https://evil.example",
                "null",
                "http://app.example",
                f"{SITE}.evil.example",
                "http://localhost:3000",
            ):
                answer = case.send(client, headers={"Origin": origin})
                assert answer.status == 403, origin
                assert "access-control-allow-origin" not in answer.headers


def test_preflights_need_no_key(url: str, pages_url: str, subtests: pytest.Subtests) -> None:
    """Browsers send no key with a preflight, so each preflight met a 401 and no page could call the server."""
    names = "authorization,content-type,anthropic-version"
    for case in (*CASES, Case("GET", "other", "/v1/nope")):
        with subtests.test(case.name), Client(url) as client:
            asks = {"Access-Control-Request-Method": case.method, "Access-Control-Request-Headers": names}
            with Client(pages_url) as locked:
                for shown, one in ((SITE, client), ("*", locked)):
                    answer = case.send(one, method="OPTIONS", body=b"", headers={"Origin": SITE, **asks})
                    assert (answer.status, answer.body) == (204, b"")
                    assert answer.headers["access-control-allow-origin"] == shown
                    assert answer.headers["access-control-allow-headers"] == names
                    assert case.method in answer.headers["access-control-allow-methods"].split(", ")
                    assert "access-control-allow-private-network" not in answer.headers
            answer = case.send(client, method="OPTIONS", body=b"", headers={"Origin": "https://evil.example", **asks})
            assert answer.status == 403
            assert not [name for name in answer.headers if name.startswith("access-control-allow")]


# Request ids and metrics


def test_request_ids(url: str, subtests: pytest.Subtests) -> None:
    for case in CASES:
        with subtests.test(case.name), Client(url) as client:
            for body in (None, b"{") if case in POSTS else (None,):
                assert (
                    case.send(client, body=body, headers={"x-request-id": "my_ID-1"}).headers["x-request-id"]
                    == "my_ID-1"
                )
                made = set()
                for foreign in ("", "a b", "x" * 65, "a/b", "é"):
                    made.add(case.send(client, body=body, headers={"x-request-id": foreign}).headers["x-request-id"])
                assert len(made) == 5
                assert all(re.fullmatch("req_[0-9a-f]{24}", one) for one in made)


def test_labels_of_metrics_are_routes(model: Model) -> None:
    """Each answer is counted under its route; unknown paths and methods share one label.

    If each had its own, clients could add labels without end.
    """
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        for number, case in enumerate(CASES):
            case.send(client)
            case.send(client, path=f"{case.path}?{CANARY}={number}")
            client.send(case.method, f"{case.path}/{CANARY}{number}", case.body, case.headers)
            case.send(client, method=f"{CANARY}{number}".upper())
        text = client.send("GET", "/metrics").body.decode()
    counted = re.findall(
        r'^functionary:http_requests_total\{route="([^"]*)",status="([^"]*)"\} (\S+)', text, re.MULTILINE
    )
    assert {route for route, _, _ in counted} == {*(route.path for route in ROUTES), "other"}
    assert {status for _, status, _ in counted} == {"2xx", "4xx"}
    assert {one[:2]: float(one[2]) for one in counted}["other", "4xx"] >= len(CASES) / 2
    assert CANARY not in text.lower()


# URLs and methods


def test_every_route_and_method(url: str, subtests: pytest.Subtests) -> None:
    """A wrong method is a 405 that lists the right ones, and an unknown path is a 404; both in the route's dialect."""
    for case in CASES:
        matching = {route.method for route in ROUTES if compile_path(route.path)[0].match(case.path)}
        allowed = matching | ({"HEAD"} if "GET" in matching else set())
        with subtests.test(case.name), Client(url) as client:
            for method in (*METHODS, case.method.lower()):
                answer = case.send(client, method=method)
                if method in allowed:
                    assert answer.status in (200, 400, 404), answer
                    continue
                assert answer.status == 405, (method, answer)
                assert set(answer.headers["allow"].split(", ")) == allowed
                if method != "HEAD":
                    assert "This path takes " in case.message(answer)
    with Client(url) as client:
        for path in UNKNOWN_PATHS:
            for method in METHODS:
                answer = client.send(method, path)
                assert answer.status in (404, 405), (path, answer)
                if method != "HEAD":
                    check_answer(answer)


def test_a_slash_at_the_end_is_no_redirect(url: str, subtests: pytest.Subtests) -> None:
    """A redirect would lose the body of a POST, or send the key elsewhere."""
    for case in CASES:
        with subtests.test(case.name), Client(url) as client:
            answer = case.send(client, path=f"{case.path.rstrip('/')}//")
            assert answer.status in (200, 404), answer
            assert "location" not in answer.headers


# Bodies


def wrong_bodies(case: Case) -> dict[str, tuple[bytes, dict[str, str], int]]:
    """Return bodies with their headers and the status of the answer."""
    good, packed = case.body, gzip.compress(case.body)
    deep = as_json({**BODIES[case.route], UNKNOWN_FIELD: json.loads("[" * 200 + "]" * 200)})
    return {
        "no body": (b"", {}, 400),
        "a text": (CANARY.encode(), {}, 400),
        "cut": (good[:-1], {}, 400),
        "twice": (good * 2, {}, 400),
        "an array": (b"[" + good + b"]", {}, 400),
        "null": (b"null", {}, 400),
        "a string": (b'"x"', {}, 400),
        "an empty object": (b"{}", {}, 400),
        "NUL": (b"\0", {}, 400),
        "NUL before it": (b"\0" + good, {}, 400),
        "a byte order mark": (b"\xef\xbb\xbf" + good, {}, 400),
        "UTF-16": (good.decode().encode("utf-16"), {}, 400),
        "invalid UTF-8": (good[:-1] + b',"x":"\xff"}', {}, 400),
        "a lone surrogate": (good[:-1] + rb',"x":"\ud83d"}', {}, 400),
        "NaN": (good[:-1] + b',"x":NaN}', {}, 400),
        "too deep": (deep, {}, 400),
        "as deep as a bomb": (b'{"x":' + b"[" * 1_000_000, {}, 400),
        "a form": (b"model=tiny&messages=x", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        "too large": (good + b" " * MAX_BODY, {}, 413),
        "a wrong charset": (good, {"Content-Type": "application/json; charset=latin-1"}, 415),
        "a wrong packing": (good, {"Content-Encoding": "br"}, 415),
        "gzip that is none": (good, {"Content-Encoding": "gzip"}, 400),
        "cut gzip": (packed[:-1], {"Content-Encoding": "gzip"}, 400),
        "packed twice": (gzip.compress(packed), {"Content-Encoding": "gzip"}, 400),
        "a gzip bomb": (gzip.compress(bytes(20 * MAX_BODY)), {"Content-Encoding": "gzip"}, 413),
    }


def test_wrong_bodies(url: str, subtests: pytest.Subtests) -> None:
    for case in POSTS:
        for name, (body, headers, status) in wrong_bodies(case).items():
            with subtests.test(f"{case.name}: {name}"), Client(url) as client:
                answer = case.send(client, body=body, headers=headers)
                assert answer.status == status, answer
                assert case.send(client).status == case.status  # the connection goes on


def test_wrong_types_in_every_field(url: str, subtests: pytest.Subtests) -> None:
    for case in POSTS:
        with subtests.test(case.name), Client(url) as client:
            for key in BODIES[case.route]:
                for value in WRONG_VALUES:
                    answer = case.send(client, body=as_json({**BODIES[case.route], key: value}))
                    assert answer.status == 400, (key, value, answer)
                    assert key in case.message(answer)


def test_an_unknown_model(url: str, subtests: pytest.Subtests) -> None:
    for case in POSTS:
        if case.route == "/v1/functions":  # needs no model
            continue
        with subtests.test(case.name), Client(url) as client:
            answer = case.send(client, body=as_json({**BODIES[case.route], "model": "gpt-99"}))
            assert answer.status == 404
            assert "The model 'gpt-99' does not exist" in case.message(answer)


def test_unknown_fields(url: str, strict_url: str, subtests: pytest.Subtests) -> None:
    """An unknown field is named in a header; with --strict-openai it is an error that names it."""
    for case in POSTS:
        with subtests.test(case.name):
            body = as_json({**BODIES[case.route], UNKNOWN_FIELD: {"x": 1}})
            with Client(url) as client:
                answer = case.send(client, body=body)
                assert (answer.status, answer.headers["x-ignored-fields"]) == (case.status, UNKNOWN_FIELD)
            with Client(strict_url) as client:
                assert case.send(client).status == case.status
                answer = case.send(client, body=body)
                assert answer.status == 400
                assert UNKNOWN_FIELD in case.message(answer)


# Malformed HTTP


def test_malformed_http(url: str, subtests: pytest.Subtests) -> None:
    """Ambiguous lengths, announced terabytes and heads without end get one error, after which the connection closes."""
    chunked = b"0\r\n\r\n"
    for case in CASES:
        requests = {
            "two ways to end": (raw_case(case, "Content-Length: 5", "Transfer-Encoding: chunked", body=chunked), 400),
        }
        if case in POSTS:
            requests["a terabyte"] = (raw_case(case, f"Content-Length: {10**12}"), 413)
        for name, (request, status) in requests.items():
            with subtests.test(f"{case.name}: {name}"):
                answer = asked(raw(url, request, silence_s=5))
                case.check(answer)
                assert (answer.status, answer.headers["connection"]) == (status, "close"), answer
        for name, lines in {
            "two lengths": ("Content-Length: 0", "Content-Length: 5"),
            "a negative length": ("Content-Length: -1",),
            "NUL in a header": ("X: a\0b",),
            "a long head": (f"X: {'a' * 10 * MAX_HEAD}",),
        }.items():
            with subtests.test(f"{case.name}: {name}"):  # h11 rejects these before the path is known
                answer = asked(raw(url, raw_case(case, *lines), silence_s=5))
                assert answer.status == (431 if name == "a long head" else 400), answer
                check_error(answer.body)
                assert answer.headers["request-id"] == answer.headers["x-request-id"]


def test_a_server_that_is_loading(model: Model, subtests: pytest.Subtests) -> None:
    """Until the model is loaded, its routes answer 503 with Retry-After, and /live and the rest are served."""
    app = create_app(lambda: model)
    with serving(app) as url, Client(url) as client:
        app.state.model = None
        for case in CASES:
            with subtests.test(case.name):
                answer = client.send(case.method, case.path, case.body, case.headers)
                if answer.status == 503:
                    assert answer.headers["retry-after"] == "2"
                    case.check_error(answer.body, answer)
                    assert "still loading" in case.message(answer)
                else:
                    assert answer.status == case.status
                    public = ("/", "/live", "/metrics", "/api/version", "/v1/functions", "/v1/tools")
                    assert case.path in public or NO_ID in case.path


# The engine


def generating() -> Iterator[tuple[Case, bytes, Route]]:
    """Yield the routes that generate, with a body for a streamed answer of up to 50 tokens."""
    for case in POSTS:
        [route] = [route for route in ROUTES if (route.method, route.path) == (case.method, case.route)]
        if route.operation.chunk:
            body = {**BODIES[case.route], "stream": True}
            body |= {key: 50 for key in body if key in ("max_tokens", "max_output_tokens")}
            yield case, as_json(body), route


def test_a_full_queue(chatml: Model, subtests: pytest.Subtests) -> None:
    """A request that the engine does not take is a 429 with Retry-After, streamed or not."""
    model, engine = scripted(chatml, "hello")

    async def busy(*_: object) -> AsyncGenerator[Step]:
        raise EngineBusy
        yield

    engine.generate = busy  # type: ignore[assignment, method-assign]
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        for case, streamed, _ in generating():
            with subtests.test(case.name):
                for body in (case.body, streamed):
                    answer = case.send(client, body=body)
                    assert (answer.status, answer.headers["retry-after"]) == (429, "2")
                    assert answer.error["type"] == "rate_limit_error"


def test_an_error_in_the_middle_of_a_stream(chatml: Model, subtests: pytest.Subtests) -> None:
    """Its event is the last one, in the shape that the API's clients read; nothing marks the answer as complete."""
    model, _ = scripted(chatml, "hello hello hello", fails_at=10)
    with serving(create_app(lambda: model)) as url, Client(url) as client:
        for case, body, route in generating():
            with subtests.test(case.name):
                answer = case.send(client, body=body)
                assert answer.status == 200
                *events, last = answer.body.decode().strip().split("\n\n")
                assert len(events) > 1
                name, _, data = last.rpartition("data: ")
                event = json.loads(data)
                if route.path in (CHAT, RAW):
                    assert (name, event.keys()) == ("", {"error"})
                    check_error(data.encode())
                else:
                    assert (name, event["type"]) == ("event: error\n", "error")
                    assert "could not finish this request" in event.get("error", event)["message"]


def test_the_cases() -> None:
    """The cases hold every route. A case without a 200 is one whose path has an id, which is unknown."""
    assert {(case.method, case.route) for case in CASES} == {(route.method, route.path) for route in ROUTES}
    assert all(case.status == 200 or NO_ID in case.path for case in CASES)
