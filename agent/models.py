"""What an agent asks: a model in this process, or any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agent.tools import Json
from apis.rules.tool_names import with_aliases
from client.chunks import events
from client.endpoints import HttpEndpoint
from client.rows import function_json, message_json
from core.conversation import ChatRequest, Function, Message, Tool, ToolChoice
from core.turn_format import CallStart, Event, Finish, TokenReport
from inference import Model, stream


class LocalModel:
    """A model in this process. All parts of `request` but its messages and tools count for every answer."""

    def __init__(self, model: Model, request: ChatRequest) -> None:
        self._model = model
        self._request = request

    @property
    def max_context(self) -> int:
        return self._model.engine.max_context

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, is_followup: bool
    ) -> AsyncGenerator[Event | TokenReport | Finish]:
        """Yield the events of one answer. Raises what `inference.stream` raises."""
        choice = self._request.choice
        if is_followup and choice.mode in ("required", "named"):
            choice = ToolChoice("auto", choice.names if choice.mode == "required" else None)
        shown = with_aliases(replace(self._request, messages=tuple(messages), tools=tuple(tools), choice=choice))
        async with aclosing(stream(self._model, shown)) as events:
            async for event in events:
                yield CallStart(shown.own_name(event.name)) if isinstance(event, CallStart) else event


class RemoteModel:
    """A server at a base URL that ends with /v1. `parameters` are further fields of every request's body."""

    max_context: int | None = None

    def __init__(self, base_url: str, model: str = "", *, api_key: str = "", parameters: Json | None = None) -> None:
        """Without a name, the model is the first that the server lists."""
        self._base_url = base_url
        self._model = model
        self._api_key = api_key
        self._parameters = parameters or {}

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, is_followup: bool
    ) -> AsyncGenerator[Event | TokenReport | Finish]:
        """Yield the events of one answer. Raises RequestError, NoAnswer or Unusable."""
        parameters = dict(self._parameters)
        if is_followup and "tool_choice" in parameters:
            parameters["tool_choice"] = _unforced(parameters["tool_choice"])
        functions = [function_json(tool) for tool in tools if isinstance(tool, Function)]
        body: Json = {**parameters, "messages": [_message(message) for message in messages]}
        if functions:
            body["tools"] = [{"type": "function", "function": function} for function in functions]
        async with HttpEndpoint(self._base_url, self._model, api_key=self._api_key) as endpoint:
            self._model = endpoint.model
            async with aclosing(events(endpoint.stream(body))) as read:
                async for event in read:
                    yield event


def _unforced(choice: Any) -> Any:
    """Return a `tool_choice` that forces no call. A list of allowed functions stays."""
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return {**choice, "allowed_tools": {**choice.get("allowed_tools", {}), "mode": "auto"}}
    return choice if choice in ("none", "auto") else "auto"


def _message(message: Message) -> Json:
    """Write a message. Models that reason before a call go on from their reasoning, which only their servers send."""
    reasoning = {"reasoning_content": message.reasoning} if message.reasoning and message.calls else {}
    return {**message_json(message), **reasoning}
