"""A front: a checkpoint without weights and torch, whose answers an engine elsewhere generates."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checkpoints.checkpoint import Checkpoint, open_checkpoint
from checkpoints.engine_options import engine_arguments
from checkpoints.model import check_model, load_model
from core.errors import ModelError
from core.model_facts import ModelFacts
from tests.support.peer_vllm import PlayedVLLM
from tests.support.scripted_peer import Peer, running
from tests.support.started_server import ROOT, environment, started
from tests.support.toy_model import script_model
from web.command_line import read_options

QUIET = """
import sys
import server
from checkpoints.model import check_model, load_model
from web.command_line import introduction, read_options
name = sys.argv[1] or None
check_model(name, has_weights=False)
model = load_model(name, engine_urls=[sys.argv[2]])
print(introduction(model, read_options(["--engine-url", sys.argv[2]]), 8000))
sys.exit(", ".join(sorted({"torch", "transformers", "gguf", "safetensors"} & set(sys.modules))) or 0)
"""
OWN = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"


@contextmanager
def played(checkpoint: Checkpoint) -> Iterator[str]:
    """A server that has the weights of the checkpoint, whose every answer ends at once. Yields its URL."""
    eos_id, size = checkpoint.tokenizer.eos_id or 0, checkpoint.vocab_size
    model = script_model(size, [eos_id])
    peer = Peer(PlayedVLLM(), model, checkpoint.tokenizer, size, eos_id=eos_id, model_name=checkpoint.name)
    with running(peer):
        yield peer.url


@pytest.fixture
def small_folder(chatml_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint of which only the small files are here."""
    return Path(shutil.copytree(chatml_folder, tmp_path / "small", ignore=shutil.ignore_patterns("*.safetensors")))


@pytest.fixture
def folder_url(small_folder: Path) -> Iterator[str]:
    with played(open_checkpoint(str(small_folder), has_weights=False)) as url:
        yield url


def quiet_load(name: str, url: str) -> str:
    """Load a model in a process of its own. Return the lines at start; fail if a large library was imported."""
    command = [sys.executable, "-W", "error", "-c", QUIET, name, url]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_a_front_imports_no_torch(small_folder: Path, folder_url: str) -> None:
    """The front starts in 2 s and 120 MB; torch and transformers alone take 4 s and 400 MB."""
    lines = quiet_load(str(small_folder), folder_url)
    assert f"engine   vllm at {folder_url} " in lines and "device" not in lines


def test_a_front_with_the_template_of_the_checkpoint_imports_no_torch(small_folder: Path, folder_url: str) -> None:
    """Only the process that renders the template imports transformers."""
    (small_folder / "chat_template.jinja").write_text(OWN)
    assert "the model's own chat template" in quiet_load(str(small_folder), folder_url)


def test_a_front_for_the_embedded_model_imports_no_torch() -> None:
    with played(open_checkpoint(None)) as url:
        assert "model    SmolLM2-135M-Instruct, functionary" in quiet_load("", url)


def test_a_server_is_the_front_of_another(small_folder: Path, folder_url: str) -> None:
    """A user starts it with the one option and gets an answer."""
    with started("--model", str(small_folder), "--engine-url", folder_url, "--engine", "vllm") as server:
        body = {"model": str(small_folder), "messages": [{"role": "user", "content": "Hi"}]}
        request = urllib.request.Request(
            f"{server.url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            choice = json.load(answer)["choices"][0]
    assert choice["finish_reason"] == "stop"


def test_what_a_front_knows_of_its_model(small_folder: Path, folder_url: str) -> None:
    model = load_model(str(small_folder), engine_urls=[folder_url], max_context=100)
    assert model.facts == ModelFacts(architecture="llama")
    assert (model.engine.max_context, model.engine.vocab_size) == (100, 272)


def test_the_weights_are_needed_only_here(small_folder: Path) -> None:
    check_model(str(small_folder), has_weights=False)
    with pytest.raises(ModelError, match=r"there are no \*\.safetensors weights"):
        check_model(str(small_folder))


def test_a_front_needs_the_tokenizer_of_its_server(small_folder: Path, llama_folder: Path) -> None:
    with played(open_checkpoint(str(llama_folder))) as url, pytest.raises(ModelError) as refused:
        load_model(str(small_folder), engine_urls=[url])
    assert "whose tokenizer reads" in str(refused.value) and "\n" not in str(refused.value)


# Options

URL = ["--engine-url", "http://127.0.0.1:9000"]
LOCAL_ONLY = [
    ("--device", "cpu"),
    ("--dtype", "float32"),
    ("--quantize", "int8"),
    ("--max-running", "4"),
    ("--cache-mb", "64"),
    ("--max-waiting", "9"),
    ("--queue-timeout", "9"),
]
BAD_URL = "is not the URL of a server; use one such as http://127.0.0.1:9000; --help lists the options"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        *(
            (
                [*URL, *option],
                f"{option[0]} has no meaning with --engine-url, whose server runs the model; leave one of them out",
            )
            for option in LOCAL_ONLY
        ),
        (["--engine", "vllm"], "--engine needs --engine-url, the server that it is about"),
        (["--engine-key", ""], "--engine-key needs --engine-url, the server that it is about"),
        ([*URL, "--engine-key", " "], "--engine-key is empty or has other characters than ASCII; give the key that"),
        ([*URL, "--engine-key", "a\nb"], "--engine-key is empty or has other characters than ASCII; give the key that"),
        ([*URL, "--engine", "ollama"], "--engine: invalid choice: 'ollama' (choose from"),
        (["--engine-url"], "--engine-url: expected at least one argument"),
        *(
            (["--engine-url", url], f"--engine-url: {url!r} {BAD_URL}")
            for url in (
                *("", "127.0.0.1:9000", "localhost", "ftp://127.0.0.1", "http://", "http://:9000", "http://a:x"),
                *("http://a:70000", "http://u:p@a", "http://a/?q=1", "http://a/#b", "http://a b", "http://ä"),
                *("http://:p@a", "http://a/?", "http://a/#"),  # the first was taken, and its key was in the log
            )
        ),
    ],
    ids=repr,
)
def test_options_that_do_not_fit(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(options)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith(f"functionary: {told}")


def test_the_options_of_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One option may name several servers, and may be repeated; a server that is named twice counts once."""
    monkeypatch.setenv("FUNCTIONARY_ENGINE_KEY", "from the environment")
    assert engine_arguments(read_options([])) == {}
    several = read_options(["--engine-url", "http://a:1/", "https://b", "--engine-url", "http://a:1/v1", "http://a:1"])
    assert engine_arguments(several) == {
        "engine_urls": ("http://a:1", "https://b"),
        "engine": None,
        "engine_key": "from the environment",
    }
    given = engine_arguments(read_options([*URL, "--engine-key", "given", "--engine", "llama.cpp"]))
    assert (given["engine_key"], given["engine"]) == ("given", "llama.cpp")
