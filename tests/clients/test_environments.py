"""Without the package indexes, the tests with clients are skipped and say so; they do not fail."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.client_environments import CannotInstall, Environments, install


@pytest.mark.parametrize("name", ["anthropic", "openai.js"])
def test_an_index_that_cannot_be_reached(name: str, tmp_path: Path) -> None:
    variables = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
        "npm_config_registry": "http://127.0.0.1:1/",
        "npm_config_cache": str(tmp_path / "cache"),
    }
    environments = Environments([name], node=False, install=partial(install, parent=tmp_path, **variables))
    with pytest.raises(pytest.skip.Exception, match=f"{name} cannot be installed: "):
        environments.folder(name)
    environments.close()


def test_npm_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CannotInstall, match="npm is missing"):
        install("codex", tmp_path, PATH=str(tmp_path))
