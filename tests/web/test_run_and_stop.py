"""What an operator sees of the server: its lines at the start, the use of API keys, and how it stops."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.support.started_server import Started, started
from tests.support.strict_fold import events, strict_fold

CHAT = "/v1/chat/completions"
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def locked(chatml_folder: Path) -> Iterator[Started]:
    """A server over a tiny model, with two keys on the command line and one in the environment."""
    keys = ("--api-key", "sk-first-key-of-two", "--api-key", "sk-second-key-of-two")
    options = ("--model", str(chatml_folder), "--served-model-name", "tiny", "--dtype", "bfloat16", *keys)
    with started(*options, FUNCTIONARY_API_KEY="sk-key-of-the-environment") as server:
        yield server


def test_start_lines(locked: Started, chatml_folder: Path) -> None:
    """The lines at start show the model, its format, what is bound in calls, the device and the address."""
    assert locked.url.startswith("http://127.0.0.1:")
    assert locked.line("model") == f"tiny, {chatml_folder}"
    assert locked.line("format") == "functionary_v3_chatml (detected by the comment in its chat template)"
    assert locked.line("calls") == "names bound to the request's functions, arguments bound by the schema"
    how = r"cpu \((bfloat16, packed|float32, (packed|16-bit)) weights, fused layers\)"
    bound = r"at most \d+ MB for the KV cache and the prefix cache"
    assert re.fullmatch(f"{how}, {bound}", locked.line("device"))
    assert locked.line("context") == "1024 tokens"


@pytest.mark.parametrize("key", ["sk-first-key-of-two", "sk-second-key-of-two", "sk-key-of-the-environment"])
def test_each_key_opens(locked: Started, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx2.get(f"{locked.url}/v1/models", headers=headers).status_code == 200
    assert httpx2.post(f"{locked.url}{CHAT}", json=ASKED, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-first"}, {"Authorization": "Basic c2s="}])
def test_without_a_key_nothing_opens(locked: Started, headers: dict[str, str]) -> None:
    """Without a key even an unknown route gives a 401; only the health routes are public."""
    for path in ("/v1/models", "/v1/nope"):
        response = httpx2.get(f"{locked.url}{path}", headers=headers)
        assert response.status_code == 401
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert httpx2.get(f"{locked.url}/ready", headers=headers).status_code == 200


def test_the_options_of_the_edge_reach_the_server(chatml_folder: Path) -> None:
    """Any model name, another time for idle connections, a further host name, and a warning about any web site."""
    options = ("--served-model-name", "*", "--keep-alive", "7", "--allow-host", "box.internal", "--allow-origin", "*")
    with started("--model", str(chatml_folder), *options) as server:
        headers = {"Host": "box.internal:80", "Origin": "https://app.example"}
        response = httpx2.post(f"{server.url}{CHAT}", json={**ASKED, "model": "gpt-4o"}, headers=headers)
        assert (response.status_code, response.json()["model"]) == (200, "gpt-4o")
        assert response.headers["keep-alive"] == "timeout=7"
        assert response.headers["access-control-allow-origin"] == "*"
        assert server.line("model") == f"{chatml_folder}, any other name"
        assert server.line("caution") == "without --api-key, any web site in a browser here may use the model"


def test_sigterm_lets_a_stream_end(chatml_folder: Path) -> None:
    """After SIGTERM the running stream ends normally, then the server ends, and the exit status is 0."""
    asked = {**ASKED, "max_tokens": 200, "ignore_eos": True, "stream": True}
    with started("--model", str(chatml_folder), "--served-model-name", "tiny") as server:
        url = server.url
        with httpx2.stream("POST", f"{url}{CHAT}", json=asked, timeout=60) as response:
            parts = response.iter_text()
            body = next(parts)
            server.terminate()
            body += "".join(parts)
        (choice,) = strict_fold(events(body))["choices"]
        assert choice["finish_reason"] == "length"
        assert server.exit_status() == 0
        assert not [line for line in server.lines if "Traceback" in line or "Error" in line]
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{url}/live")


def test_sigterm_while_the_model_loads(chatml_folder: Path) -> None:
    """SIGTERM during loading ends the process at once, without waiting for the load to finish."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with started("--port", str(port)) as server:
        while not is_alive(f"http://127.0.0.1:{port}"):
            time.sleep(0.05)
        assert httpx2.get(f"http://127.0.0.1:{port}/ready").status_code == 503
        begun = time.monotonic()
        server.terminate()
        assert server.exit_status() == 0
        assert time.monotonic() - begun < 15


