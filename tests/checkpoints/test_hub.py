"""Checkpoints by name, from a local double of the hub: which files are fetched, and the messages on failures."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.started_server import ROOT, environment

NAME = "someone/tiny"
COMMIT = "c0ffee" * 6 + "beef"
FIND = """
import sys
from checkpoints.files import find_checkpoint
from core.errors import ModelError
from checkpoints.model import check_model
act = {"check": check_model, "find": find_checkpoint}[sys.argv[1]]
try:
    print(act(sys.argv[2], revision=sys.argv[3] if sys.argv[3:] else None))
except ModelError as error:
    sys.exit(f"{error}")
"""


class Hub(ThreadingHTTPServer):
    """A double of the hub with the three kinds of answers that huggingface_hub needs to fetch a model."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.fetched: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        if path in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/main"):
            self._send(json.dumps({"id": NAME, "sha": COMMIT}).encode())
        elif path.startswith(f"/api/models/{NAME}/revision/"):
            self._send(b"", {"X-Error-Code": "RevisionNotFound"}, status=404)
        elif path == f"/api/models/{NAME}/tree/{COMMIT}":
            files = self.server.files.items()
            self._send(json.dumps([self._entry(name, content) for name, content in files]).encode())
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            self._send_file(path.rpartition("/")[2])
        else:
            self._send(b"", {"X-Error-Code": "RepoNotFound"}, status=404)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _entry(self, name: str, content: bytes) -> dict[str, object]:
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _send_file(self, name: str) -> None:
        content = self.server.files[name]
        self.server.fetched += [name] if self.command == "GET" else []
        self._send(content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _send(self, content: bytes, headers: dict[str, str] | None = None, *, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub(chatml_folder: Path) -> Iterator[Hub]:
    """A hub with one model, whose weights exist both as safetensors and as pickles."""
    with Hub(chatml_folder) as hub:
        hub.files["pytorch_model.bin"] = b"whoever fetches me is wrong"
        thread = threading.Thread(target=hub.serve_forever, args=(0.02,))
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def ask(act: str, name: str, *revision: str, hub: str, cache: Path) -> tuple[int, str]:
    """Run `act` in a new process, since the hub's client reads its settings only once."""
    command = [sys.executable, "-W", "error", "-c", FIND, act, name, *revision]
    variables = environment(HF_ENDPOINT=hub, HF_HOME=str(cache), HF_HUB_DISABLE_XET="1")
    run = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)
    return run.returncode, (run.stderr if run.returncode else run.stdout).splitlines()[-1]


def test_a_start_fetches_the_small_files_first(hub: Hub, tmp_path: Path) -> None:
    """Errors in small files are reported before gigabytes of weights are fetched."""
    hub.files["config.json"] = b"{}"
    status, line = ask("check", NAME, hub=hub.url, cache=tmp_path)
    assert (status, line) == (1, f"--model {NAME}: config.json names no model_type.")
    assert "model.safetensors" not in hub.fetched


def test_weights_come_as_safetensors_only(hub: Hub, chatml_folder: Path, tmp_path: Path) -> None:
    status, found = ask("find", NAME, hub=hub.url, cache=tmp_path)
    assert status == 0, found
    assert (Path(found) / "model.safetensors").read_bytes() == (chatml_folder / "model.safetensors").read_bytes()
    assert "pytorch_model.bin" not in hub.fetched
    assert not (Path(found) / "pytorch_model.bin").exists()


def test_a_model_with_pickles_alone_is_refused(hub: Hub, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    status, line = ask("find", NAME, hub=hub.url, cache=tmp_path)
    assert (status, line) == (1, f"--model {NAME}: there are no *.safetensors weights.")
    assert "pytorch_model.bin" not in hub.fetched


def test_the_cache_serves_when_the_hub_is_away(hub: Hub, tmp_path: Path) -> None:
    _, found = ask("find", NAME, hub=hub.url, cache=tmp_path)
    assert ask("find", NAME, hub="http://127.0.0.1:9", cache=tmp_path) == (0, found)
    assert ask("check", NAME, hub="http://127.0.0.1:9", cache=tmp_path)[0] == 0


def test_unknown_names_and_revisions(hub: Hub, tmp_path: Path) -> None:
    assert ask("check", "someone/else", hub=hub.url, cache=tmp_path) == (
        1,
        "--model someone/else: no folder here, and the hub has no such model, or shows it only to those with a token "
        "(HF_TOKEN).",
    )
    assert ask("check", NAME, "v9", hub=hub.url, cache=tmp_path) == (
        1,
        f"--model {NAME}: the hub's model has no revision v9.",
    )
