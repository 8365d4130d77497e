"""Shows the model those of a request's tools that are nearest to what was said: `server.py --tool-search N`."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from agent.search import narrowed
from core.conversation import ChatRequest, CompletionRequest

Asked = TypeVar("Asked", ChatRequest, CompletionRequest)


def with_nearest_tools(chat: Asked, limit: int | None) -> Asked:
    """Return the request with at most `limit` of its tools; None for all. Other requests have none.

    Tools that the tool choice forbids are left out first. The choice depends on messages of users and on earlier calls,
    so that each round of an answer has the same tools.
    """
    if isinstance(chat, CompletionRequest) or limit is None or len(chat.tools) <= limit or chat.choice.mode == "none":
        return chat
    allowed = chat.choice.names
    callable_tools = [tool for tool in chat.tools if allowed is None or tool.name in allowed]
    shown = narrowed(callable_tools, chat.messages, limit)
    return replace(chat, tools=shown, num_hidden_tools=len(chat.tools) - len(shown))
