"""The petstore example does what it says with the embedded model and a real HTTP server."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from inference import Model

EXAMPLE = Path(__file__).parents[2] / "examples" / "petstore.py"


def test_the_example_adds_a_pet_and_finds_it(
    embedded: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agent.agent.load_model", lambda name: embedded)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line.startswith("the store got")] == [
        "the store got: POST /pets",
        "the store got: GET /pets?species=dog",
    ]
    rex = '{"id":2,"name":"Rex","species":"dog"}'
    assert [line for line in lines if " returned: " in line] == [
        f"add_pet returned: {rex}",
        f"find_pets returned: [{rex}]",
    ]
    assert all(line.removeprefix("agent:").strip() for line in lines if line.startswith("agent:"))
