"""The example of a previous README with openai 0.28.1, in a separate Python environment."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.started_server import KEY, README_MODEL, ROOT, Started
from tests.support.strict_fold import strict_fold

VENV = ROOT / ".venv-openai-0.28"
PYTHON = VENV / "bin" / "python"
SCRIPT = ROOT / "tests" / "support" / "openai_028_script.py"


@pytest.fixture(scope="session")
def old_python() -> str:
    """The Python interpreter with openai 0.28.1. Its environment is created once, in about 10 s, next to .venv."""
    installed = VENV / "installed"
    if not installed.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)], check=True)
        install = [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet", "openai==0.28.1"]
        made = subprocess.run(install, stderr=subprocess.PIPE, text=True, check=False)
        if made.returncode:
            pytest.skip(f"openai 0.28.1 cannot be installed: {made.stderr.strip().splitlines()[-1]}")
        installed.touch()
    return str(PYTHON)


@pytest.fixture(scope="module")
def seen(old_python: str, user_server: Started) -> dict[str, Any]:
    """The results of the old client, from one run of the script."""
    command = [old_python, str(SCRIPT), f"{user_server.url}/v1", KEY]
    run = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["version"] == "0.28.1"
    return found


def test_readme_example(seen: dict[str, Any]) -> None:
    (choice,) = seen["function"]["choices"]
    call = choice["message"]["function_call"]
    assert seen["function"]["model"] == README_MODEL
    assert call["name"] == "get_current_weather"
    assert json.loads(call["arguments"])["location"] in ("Istanbul", "Paris")
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("asked", ["plain", "function", "tool"])
def test_streams_add_up_to_whole_answers(seen: dict[str, Any], asked: str) -> None:
    (choice,) = strict_fold(seen[f"{asked} streamed"])["choices"]
    (expected,) = seen[asked]["choices"]
    assert choice["finish_reason"] == expected["finish_reason"]
    for message in (choice["message"], expected["message"]):
        for call in message.get("tool_calls", []):
            assert call.pop("id").startswith("call_")  # the id differs between answers
    assert choice["message"].items() <= expected["message"].items()


def test_text_when_no_function_fits(seen: dict[str, Any]) -> None:
    """With function_call "auto" the model may write text or call a function. Both have the shape of the older API."""
    (choice,) = seen["function auto"]["choices"]
    assert "tool_calls" not in choice["message"]
    assert choice["message"]["content"] or choice["message"]["function_call"]


def test_models_and_completions(seen: dict[str, Any]) -> None:
    assert README_MODEL in seen["models"]
    assert seen["model"] == README_MODEL
    assert seen["completion"]["choices"][0]["text"].startswith(" Paris")


def test_errors_become_the_right_exceptions(seen: dict[str, Any]) -> None:
    """Errors raise the right exceptions in the old client.

    The old client reads the status and a nested error object. If there is no such object, it says "Invalid response
    object".
    """
    for asked in ("bad parameter", "bad parameter, streamed"):
        assert seen[asked][:4] == ["InvalidRequestError", 400, "temperature", "decimal_above_max_value"]
    assert seen["bad function_call"][:3] == ["InvalidRequestError", 400, "function_call"]
    assert seen["unknown model"][:4] == ["InvalidRequestError", 404, None, "model_not_found"]
    assert seen["wrong key"][:4] == ["AuthenticationError", 401, None, "invalid_api_key"]
    assert seen["unknown route"][:2] == ["InvalidRequestError", 404]
    assert all("Invalid response object" not in (seen[asked] or [""])[-1] for asked in ("wrong key", "unknown route"))
