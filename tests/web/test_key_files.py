"""`--api-key-file`: names for keys, faults that name their line, and SIGHUP, which reads the file again."""

from __future__ import annotations

import hashlib
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from inference import Model
from server import create_app
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from tests.support.started_server import ROOT, Started, environment, started
from web.command_line import read_options
from web.errors import HttpError
from web.keys import KeyFileError, Keys
from web.settings import Settings

MODELS = "/v1/models"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def written(folder: Path, *lines: str) -> Path:
    file = folder / "keys.txt"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def name_of(keys: Keys, key: str) -> str | None:
    """Return the name of a key, or None if it is not accepted."""
    try:
        found = keys.check(Headers({"authorization": f"Bearer {key}"}))
    except HttpError as error:
        assert error.status == 401
        return None
    assert found.digest == digest(key)
    return found.name


def test_keys_have_names(tmp_path: Path) -> None:
    """Comments, empty lines, capital letters in digests and line ends of Windows are allowed."""
    lines = ("# the team", "", f"alice:{digest('sk-a')}", f"  bob.2_x-y:{digest('sk-b').upper()}\r")
    keys = Keys(["sk-given", "sk-other"], written(tmp_path, *lines))
    assert len(keys) == 4
    names = [name_of(keys, key) for key in ("sk-a", "sk-b", "sk-given", "sk-other", "sk-none", digest("sk-a"))]
    assert names == ["alice", "bob.2_x-y", "api-key-1", "api-key-2", None, None]


def test_a_key_of_the_options_may_get_a_name(tmp_path: Path) -> None:
    assert name_of(Keys(["sk-a"], written(tmp_path, f"alice:{digest('sk-a')}")), "sk-a") == "alice"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("sk-a-plain-key", "the digest of sk-a-plain-key is not 64 hexadecimal digits"),
        ("carol:sk-a-plain-key", "the digest of carol is not 64 hexadecimal digits"),
        (f"carol:{digest('sk-c')}  -", "the digest of carol is not 64 hexadecimal digits"),
        (f"carol:{digest('sk-c')[:63]}", "the digest of carol is not 64 hexadecimal digits"),
        (f"two words:{digest('sk-c')}", "expected name:sha256hex"),
        (f":{digest('sk-c')}", "expected name:sha256hex"),
        (f"{'n' * 65}:{digest('sk-c')}", "expected name:sha256hex"),
        (f"api-key-1:{digest('sk-c')}", "names that begin with api-key- belong to"),
        (f"alice:{digest('sk-c')}", "the name alice is taken by an earlier line"),
        (f"carol:{digest('sk-a')}", "the key of carol is that of alice"),
        (f"carol:{digest('')}", "the digest of carol is that of an empty key"),
    ],
)
def test_a_fault_names_its_line(tmp_path: Path, line: str, fault: str) -> None:
    file = written(tmp_path, f"alice:{digest('sk-a')}", line, "# end")
    with pytest.raises(KeyFileError) as caught:
        Keys([], file)
    (told,) = caught.value.faults
    assert told.startswith(f"--api-key-file {file}, line 2: {fault}")


def test_what_may_be_a_key_is_not_told(tmp_path: Path) -> None:
    """A line that has the key itself in place of its digest must not bring it into the log."""
    with pytest.raises(KeyFileError) as caught:
        Keys([], written(tmp_path, "carol:sk-secret-1", "sk-secret 2", "my key:sk-secret-3", ":sk-secret-4"))
    assert len(caught.value.faults) == 4
    assert "secret" not in str(caught.value)


