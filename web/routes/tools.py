"""The tools that the server runs for requests with `server_tools`."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from apis.server_tools import ToolList, tool_list
from web.openapi import Operation, Route


async def tools(request: Request) -> dict[str, Any]:
    """List the tools that the server runs if a request asks for them by `server_tools`."""
    return tool_list(request.app.state.tools)


ROUTES: tuple[Route, ...] = (Route("/v1/tools", tools, "GET", Operation(ToolList)),)
