"""Every client library runs its program of examples/ unmodified: whole and streamed, with a tool round trip.

The model answers by fixed rules, so the whole printed text is known.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.clients.conftest import Conversing
from tests.support.client_environments import Environments, first_version, needs_node, run_client
from tests.support.started_server import ROOT

CALL = 'get_weather {"city": "Paris"}'
RESULT = "It is 21 degrees in Paris."
TYPED = "city='Paris' degrees=21"
TYPED_JS = "{ city: 'Paris', degrees: 21 }"

# environment, program, what it prints, and the endpoints that it asks
PROGRAMS = (
    ("openai", "weather.py", ['get_current_weather {"location": "Istanbul"}', RESULT], {"/v1/chat/completions"}),
    ("openai", "responses.py", [CALL, RESULT, TYPED], {"/v1/responses"}),
    ("anthropic", "messages.py", ["get_weather {'city': 'Paris'}", RESULT], {"/v1/messages"}),
    ("openai-agents", "openai_agents.py", [RESULT, RESULT], {"/v1/responses"}),
    ("pydantic-ai", "pydantic_ai_agent.py", [RESULT, RESULT, TYPED] * 2, {"/v1/responses", "/v1/messages"}),
    ("langchain", "langchain_agent.py", [RESULT, TYPED] * 2, {"/v1/chat/completions", "/v1/responses"}),
    ("instructor", "instructor_answer.py", [TYPED, TYPED] * 2, {"/v1/chat/completions", "/v1/messages"}),
    (
        "litellm",
        "litellm_messages.py",
        [CALL, RESULT] * 3 + ["get_weather {'city': 'Paris'}", RESULT] * 2,
        {"/v1/chat/completions", "/v1/responses", "/v1/messages"},
    ),
    ("mirascope", "mirascope_call.py", [CALL, RESULT, RESULT, TYPED] * 2, {"/v1/responses", "/v1/messages"}),
    ("smolagents", "smolagents_agent.py", [RESULT, RESULT], {"/v1/chat/completions"}),
    ("openai.js", "responses.mjs", [CALL, RESULT, RESULT, TYPED_JS], {"/v1/responses"}),
    ("ai-sdk.js", "ai_sdk.mjs", ["21 degrees in Paris", RESULT, RESULT, TYPED_JS], {"/v1/responses"}),
    ("openai-agents.js", "openai_agents.mjs", [RESULT, RESULT], {"/v1/responses"}),
)


AGENTS = {"codex.toml": "codex", "claude_code.sh": "claude-code"}
ROW = re.compile(r"^\| \D*(\d+\.\d+)[ |].*\(\.\./examples/(.+?)\) \|$", re.MULTILINE)


@pytest.mark.parametrize(("environment", "program", "printed", "paths"), PROGRAMS, ids=[one[1] for one in PROGRAMS])
def test_example(
    environment: str,
    program: str,
    printed: list[str],
    paths: set[str],
    environments: Environments,
    conversing_server: Conversing,
    tmp_path: Path,
) -> None:
    conversing_server.forget()
    if needs_node(environment):
        copy = environments.folder(environment) / program  # node looks for packages next to the program
        interpreter = environments.node()
    else:
        copy = tmp_path / program
        interpreter = environments.python(environment)
    text = (ROOT / "examples" / program).read_text()
    copy.write_text(text.replace("http://localhost:8000", conversing_server.url))
    output = run_client(conversing_server.url, interpreter, str(copy), home=tmp_path)
    assert output.splitlines() == printed
    assert set(conversing_server.paths) == paths


def test_documented_programs_are_those_that_are_tested() -> None:
    """Each row of the table names a program of examples/ and the version of the client that the tests run it with."""
    table = (ROOT / "docs" / "clients.md").read_text()
    documented = {program: version for version, program in re.findall(ROW, table)}
    tested = {program: environment for environment, program, *_ in PROGRAMS} | AGENTS
    assert documented.keys() == tested.keys()
    for program, version in documented.items():
        assert first_version(tested[program]).startswith(f"{version}.")