@given(content=st.binary(max_size=300))
def test_any_bytes_are_keys_or_faults(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any_bytes.txt"
    file.write_bytes(content)
    with pytest.raises(KeyFileError) as caught:
        Keys([], file)
    assert all(fault.startswith("--api-key-file") and len(fault.splitlines()) == 1 for fault in caught.value.faults)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_text("# \n" * 400_000)
    (tmp_path / "utf16.txt").write_text("alice", encoding="utf-16")
    (tmp_path / "empty.txt").write_text("# none\n")
    os.mkfifo(tmp_path / "fifo.txt")  # must not wait for a writer
    for name, fault in (
        ("nothing.txt", "there is no such file"),
        ("", "there is no such file"),
        ("fifo.txt", "there is no such file"),
        ("large.txt", "is larger than"),
        ("utf16.txt", "is no text in UTF-8"),
        ("empty.txt", "has no key"),
    ):
        with pytest.raises(KeyFileError, match=fault):
            Keys([], tmp_path / name)


def test_many_faults_are_not_all_told(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as caught:
        Keys([], written(tmp_path, *["x"] * 50))
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1].endswith("30 more faults")


def test_reloading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A removed key is refused at once. A file with faults changes nothing and makes one line in the log."""
    caplog.set_level(logging.INFO, "functionary")
    keys = Keys(["sk-given"], written(tmp_path, f"alice:{digest('sk-a')}", f"bob:{digest('sk-b')}"))
    written(tmp_path, f"bob:{digest('sk-b')}", f"carol:{digest('sk-c')}")
    keys.reload()
    assert [name_of(keys, key) for key in ("sk-a", "sk-b", "sk-c", "sk-given")] == [None, "bob", "carol", "api-key-1"]
    for lines in (["bob:x", "carol:y"], []):
        written(tmp_path, *lines)
        keys.reload()
        assert [name_of(keys, key) for key in ("sk-a", "sk-b", "sk-c")] == [None, "bob", "carol"]
    (tmp_path / "keys.txt").unlink()
    keys.reload()
    assert name_of(keys, "sk-b") == "bob"
    Keys(["sk-given"]).reload()
    told = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"/\S*/", "", line) for line in told] == [
        "--api-key-file keys.txt is read again: 3 API keys",
        "the API keys stay as they were: --api-key-file keys.txt, line 1: the digest of bob is not 64 hexadecimal "
        'digits; printf %s "$KEY" | sha256sum | cut -c1-64 prints them (and 1 more)',
        "the API keys stay as they were: --api-key-file keys.txt: has no key; add a line of name:sha256hex",
        "the API keys stay as they were: --api-key-file keys.txt: there is no such file; make one with lines of "
        "name:sha256hex",
        "SIGHUP: nothing is read again, since there is no --api-key-file",
    ]


def test_names_are_in_logs_and_metrics(chatml: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And keys and digests are not."""
    caplog.set_level(logging.INFO, "functionary")
    model, _ = scripted(chatml, "all\nHello")
    file = written(tmp_path, f"alice:{digest('sk-a')}")
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
    headers = {"Authorization": "Bearer sk-a"}
    with serving(create_app(lambda: model, Settings(api_key_file=file))) as url:
        assert httpx2.get(f"{url}{MODELS}").status_code == 401
        answer = httpx2.post(f"{url}/v1/chat/completions", json=asked, headers=headers)
        assert answer.status_code == 200
        metrics = httpx2.get(f"{url}/metrics", headers=headers).text
    assert 'functionary:key_requests_total{key="alice",status="2xx"} 1.0' in metrics
    (line,) = [record.getMessage() for record in caplog.records if "chat/completions" in record.getMessage()]
    assert line.endswith(f" {answer.headers['x-request-id']} alice")
    for text in (metrics, caplog.text):
        assert digest("sk-a") not in text
        assert "sk-a" not in text


# The command line and signals


def test_a_key_file_opens_the_server_to_other_machines(tmp_path: Path) -> None:
    file = written(tmp_path, f"alice:{digest('sk-a')}")
    options = read_options(["--host", "0.0.0.0", "--api-key-file", str(file)])
    assert options.api_key_file == file
    with pytest.raises(SystemExit):
        read_options(["--host", "0.0.0.0"])


def test_a_broken_file_ends_the_start(tmp_path: Path, chatml_folder: Path) -> None:
    """The server tells of each fault in one line, and does not load the model."""
    file = written(tmp_path, "alice:sk-plain", f"bob:{digest('sk-b')}", "carol")
    command = [sys.executable, "server.py", "--model", str(chatml_folder), "--port", "0", "--api-key-file", str(file)]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert [line.split(": the digest")[0] for line in run.stderr.splitlines()] == [
        f"functionary: --api-key-file {file}, line {number}" for number in (1, 3)
    ]


def test_sighup_reads_the_file_again(tmp_path: Path, chatml_folder: Path) -> None:
    """Keys come and go while a stream runs, which goes on."""

    def status(server: Started, key: str) -> int:
        return httpx2.get(f"{server.url}{MODELS}", headers={"Authorization": f"Bearer {key}"}).status_code

    def reload(server: Started, *lines: str) -> None:
        num_told = len([line for line in server.lines if "API keys" in line])
        written(tmp_path, *lines)
        server.signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while len([line for line in server.lines if "API keys" in line]) == num_told:
            assert time.monotonic() < deadline, server.lines
            time.sleep(0.02)

    file = written(tmp_path, f"alice:{digest('sk-a')}")
    options = ("--model", str(chatml_folder), "--served-model-name", "tiny", "--api-key-file", str(file))
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 300, "ignore_eos": True}
    headers = {"Authorization": "Bearer sk-a"}
    with started(*options, "--api-key", "sk-given") as server:
        assert [status(server, key) for key in ("sk-a", "sk-b", "sk-given")] == [200, 401, 200]
        url = f"{server.url}/v1/chat/completions"
        with httpx2.stream("POST", url, json={**asked, "stream": True}, headers=headers, timeout=60) as answer:
            parts = answer.iter_text()
            body = next(parts)
            reload(server, f"bob:{digest('sk-b')}")
            assert [status(server, key) for key in ("sk-a", "sk-b", "sk-given")] == [401, 200, 200]
            body += "".join(parts)
        assert body.endswith("data: [DONE]\n\n")
        reload(server, "broken")
        assert [status(server, key) for key in ("sk-a", "sk-b", "sk-given")] == [401, 200, 200]
        assert not [line for line in server.lines if digest("sk-b") in line or "sk-a" in line.split()]


def test_a_closed_terminal_ends_the_server(chatml_folder: Path) -> None:
    """A server that was started in a terminal's window ends with it, though SIGHUP otherwise only reads keys again."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "server.py", "--model", str(chatml_folder), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=terminal, stdin=terminal, stdout=terminal)
    os.close(terminal)
    try:
        screen = b""
        while b"address" not in screen:
            screen += os.read(controller, 65536)
        process.send_signal(signal.SIGHUP)
        while b"nothing is read again" not in screen:
            screen += os.read(controller, 65536)
        os.close(controller)
        process.send_signal(signal.SIGHUP)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()