def is_alive(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/live").status_code == 200
    except httpx2.TransportError:
        return False


# When the engine fails

NO_ROOM = """
from engines.local.kv_memory import KVMemory
excess = KVMemory.excess
def no_room(self, running):
    if any(request.num_prompt_tokens > 1 for request in running):  # the first request, which warms up, has one token
        raise MemoryError
    return excess(self, running)
KVMemory.excess = no_room
"""
HANGS = """
import time
from engines.local.prefill_budget import PrefillBudget
record, hung = PrefillBudget.record, []
def hangs(self, num_tokens, seconds):
    if num_tokens > 1 and not hung:
        hung.append(time.sleep(4))
    record(self, num_tokens, seconds)
PrefillBudget.record = hangs
"""


def ask(url: str) -> httpx2.Response:
    return httpx2.post(f"{url}{CHAT}", json=ASKED, timeout=30)


def get(url: str, path: str) -> tuple[int, str | None]:
    """Return the HTTP status, and the code of the error if there is one."""
    answer = httpx2.get(f"{url}{path}")
    return answer.status_code, answer.json().get("error", {}).get("code")


def test_an_engine_that_cannot_go_on_ends_the_process(chatml_folder: Path) -> None:
    """When the engine is down, the server exits with a status that makes systemd, Docker or Kubernetes restart it.

    vLLM had a bug: it exited with status 0, and was not restarted.
    """
    with started("--model", str(chatml_folder), "--served-model-name", "tiny", before=NO_ROOM) as server:
        url = server.url
        for _ in range(3):
            answer = ask(url)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        assert server.exit_status(15) == 1
        told = [line for line in server.lines if "cannot go on" in line]
        assert [line.split(" ", 1)[1] for line in told] == [
            "the engine cannot go on: the engine failed 3 times in a row; exiting"
        ]


def test_it_stays_up_for_debugging(chatml_folder: Path) -> None:
    options = ("--model", str(chatml_folder), "--served-model-name", "tiny", "--stay-up")
    with started(*options, before=NO_ROOM) as server:
        url = server.url
        assert get(url, "/health") == get(url, "/ready") == (200, None)
        for _ in range(3):
            assert ask(url).status_code == 500
        time.sleep(1)
        for path in ("/health", "/ready"):
            assert get(url, path) == (503, "server_is_overloaded")
        assert get(url, "/live") == (200, None)
        answer = ask(url)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["error"]["type"] == "service_unavailable_error"
        text = httpx2.get(f"{url}/metrics").text
        assert re.search(r"(?m)^functionary:engine_faults_total\{.*\} 3\.0$", text)
        assert len([line for line in server.lines if "cannot go on" in line]) == 1
        server.terminate()
        assert server.exit_status() == 1


def test_a_step_that_hangs_is_told(chatml_folder: Path) -> None:
    """While a step hangs, the process lives and /health reports an error. When the step ends, /health is good again."""
    options = ("--model", str(chatml_folder), "--served-model-name", "tiny", "--step-timeout", "1")
    with started(*options, before=HANGS) as server, ThreadPoolExecutor() as pool:
        url = server.url
        asked = pool.submit(ask, url)
        deadline = time.monotonic() + 10
        while get(url, "/health")[0] == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert get(url, "/health") == get(url, "/ready") == (503, "server_is_overloaded")
        assert get(url, "/live") == (200, None)
        assert ask(url).status_code == 503
        assert asked.result().status_code == 200
        assert get(url, "/health") == (200, None)
        assert ask(url).status_code == 200
