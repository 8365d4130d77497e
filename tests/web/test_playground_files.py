"""What the page for browsers is made of, the headers of its files, and the route that reads pasted functions."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from inference import Model
from server import create_app
from tests.support.abuse_client import Client
from tests.support.serving import serving
from web.body import MAX_BODY
from web.playground import FILES, PAGE
from web.settings import Settings

FOLDER = Path(__file__).parents[2] / "playground"
FUNCTIONS = "/v1/functions"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# What could run a text as code or as markup, load something from elsewhere, or keep the key.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|\beval\b|new Function\b|\bFunction\(|"
    r"srcdoc|localStorage|sessionStorage|indexedDB|document\.cookie|\.style\b|<style|\sstyle=|\son\w+=|"
    r"javascript:|https?://(?!www\.w3\.org/2000/svg)|setTimeout\(\s*[\"'`]|import\("
)


@pytest.fixture(scope="module")
def app(chatml: Model) -> FastAPI:
    return create_app(lambda: chatml)


@pytest.fixture(scope="module")
def locked_url(chatml: Model) -> Iterator[str]:
    with serving(create_app(lambda: chatml, Settings(api_keys=["sk-x"], allow_origins=["https://app.example"]))) as url:
        yield url


# The files


def test_the_page_is_served_without_a_key_under_a_strict_policy(locked_url: str) -> None:
    with Client(locked_url) as client:
        answers = {PAGE: client.send("GET", "/", headers=HTML)}
        answers |= {name: client.send("GET", f"/playground/{name}") for name in FILES}
        for name, answer in answers.items():
            assert answer.status == 200, name
            assert answer.body == (FOLDER / name).read_bytes()
            assert answer.headers["content-type"].removesuffix("; charset=utf-8") == TYPES[name.rpartition(".")[2]]
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
            assert policy == {
                "default-src": "'none'",
                "script-src": "'self'",
                "style-src": "'self'",
                "connect-src": "'self'",
                "img-src": "'self' data:",
                "base-uri": "'none'",
                "form-action": "'none'",
                "frame-ancestors": "'none'",
                "require-trusted-types-for": "'script'",
                "trusted-types": "'none'",
            }


def test_programs_get_json_as_before(locked_url: str) -> None:
    """A cache must not give the page to a program, nor the JSON to a browser."""
    with Client(locked_url) as client:
        for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
            answer = client.send("GET", "/", headers=accept)
            assert answer.json["name"] == "functionary"
            assert answer.headers["vary"] == "Accept, Origin"
        assert client.send("GET", "/", headers=HTML).headers["vary"] == "Accept, Origin"


@pytest.mark.parametrize(
    "name",
    [
        "nope.js",
        "index.html",
        "..%2fserver.py",
        "%2e%2e/server.py",
        "../server.py",
        "%2fetc%2fpasswd",
        "main.js%00",
        "",
    ],
)
def test_no_other_file_is_served(url: str, locked_url: str, name: str) -> None:
    with Client(url) as client:
        assert client.send("GET", f"/playground/{name}").status == 404
    with Client(locked_url) as client:
        assert client.send("GET", f"/playground/{name}").status == 401


def test_all_files_are_served_and_used() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, PAGE}
    sources = "".join((FOLDER / name).read_text(encoding="utf-8") for name in {*FILES, PAGE})
    assert [name for name in FILES if f"./{name}" not in sources and f"playground/{name}" not in sources] == []


def test_no_source_of_the_page_makes_code_or_markup_of_a_text() -> None:
    for name in {*FILES, PAGE}:
        found = DANGEROUS.search((FOLDER / name).read_text(encoding="utf-8"))
        assert found is None, f"{name}: {found}"
    page = (FOLDER / PAGE).read_text(encoding="utf-8")
    assert re.findall(r"<script(.*?)</script>", page) == [' type="module" src="playground/main.js">']


def test_files_of_the_page_stay_short() -> None:
    for name in FILES - {"page.css"}:
        assert (FOLDER / name).read_text(encoding="utf-8").count("\n") < 250, name


# Pasted functions


def test_functions_of_a_text(url: str) -> None:
    with Client(url) as client:
        answer = client.post(FUNCTIONS, {"text": 'def roll(sides: int = 6) -> int:\n    """Roll a die."""\n'})
        assert answer.json == {
            "functions": [
                {
                    "name": "roll",
                    "description": "Roll a die.",
                    "parameters": {
                        "type": "object",
                        "properties": {"sides": {"type": "integer", "default": 6}},
                        "required": [],
                    },
                }
            ],
            "rejected": [],
        }


def test_what_a_chat_would_not_take_is_rejected(url: str) -> None:
    """Each function that is returned can be sent in a chat, and each other one has a reason."""
    texts: list[object] = [
        [{"name": "good"}, {"name": ""}, {"name": "x" * 300}, {"name": "b", "parameters": {"type": "string"}}, 7],
        [{"name": "c"}, {"name": "c", "description": "another"}],
        [{"name": f"f{number}"} for number in range(1030)],
    ]
    counts = []
    with Client(url) as client:
        for text in texts:
            found = client.post(FUNCTIONS, {"text": json.dumps(text)}).json
            assert all(one["reason"].strip() and one["name"] for one in found["rejected"])
            counts.append((len(found["functions"]), len(found["rejected"])))
            tools = [{"type": "function", "function": one} for one in found["functions"]]
            body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "tools": tools[:20]}
            if tools:
                assert client.post("/v1/chat/completions/render", body).status == 200
    assert counts == [(1, 4), (1, 1), (1024, 1)]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("{", "no JSON"),
        ("def f(:\n", "no Python"),
        ("just words", "no functions"),
        ("[" * 100_000, "deep"),
        (BOMB, "aliases"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
        ('{"openapi": "3.1.0", "paths": {}}', "no public function"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_texts_without_functions(url: str, text: str, reason: str) -> None:
    """A text that is no function in any language is a 400 that names `text`, quickly, whatever it would expand to."""
    with Client(url) as client:
        answer = client.post(FUNCTIONS, {"text": text})
        assert (answer.status, answer.error["param"]) == (400, "text")
        assert reason in answer.error["message"]


def test_small_texts_of_enormous_functions(url: str) -> None:
    """400 operations that share one large schema are 80 MB written out: reading ends at the size of a request."""
    schema = {"type": "object", "properties": {f"property_{number}": {"type": "string"} for number in range(5000)}}
    parameter = {"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/S"}}
    paths = {
        f"/{number}": {"get": {"operationId": f"get_{number}", "summary": "Get", "parameters": [parameter]}}
        for number in range(400)
    }
    document = {"openapi": "3.1.0", "paths": paths, "components": {"schemas": {"S": schema}}}
    with Client(url) as client:
        answer = client.post(FUNCTIONS, {"text": json.dumps(document)})
        assert answer.status == 200
        assert len(answer.body) < 3 * MAX_BODY
        assert len(answer.json["functions"]) < 400 and answer.json["rejected"]
        answer = client.post(FUNCTIONS, {"text": "x" * 600_000})
        assert (answer.status, answer.error["param"]) == (400, "text")


def test_python_is_not_run(url: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    text = f"open({str(canary)!r}, 'w')\ndef f(x: int = open({str(canary)!r}, 'w')) -> int: ...\n"
    with Client(url) as client:
        found = client.post(FUNCTIONS, {"text": text}).json
    assert [one["name"] for one in found["functions"]] == ["f"]
    assert not canary.exists()


def test_nothing_is_fetched(url: str, tmp_path: Path) -> None:
    """References of a pasted document to other places open no connection and no file."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"type": "string", "description": "a secret"}', encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as canary, Client(url) as client:
        canary.settimeout(0.3)
        own = f"http://127.0.0.1:{canary.getsockname()[1]}"
        for place in (f"{own}/a.json", f"{own}/a.json#/b", f"//{own[7:]}/a", secret.as_uri(), str(secret)):
            schema = {"$ref": place}
            parameter = {"name": "p", "in": "query", "schema": schema}
            operation = {"operationId": "get", "summary": "Get", "parameters": [parameter, {"$ref": place}]}
            document = {"openapi": "3.1.0", "servers": [{"url": own}], "paths": {"/x": {"get": operation}}}
            function = {"name": "f", "parameters": {"type": "object", "properties": {"p": schema}}}
            for text in (json.dumps(document), json.dumps(function)):
                answer = client.post(FUNCTIONS, {"text": text})
                assert answer.status in (200, 400)
                assert "a secret" not in answer.body.decode()
        with pytest.raises(TimeoutError):
            canary.accept()
