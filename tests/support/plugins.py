"""OpenAPI documents for tests, and calls of their tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agent.calls import Confirmation, run_call
from agent.events import ToolResult
from agent.openapi.tools import openapi_tools
from agent.tools import Tool, by_name
from core.conversation import Call
from tests.support.raw_server import RawServer


def document(operation: Mapping[str, Any], path: str = "/x", method: str = "get", **more: Any) -> dict[str, Any]:
    """Return a document with one operation, `call`."""
    whole = {"operationId": "call", "summary": "Call it", **operation}
    info = {"title": "Pet Store", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": {path: {method: whole}}, **more}


def parameter(name: str, place: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    schema = {"type": kind, "items": {}} if kind == "array" else {"type": kind}
    return {"name": name, "in": place, "schema": schema, "required": place == "path", **more}


def tools_at(server: RawServer, source: Any, **options: Any) -> dict[str, Tool]:
    """Return the tools of a document whose server is `server`."""
    options = {"base_url": server.url, "allow_private": True, "environment": {}, **options}
    return by_name(openapi_tools(source, **options))


def called(tools: Mapping[str, Tool], name: str = "call", arguments: str = "{}") -> ToolResult:
    """Run one call as an agent does."""
    return asyncio.run(run_call(tools, Call(name, arguments, "1"), Confirmation(None), 65_536))
