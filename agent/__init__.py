"""Models that call functions, and the functions that they call: `from agent import Agent, tool`."""

from agent.agent import Agent, AgentAnswer
from agent.events import AgentEnd, AgentEvent, ToolCallArguments, ToolCallStart, ToolResult
from agent.loop import Limits
from agent.mcp.tools import mcp_tools
from agent.openapi.tools import openapi_tools
from agent.python.tools import tool
from agent.tools import Tool, ToolError, ToolSourceError
from core.turn_format import ReasoningDelta, TextDelta

__all__ = [
    "Agent",
    "AgentAnswer",
    "AgentEnd",
    "AgentEvent",
    "Limits",
    "ReasoningDelta",
    "TextDelta",
    "Tool",
    "ToolCallArguments",
    "ToolCallStart",
    "ToolError",
    "ToolResult",
    "ToolSourceError",
    "mcp_tools",
    "openapi_tools",
    "tool",
]
