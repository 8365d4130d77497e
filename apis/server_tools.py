"""GET /v1/tools: the tools that the server runs for requests with `server_tools`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from apis.rules.answers import Answer
from apis.rules.server_tools import ServerTools

Json = dict[str, Any]


class ToolCard(Answer):
    """A tool that the server runs."""

    object: Literal["tool"] = Field(description="Always tool.")
    name: str = Field(description="The name, for server_tools.")
    description: str = Field(description="What the tool does. The model sees this text.")
    parameters: dict[str, Any] = Field(description="The parameters, as a JSON Schema.")
    source: str = Field(description="Where the tool comes from: the name of a file, or of an MCP server.")
    needs_confirmation: bool = Field(
        description="Whether somebody has to confirm each call. The server does not run such a tool: it can ask nobody."
    )


class ToolList(Answer):
    """The answer of /v1/tools."""

    object: Literal["list"] = Field(description="Always list.")
    data: list[ToolCard] = Field(description="The tools; empty on a server without tools.")


def tool_list(tools: ServerTools) -> Json:
    """Build the answer of /v1/tools."""
    return {
        "object": "list",
        "data": [
            {
                "object": "tool",
                "name": name,
                "description": tool.function.description,
                "parameters": tool.function.parameters or {"type": "object", "properties": {}},
                "source": tool.source,
                "needs_confirmation": tool.needs_confirmation,
            }
            for name, tool in tools.items()
        ],
    }
