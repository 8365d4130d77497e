"""Reads the files for containers, systemd and Kubernetes as the programs that use them do."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
VALUES = {"MODEL": "Qwen/Qwen3-8B"}  # of the variables in .env


def instructions(name: str = "Dockerfile") -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile in their order, each with its arguments on one line."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    found = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, rest in found]


def instruction(word: str) -> str:
    """Return the arguments of the only instruction of this kind."""
    (arguments,) = [rest for name, rest in instructions() if name == word]
    return arguments


def entry_point() -> list[str]:
    """Return the options that the image gives to server.py."""
    words: list[str] = json.loads(instruction("ENTRYPOINT"))
    assert words[:2] == ["python", "server.py"]
    return words[2:]


def health_check() -> list[str]:
    """Return the image's command that tells whether the server works."""
    words: list[str] = json.loads(instruction("HEALTHCHECK").split(" CMD ", 1)[1])
    return words


def services() -> dict[str, Any]:
    """Return the services of compose.yaml. Variables keep their braces."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def with_values(text: str) -> str:
    """Return `text` with the variables of VALUES filled in, as Compose does."""
    return re.sub(r"\$\{(\w+)(?::[^}]*)?\}", lambda found: VALUES[found[1]], text)


def kubernetes(kind: str) -> dict[str, Any]:
    """Return the only object of this kind in the manifest."""
    objects = yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8"))
    (found,) = [one for one in objects if one["kind"] == kind]
    return dict(found)


def pod() -> dict[str, Any]:
    """Return the specification of the manifest's pods."""
    found: dict[str, Any] = kubernetes("Deployment")["spec"]["template"]["spec"]
    return found


def unit() -> dict[str, list[str]]:
    """Return the settings of the systemd unit, each with its values in their order."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "deploy" / "functionary.service").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def unit_options() -> list[str]:
    """Return the options that the systemd unit gives to server.py, without those of the file of variables."""
    (command,) = unit()["ExecStart"]
    words = shlex.split(command)
    return [word for word in words[words.index("server.py") + 1 :] if word != "$OPTIONS"]


def seconds(text: str) -> int:
    """Return a duration such as 45s or 30m, or a plain number of seconds."""
    number, unit_of_time = re.fullmatch(r"(\d+)([sm]?)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit_of_time == "m" else 1)


def drain_timeout(options: list[str]) -> int:
    """Return the value of --drain-timeout among `options`."""
    text = " ".join(options)
    found = re.search(r"--drain-timeout[= ](\d+)", text)
    assert found, f"no --drain-timeout in {text}"
    return int(found[1])
