"""A published MCP server, in an environment of its own, is a source of tools."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agent import AgentEnd, Tool, ToolResult
from agent.loop import answer
from agent.mcp.tools import mcp_tools
from core.conversation import Message
from tests.support.client_environments import Environments
from tests.support.scripted_chat import ScriptedChat

ZONE = "Asia/Kathmandu"


async def results_of(model: ScriptedChat, tools: tuple[Tool, ...]) -> list[ToolResult]:
    events = [event async for event in answer(model, [Message("user", "What time is it in Nepal?")], tools)]
    assert isinstance(events[-1], AgentEnd) and events[-1].reason == "stop"
    return [event for event in events if isinstance(event, ToolResult)]


@pytest.mark.parametrize("environment", ["mcp-server-time"])
def test_the_time_server(environment: str, environments: Environments) -> None:
    command = environments.folder(environment) / "bin" / "mcp-server-time"
    wrong, right = {"timezone": "Nowhere/City"}, {"timezone": ZONE}
    model = ScriptedChat([("get_current_time", wrong)], [("get_current_time", right)], "It is late.")
    server = {"command": str(command), "args": ["--local-timezone", "UTC"]}
    with mcp_tools({"mcpServers": {"time": server}}) as tools:
        assert [tool.name for tool in tools] == ["get_current_time", "convert_time"]
        failed, told = asyncio.run(results_of(model, tools))
    assert failed.is_error and "Nowhere/City" in failed.text
    now = datetime.fromisoformat(json.loads(told.text)["datetime"])
    assert not told.is_error and now.utcoffset() == timedelta(hours=5, minutes=45)
    assert abs(datetime.now(ZoneInfo(ZONE)) - now) < timedelta(minutes=5)
