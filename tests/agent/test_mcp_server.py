"""Tests of the MCP server that offers the local model, with the official client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from agent.extraction import NotExtracted, extract
from agent.mcp_server import extraction_server
from inference import Model
from tests.support.scripted_engine import ScriptedEngine, scripted

ROOT = Path(__file__).parents[2]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
ANSWER = '{"name": "Ann", "age": 34}'


def answered(model: Model, arguments: dict[str, Any], tool: str = "extract") -> CallToolResult:
    """Call the server in this process."""

    async def call() -> CallToolResult:
        async def get_model() -> Model:
            return model

        async with Client(extraction_server(get_model)) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(call())


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def prompt_of(model: Model, engine: ScriptedEngine) -> str:
    return model.tokenizer.decode(engine.last_prompt)


def test_the_result_is_json_and_structured(chatml: Model) -> None:
    model, engine = scripted(chatml, ANSWER)
    given = {"text": "Ann is 34.", "schema": PERSON, "instructions": "Age in years."}
    result = answered(model, given)
    assert not result.is_error
    assert json.loads(text_of(result)) == result.structured_content == {"name": "Ann", "age": 34}
    prompt = prompt_of(model, engine)
    assert all(part in prompt for part in ("Ann is 34.", json.dumps(PERSON), "Age in years."))
    assert engine.last_sampling and engine.last_sampling.constraint and engine.last_sampling.temperature == 0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ('{"name": "Ann"', "the result is no JSON"),
        ('{"name": "Ann"}', "the result does not fit the schema: $: 'age' is a required property"),
    ],
)
def test_a_result_that_does_not_fit_never_leaves_the_server(chatml: Model, output: str, said: str) -> None:
    """The grammar binds the model. Were it to fail, the caller gets an error and no wrong data."""
    result = answered(scripted(chatml, output)[0], {"text": "x", "schema": PERSON})
    assert result.is_error and text_of(result).startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"text": "x"}, "Missing required parameter: 'arguments.schema'"),
        ({"schema": PERSON}, "Missing required parameter: 'arguments.text'"),
        ({"text": 1, "schema": PERSON}, "Invalid type for 'arguments.text'"),
        ({"text": "x", "schema": PERSON, "instruction": ""}, "Unknown parameter: 'arguments.instruction'"),
        ({"text": "x", "schema": {"type": "array"}}, "schema must be a JSON Schema of 'type: \"object\"'"),
        ({"text": "x", "schema": {"type": "object", "properties": {"a": {"$ref": "http://a"}}}}, "is not local"),
        (
            {"text": "x", "schema": {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}},
            "'uniqueItems' cannot be enforced",
        ),
        ({"text": "word " * 5000, "schema": PERSON}, "the text is too long: "),
    ],
)
def test_a_wrong_call_is_an_error_that_says_why(chatml: Model, arguments: dict[str, Any], said: str) -> None:
    result = answered(scripted(chatml, ANSWER)[0], arguments)
    assert result.is_error and said in text_of(result)
    assert "\n" not in text_of(result)


def test_a_failure_of_the_engine_is_an_error(chatml: Model) -> None:
    model, engine = scripted(chatml, ANSWER, fails_at=3)
    assert "the script says so" in text_of(answered(model, {"text": "x", "schema": PERSON}))
    assert engine.num_active == 0
    assert "there is no tool 'other'" in text_of(answered(model, {}, tool="other"))


def test_a_result_without_an_end_is_an_error(chatml: Model) -> None:
    model, _ = scripted(chatml, '{"name": "' + "a" * 5000)
    assert "does not end within" in text_of(answered(model, {"text": "x", "schema": PERSON}))


VALUES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "integer", "minimum": 0, "maximum": 99}),
    st.just({"type": "string", "maxLength": 5}),
    st.lists(st.sampled_from(["a", "bé", '"', "\\", 1, None, True]), min_size=1, max_size=3, unique_by=repr).map(
        lambda values: {"enum": values}
    ),
)
SCHEMAS = st.dictionaries(st.sampled_from(["a", "b c", "é", '"']), VALUES, min_size=1, max_size=3).map(
    lambda properties: {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCHEMAS)
def test_what_a_random_model_extracts_fits(chatml: Model, schema: dict[str, Any]) -> None:
    """The weights are random, so that only the grammar makes the result fit."""
    try:
        value = asyncio.run(extract(chatml, "the text", schema))
    except NotExtracted as error:
        assert "does not end within" in str(error)  # blanks without an end, which JSON allows
        return
    jsonschema.validate(value, schema)


def over_stdio(folder: Path, output: str, use: Callable[[Client], Coroutine[Any, Any, None]], tmp_path: Path) -> str:
    """Use the server over stdio from another folder, as its users do. Returns what it wrote to standard error."""
    script = str(ROOT / "tests" / "support" / "scripted_mcp_server.py")
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = StdioServerParameters(
        command=sys.executable, args=[script, str(folder), output], env=variables, cwd=str(tmp_path)
    )

    async def talk() -> None:
        with (tmp_path / "errors").open("w") as errors:
            async with Client(stdio_client(command, errlog=errors), read_timeout_seconds=120) as client:
                await use(client)

    asyncio.run(talk())
    return (tmp_path / "errors").read_text()


def test_over_stdio_only_messages_reach_the_client(
    chatml_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The bars of loading and any `print` would break the protocol; they go to standard error."""

    async def use(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["extract"]
        results = await asyncio.gather(
            *(client.call_tool("extract", {"text": "Ann is 34.", "schema": PERSON}) for _ in range(3))
        )
        assert [json.loads(text_of(result)) for result in results] == [{"name": "Ann", "age": 34}] * 3

    errors = over_stdio(chatml_folder, ANSWER, use, tmp_path)
    assert "loading\n" in errors and "100%" in errors
    assert "Failed to parse" not in caplog.text


def test_a_model_that_cannot_be_loaded_is_the_error_of_calls(tmp_path: Path) -> None:
    async def use(client: Client) -> None:
        for _ in range(2):
            result = await client.call_tool("extract", {"text": "x", "schema": PERSON})
            assert result.is_error and "there is no such model" in text_of(result)

    assert "functionary: " in over_stdio(tmp_path, "fails", use, tmp_path)


def test_over_http(tmp_path: Path) -> None:
    script = str(ROOT / "tests" / "support" / "scripted_mcp_server.py")
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, "no folder", "fails", "--http", "0"]

    async def use(url: str) -> None:
        async with Client(url, read_timeout_seconds=120) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["extract"]
            assert (
                text_of(await client.call_tool("extract", {"text": "x", "schema": PERSON})) == "there is no such model"
            )

    with subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            line = next(line for line in process.stderr if line.startswith("address"))
            found = re.search(r"http://127\.0\.0\.1:\d+/mcp", line)
            assert found
            asyncio.run(use(found.group()))
        finally:
            process.terminate()
