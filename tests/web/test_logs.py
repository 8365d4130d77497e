"""The log as JSON: one object a line, with what an operator searches for, and never a line of a client's making."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import Model
from server import create_app
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from tests.support.started_server import started
from web.logs import JsonFormatter

Json = dict[str, Any]
SECRET = "the secret of the message"
ASKED: Json = {"model": "tiny", "messages": [{"role": "user", "content": SECRET}]}


@contextmanager
def lines() -> Iterator[io.StringIO]:
    """Collect the JSON lines of all loggers."""
    written, root, ours = io.StringIO(), logging.getLogger(), logging.getLogger("functionary")
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)


def parsed(written: io.StringIO) -> list[Json]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_the_line_of_an_answer(chatml: Model) -> None:
    model, _ = scripted(chatml, "all\nhello")
    with lines() as written, serving(create_app(lambda: model)) as url:
        answer = httpx2.post(f"{url}/v1/chat/completions", json=ASKED, headers={"x-request-id": "mine"})
    (line,) = [one for one in parsed(written) if one.get("path") == "/v1/chat/completions"]
    assert line.pop("seconds") > 0
    assert line.pop("time")[-6:] == "+00:00"
    assert line.pop("message").startswith("POST '/v1/chat/completions' 200 ")
    usage = answer.json()["usage"]
    assert line == {
        "level": "info",
        "logger": "functionary",
        "request_id": "mine",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "model": "tiny",
        "prompt_tokens": usage["prompt_tokens"],
        "cached_tokens": 0,
        "completion_tokens": usage["completion_tokens"],
    }
    assert SECRET not in written.getvalue() and "hello" not in written.getvalue()


def test_all_lines_of_a_request_have_its_id(chatml: Model) -> None:
    """The line about ignored fields had no id, so nobody could find the request that it was about."""
    model, _ = scripted(chatml, "all\nhello")
    with lines() as written, serving(create_app(lambda: model)) as url:
        httpx2.post(f"{url}/v1/chat/completions", json={**ASKED, "odd": 1}, headers={"x-request-id": "mine"})
    found = [one["request_id"] for one in parsed(written) if one["logger"] == "functionary"]
    assert found == ["mine", "mine"]


@pytest.mark.parametrize("path", ["/v1/nothing%0A%7B%22level%22%3A%20%22error%22%7D", "/%E2%80%A8%C2%85%0D%00"])
def test_a_path_cannot_forge_a_line(chatml: Model, path: str) -> None:
    model, _ = scripted(chatml, "all\nhello")
    with lines() as written, serving(create_app(lambda: model)) as url:
        httpx2.get(f"{url}{path}")
    assert [one["level"] for one in parsed(written) if "path" in one] == ["info"]


@given(message=st.text(), value=st.text(st.characters(exclude_categories=())), has_error=st.booleans())
def test_every_record_is_one_line_and_reads_back(message: str, value: str, has_error: bool) -> None:
    """Whatever a client sends (line breaks of Unicode, control characters, lone surrogates), a line stays one line."""
    error = None
    if has_error:
        try:
            raise ValueError(value)
        except ValueError:
            error = sys.exc_info()
    record = logging.LogRecord("x", logging.INFO, "file.py", 1, "%s", (message,), error)
    record.path = value
    record.color_message = value
    text = JsonFormatter().format(record)
    assert text.isascii() and text.isprintable() and len(text.splitlines()) == 1
    line = json.loads(text)
    assert (line["message"], line["path"], "color_message" in line) == (message, whole(value), False)
    assert ("exception" in line) == has_error
    if has_error:
        told = f"ValueError: {whole(value)}" if value else "ValueError"
        assert line["exception"].startswith("Traceback") and told.rstrip() in line["exception"]


def whole(text: str) -> str:
    """Return the text with pairs of surrogates as one character, which is what JSON makes of them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def test_a_started_server_writes_json_only(chatml_folder: Path) -> None:
    """The lines at the start and those of uvicorn too."""
    options = ("--model", str(chatml_folder), "--served-model-name", "tiny", "--log-format", "json")
    with started(*options) as server:
        first = json.loads('{"' + server.line('{"'))
        assert first["message"].startswith("model    tiny")
        url = first["message"].rsplit("address  ", 1)[1].removesuffix("/v1")
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"no HTTP\r\n\r\n")
            connection.recv(100)
        assert httpx2.get(f"{url}/v1/models").status_code == 200
        server.terminate()
        assert server.exit_status() == 0
    told = [json.loads(line) for line in server.lines]
    assert {one["logger"] for one in told} == {"functionary", "uvicorn.error"}
    assert [one["status"] for one in told if "status" in one] == [200]


def test_a_failure_at_the_start_is_json_too(tmp_path: Path) -> None:
    with started("--model", str(tmp_path), "--log-format", "json") as server:
        assert server.exit_status() == 1
        told = json.loads('{"' + server.line('{"'))
    assert told["level"] == "critical" and str(tmp_path) in told["message"]
