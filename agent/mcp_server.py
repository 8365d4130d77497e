"""Offers the local model as an MCP server: a text and a JSON Schema go in, JSON that fits comes out."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio.to_thread
import uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import Field

from agent.extraction import NotExtracted, extract
from apis.rules.fields import Shape, read
from apis.rules.schemas import SchemaObject
from checkpoints.engine_options import TITLE as ENGINE_ELSEWHERE
from checkpoints.engine_options import add_engine_options, engine_arguments, engine_fault
from core.errors import ModelError, RequestError
from inference import Model, load_model

log = logging.getLogger("functionary")

GetModel = Callable[[], Awaitable[Model]]


class _Arguments(Shape):
    refuses_unknown = "always"

    text: str
    schema_: SchemaObject = Field(alias="schema")
    instructions: str | None = None


EXTRACT = Tool(
    name="extract",
    title="Extract JSON from a text",
    description=(
        "Extract data from a text with a local language model. The result is a JSON object that always fits the given "
        "JSON Schema. The text does not leave this machine."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "The text with the data."},
            "schema": {
                "type": "object",
                "description": "The JSON Schema of the result, of type object. Descriptions help the model.",
            },
            "instructions": {"type": "string", "description": "Further instructions for the model."},
        },
        "required": ["text", "schema"],
        "additionalProperties": False,
    },
    annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
)


def extraction_server(get_model: GetModel) -> Server[Any]:
    """Return an MCP server with the tool `extract`. `get_model` returns the model when it is loaded."""

    async def list_tools(_: object, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[EXTRACT])

    async def call_tool(_: object, params: CallToolRequestParams) -> CallToolResult:
        try:
            value = await _extracted(get_model, params)
        except (NotExtracted, ModelError) as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)
        text = json.dumps(value, ensure_ascii=False)
        return CallToolResult(content=[TextContent(text=text)], structured_content=value)

    return Server("functionary", version="1", on_list_tools=list_tools, on_call_tool=call_tool)


async def _extracted(get_model: GetModel, params: CallToolRequestParams) -> Any:
    """Raises NotExtracted, and ModelError if the model cannot be loaded."""
    if params.name != EXTRACT.name:
        raise NotExtracted(f"there is no tool {params.name[:64]!r}; the only one is {EXTRACT.name}")
    try:
        given = read(_Arguments, params.arguments or {}, path="arguments")
    except RequestError as error:
        raise NotExtracted(error.message) from None
    return await extract(await get_model(), given.text, given.schema_, given.instructions or "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m agent.mcp_server", description=__doc__)
    parser.add_argument("--model", metavar="NAME", help="a folder or a name on the hub (default: the embedded model)")
    parser.add_argument("--template", metavar="NAME", help="the prompt format (default: detected)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument(
        "--http", type=int, metavar="PORT", help="serve streamable HTTP on 127.0.0.1 instead of stdio; 0: a free port"
    )
    add_engine_options(parser.add_argument_group(ENGINE_ELSEWHERE))
    options = parser.parse_args(arguments)
    if fault := engine_fault(options):
        parser.error(fault)

    def load() -> Model:
        elsewhere = engine_arguments(options)
        return load_model(options.model, template=options.template, device=options.device, **elsewhere)

    try:
        asyncio.run(_over_stdio(load) if options.http is None else _over_http(load, options.http))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"functionary: {error}")


async def _over_stdio(load: Callable[[], Model]) -> None:
    """Serve the client at standard input. Standard output has messages only: all else goes to standard error."""
    async with stdio_server() as (received, sent):
        loading = _loading(load)
        server = extraction_server(lambda: asyncio.shield(loading))
        await server.run(received, sent, server.create_initialization_options())
        await _end(loading)


async def _over_http(load: Callable[[], Model], port: int) -> None:
    loading = _loading(load)
    app = extraction_server(lambda: asyncio.shield(loading)).streamable_http_app(host="127.0.0.1")
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"address  http://127.0.0.1:{listener.getsockname()[1]}/mcp", file=sys.stderr)
        await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve([listener])
    await _end(loading)


def _loading(load: Callable[[], Model]) -> asyncio.Task[Model]:
    """Load the model in the background, so that the first answers need not wait. A failure is every call's error."""
    loading = asyncio.create_task(_loaded(load))
    loading.add_done_callback(_report)
    return loading


async def _loaded(load: Callable[[], Model]) -> Model:
    return await anyio.to_thread.run_sync(load, abandon_on_cancel=True)


def _report(loading: asyncio.Task[Model]) -> None:
    if not loading.cancelled() and (error := loading.exception()):
        log.error("functionary: %s", error)


async def _end(loading: asyncio.Task[Model]) -> None:
    """Free the model, or stop waiting for it."""
    if loading.done() and not loading.exception():
        await loading.result().engine.close()
    loading.cancel()


if __name__ == "__main__":
    main()
