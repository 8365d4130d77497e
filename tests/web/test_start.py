"""Starts with wrong options must fail soon with a one-line message, before the server loads the model."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prompt_template import template_names
from server import main
from stores.sqlite import SqliteStore
from tests.support.abuse_client import Client
from tests.support.started_server import ROOT, environment, started
from tests.support.stored import stored
from web.command_line import read_options

FAILED_START_S = 20  # the goal is 5 s on an idle machine


def failed_start(*options: str, **variables: str) -> tuple[int, str]:
    """Start the server with options that must fail. Return the exit status and the line on stderr."""
    command = [sys.executable, "server.py", *options]
    begun = time.monotonic()
    run = subprocess.run(
        command, cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False
    )
    assert run.stdout == ""
    assert time.monotonic() - begun < FAILED_START_S
    (line,) = run.stderr.splitlines()
    return run.returncode, line


@pytest.fixture
def folder(chatml_folder: Path, tmp_path: Path) -> Path:
    """A valid checkpoint that a test then damages."""
    return Path(shutil.copytree(chatml_folder, tmp_path / "checkpoint"))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def truncate(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


def change_config(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **fields}))

    return change


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"whoever opens me is wrong")


def a_shard_too_few(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "no configuration": (remove("config.json"), "there is no config.json, so it is no transformers checkpoint."),
    "half a configuration": (truncate("config.json", 40), "config.json cannot be read as JSON (JSONDecodeError)."),
    "no model type": (change_config(model_type=""), "config.json names no model_type."),
    "no tokenizer": (remove("tokenizer.json"), "there is no tokenizer.json and no tokenizer.model."),
    "no weights": (remove("model.safetensors"), "there are no *.safetensors weights."),
    "only pickles": (
        only_pickles,
        "there are no *.safetensors weights. It has pickle files, which can run code; convert them to safetensors.",
    ),
    "half the weights": (truncate("model.safetensors", 9999), "model.safetensors is damaged or incomplete ("),
    "a shard too few": (
        a_shard_too_few,
        "model.safetensors.index.json names weights that are not there: model-00002-of-00002.safetensors.",
    ),
    "code of its own": (
        change_config(auto_map={"AutoConfig": "canary.Config"}),
        "the checkpoint brings code of its own (auto_map), which is never run here.",
    ),
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT)
def test_spoilt_checkpoint(
    folder: Path,
    spoil: Callable[[Path], None],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A damaged checkpoint gives a one-line message.

    These checks run in the test's own process, which saves two seconds per case. Other tests start a server process.
    """
    spoil(folder)
    monkeypatch.setattr(sys, "argv", ["server.py", "--port", "0", "--model", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(ended.value.code).startswith(f"functionary: --model {folder}: {reason}")
    assert "\n" not in str(ended.value.code)
    assert capsys.readouterr() == ("", "")


def test_code_of_a_checkpoint_never_runs(folder: Path, tmp_path: Path) -> None:
    """Code that comes with a configuration or a tokenizer never runs. If it ran, it would create a file."""
    canary = tmp_path / "ran"
    (folder / "canary.py").write_text(f"open({str(canary)!r}, 'w')\nclass Config: pass\nclass Tokenizer: pass\n")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "Canary", "auto_map": {"AutoTokenizer": ["canary.Tokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    status, _ = failed_start("--port", "0", "--model", str(folder))
    assert status == 1
    assert not canary.exists()


def test_unknown_prompt_format(folder: Path) -> None:
    """An unknown template is reported with the list of templates, before the weights are loaded."""
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    status, line = failed_start("--port", "0", "--model", str(folder))
    assert status == 1
    assert line.startswith(f"functionary: {folder} has no known prompt format; choose one with --template: ")
    assert ", ".join(template_names()) in line


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        (["--model", "./nowhere"], 1, "--model ./nowhere: there is no such folder."),
        (["--model", "server.py"], 1, "--model server.py: there is no such folder."),
        (
            ["--model", "a/b/c"],
            1,
            "--model a/b/c: neither a folder on this machine nor a name of the form owner/model.",
        ),
        (["--port", "x"], 2, "--port: 'x' is not a port; use 0 to 65535; --help lists the options"),
        (
            ["--response-store", "/nowhere/responses.db"],
            1,
            "--response-store /nowhere/responses.db: No such file or directory; choose another file",
        ),
        (
            ["--response-store-mb", "0"],
            2,
            "--response-store-mb: '0' is not a whole number above 0; --help lists the options",
        ),
        (["--port", "65536"], 2, "--port: '65536' is not a port; use 0 to 65535; --help lists the options"),
        (["--max-context", "0"], 2, "--max-context: '0' is not a whole number above 0; --help lists the options"),
        (["--api-key", " "], 2, "--api-key is empty; give a long random string; --help lists the options"),
        (["--dtype", "nope"], 1, "--dtype nope: unknown; use auto, float32, bfloat16, float16."),
        (["--device", "tpu"], 1, "--device tpu: unknown; use auto, cpu, cuda, cuda:0 or mps."),
        (
            ["--template", "nope"],
            2,
            f"--template nope: there is none; choose from {', '.join([*template_names(), 'generic'])}; "
            "--help lists the options",
        ),
        (
            ["--host", "0.0.0.0"],
            2,
            "--host 0.0.0.0 opens the server to other machines: give --api-key or --api-key-file too, "
            "or set FUNCTIONARY_API_KEY; --help lists the options",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_option(
    options: list[str],
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong option gives an error.

    The options are parsed in the test's own process, which saves a second per case.
    """
    monkeypatch.setattr(sys, "argv", ["server.py", "--port", "0", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    if isinstance(ended.value.code, str):
        assert (1, ended.value.code) == (status, f"functionary: {line}")
    else:
        assert (ended.value.code, capsys.readouterr().err) == (status, f"functionary: {line}\n")


def test_misspelt_option() -> None:
    assert failed_start("--modle", "x") == (
        2,
        "functionary: unrecognized arguments: --modle x; --help lists the options",
    )


def test_gpu_that_is_not_there() -> None:
    """`--device cuda` without a GPU is an error. CUDA_VISIBLE_DEVICES hides the GPUs of the machine."""
    status, line = failed_start("--port", "0", "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert status == 1
    assert line.startswith("functionary: --device cuda: PyTorch finds no such GPU here;")


def test_port_in_use(chatml_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, line = failed_start("--model", str(chatml_folder), "--port", str(port))
    assert status == 1
    assert line == (
        f"functionary: cannot listen on 127.0.0.1:{port} (Address already in use); choose another --host or --port"
    )


def test_unfit_store_of_responses(chatml_folder: Path, tmp_path: Path) -> None:
    """A file that holds no responses is an error before the model is loaded, and is left as it is."""
    file = tmp_path / "diary.txt"
    file.write_text("dear diary, " * 100)
    options = ("--model", str(chatml_folder), "--port", "0", "--response-store", str(file))
    assert failed_start(*options) == (
        1,
        f"functionary: --response-store {file}: file is not a database; choose another file",
    )
    assert file.read_text() == "dear diary, " * 100


def test_damaged_store_of_responses(chatml_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "responses.db"
    store = SqliteStore(file)
    for number in range(30):
        store.put("", stored(str(number), "x" * 9_000))
    store.close()
    os.truncate(file, file.stat().st_size // 2)
    options = ("--model", str(chatml_folder), "--port", "0", "--response-store", str(file))
    assert failed_start(*options) == (
        1,
        f"functionary: --response-store {file}: database disk image is malformed; choose another file",
    )


def test_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    """An unreachable hub is reported quickly. By default, transformers would retry for half a minute."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    status, line = failed_start("--model", "someone/no-such-model", HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path))
    assert status == 1
    assert line == (
        "functionary: --model someone/no-such-model: no folder here, not in the cache of the hub, and the hub cannot "
        "be reached; check name and network."
    )


def test_help_lists_every_option() -> None:
    run = subprocess.run([sys.executable, "server.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for option in (
        *("--model", "--revision", "--template", "--device", "--dtype", "--max-context"),
        *("--max-running", "--cache-mb", "--quantize", "--host", "--port"),
        *("--response-store", "--response-store-mb", "--engine-url", "--engine-key"),
        *("--served-model-name", "--api-key", "--step-timeout", "--stay-up", "--strict-openai"),
    ):
        assert f"  {option}" in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 80


# Tools


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tools", "x.py", "--host", "0.0.0.0"], "--host 0.0.0.0 opens the server to other machines: give --api-key"),
        (
            ["--tools", "x.py", "--allow-host", "other"],
            "--allow-host lets others run the tools of --tools: give --api-key",
        ),
        (
            ["--tools", "x.py", "--allow-origin", "*"],
            "--allow-origin lets others run the tools of --tools: give --api-key",
        ),
        (["--tools", "x.py", "--strict-openai"], "--tools has no use with --strict-openai"),
        (["--openapi", "x.json", "--allow-host", "other"], "--allow-host lets others run the tools of --openapi: give"),
        (["--mcp", "x.json", "--allow-origin", "*"], "--allow-origin lets others run the tools of --mcp: give"),
        (["--tools"], "--tools: expected at least one argument"),
    ],
)
def test_options_of_tools(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Tools run code, so that only this machine may use them without a key."""
    with pytest.raises(SystemExit) as ended:
        read_options(options)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith(f"functionary: {told}")


def test_a_key_admits_others_to_the_tools() -> None:
    options = read_options(["--tools", "a.py", "b.py", "--allow-host", "other", "--api-key", "k"])
    assert options.tools == [Path("a.py"), Path("b.py")]


TOOL_FILES = {
    "no file": (None, "tools.py"),
    "no Python": ("def f(:", "tools.py"),
    "an exception": ("1 / 0", "ZeroDivisionError"),
    "no function": ("x = 1", "it has no tools"),
    "sys.exit": ("import sys; sys.exit(3)", "sys.exit"),
    "two of a name": ("def f() -> int: ...\n", "two tools have the name 'f'"),
}


@pytest.mark.parametrize("name", TOOL_FILES)
def test_files_of_tools_that_cannot_be_used(
    name: str, tmp_path: Path, chatml_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The start ends with one line before the model is loaded."""
    text, told = TOOL_FILES[name]
    file, other = tmp_path / "tools.py", tmp_path / "more.py"
    if text is not None:
        file.write_text(text)
    other.write_text("def f() -> int:\n    return 1\n")
    monkeypatch.setattr("web.lifecycle.load_model", None)
    options = ["server.py", "--port", "0", "--model", str(chatml_folder), "--tools", str(file), str(other)]
    monkeypatch.setattr(sys, "argv", options)
    with pytest.raises(SystemExit) as ended:
        main()
    line = str(ended.value.code)
    assert line.startswith("functionary: ") and told in line and "\n" not in line
    assert capsys.readouterr() == ("", "")


def test_a_server_with_tools(chatml_folder: Path, tmp_path: Path) -> None:
    """The start lines name the tools, and they can be listed."""
    file = tmp_path / "my_tools.py"
    file.write_text(
        "from agent import tool\n\n"
        "@tool\ndef add(a: int, b: int) -> int:\n    return a + b\n\n"
        "@tool(confirm=True)\ndef pay(amount: int) -> str:\n    return 'paid'\n"
    )
    shop = tmp_path / "shop.json"
    paths = {"/pets": {"get": {"operationId": "list_pets", "summary": "List the pets", "responses": {}}}}
    about = {
        "openapi": "3.1.0",
        "info": {"title": "Pets", "version": "1"},
        "servers": [{"url": "https://pets.example"}],
    }
    shop.write_text(json.dumps({**about, "paths": paths}))
    options = ("--model", str(chatml_folder), "--tools", str(file), "--openapi", str(shop))
    with started(*options) as server, Client(server.url) as client:
        listed = client.send("GET", "/v1/tools").json["data"]
        assert [card["name"] for card in listed] == ["add", "pay", "list_pets"]
        assert {card["source"] for card in listed[:2]} == {"my_tools.py"}
        told = server.line("tools")
    assert told.startswith(f"2 from {file} (add, pay); 1 from ") and "(list_pets)" in told
    assert told.endswith("; not run, since they need a confirmation: pay")
