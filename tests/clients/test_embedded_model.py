"""The official clients of both APIs on a server that a user starts: the embedded model calls a tool and answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client_environments import Environments, run_client
from tests.support.started_server import KEY, ROOT, Started


@pytest.mark.parametrize(("environment", "program"), [("openai", "responses.py"), ("anthropic", "messages.py")])
def test_example(
    environment: str, program: str, environments: Environments, user_server: Started, tmp_path: Path
) -> None:
    """The choice of a tool is forced, so even a small model makes the call. Its texts may be any."""
    command = (environments.python(environment), str(ROOT / "examples" / program))
    call, *answer = run_client(user_server.url, *command, home=tmp_path, key=KEY).splitlines()
    assert call.startswith("get_weather {")
    assert "".join(answer).strip()
