"""Without the package indexes, the tests with clients are skipped and say so; they do not fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import client_environments
from tests.support.client_environments import CannotInstall, Environments, install


@pytest.mark.parametrize("name", ["anthropic", "openai.js"])
def test_an_index_that_cannot_be_reached(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client_environments, "FOLDER", tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(CannotInstall):
        install(name)
    environments = Environments([name], node=False)
    with pytest.raises(pytest.skip.Exception, match=f"{name} cannot be installed: "):
        environments.folder(name)
    environments.close()


def test_npm_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client_environments, "FOLDER", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CannotInstall, match="npm is missing"):
        install("codex")
