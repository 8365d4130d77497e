"""The messages of a request and of its answer as OpenTelemetry's conventions write them, for `--trace-contents`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agent.events import ToolCallArguments, ToolCallStart, ToolResult
from core.conversation import ChatRequest, CompletionRequest, Message
from core.turn_format import ArgsDelta, CallStart, ReasoningDelta, TextDelta

Json = dict[str, Any]


def as_text(messages: list[Json]) -> str:
    """Return the value of an attribute, which cannot hold objects."""
    return json.dumps(messages, ensure_ascii=False)


def input_messages(asked: ChatRequest | CompletionRequest) -> list[Json]:
    """Return the messages of a chat, or each raw prompt as a message of the user."""
    if isinstance(asked, CompletionRequest):
        prompts = [prompt if isinstance(prompt, str) else json.dumps(prompt) for prompt in asked.prompts]
        return [{"role": "user", "parts": [{"type": "text", "content": prompt}]} for prompt in prompts]
    return [{"role": message.role, "parts": _parts(message)} for message in asked.messages]


def _parts(message: Message) -> list[Json]:
    if message.role == "tool":
        return [{"type": "tool_call_response", "id": message.call_id, "response": message.content or ""}]
    parts: list[Json] = [{"type": "reasoning", "content": message.reasoning}] if message.reasoning else []
    parts += [{"type": "text", "content": message.content}] if message.content else []
    return parts + [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments} for call in message.calls
    ]


class OutputMessage:
    """One choice of the answer. With `keep`, its events are kept as parts of a message."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self.has_call = False
        self._parts: list[tuple[Json, str, list[str]]] = []  # a part, its field that grows, and what it grows by

    def keep(self, event: object, own_name: Callable[[str], str]) -> None:
        """Add an event. own_name: the request's name for a function."""
        match event:
            case TextDelta(text):
                self._grow("text", text)
            case ReasoningDelta(text):
                self._grow("reasoning", text)
            case CallStart(name):
                self._parts.append(({"type": "tool_call", "name": own_name(name)}, "arguments", []))
            case ToolCallStart(call_id, name):
                self._parts.append(({"type": "tool_call", "id": call_id, "name": name}, "arguments", []))
            case ArgsDelta(text) | ToolCallArguments(text=text):
                self._parts[-1][2].append(text)
            case ToolResult(call_id, _, text):
                self._parts.append(({"type": "tool_call_response", "id": call_id}, "response", [text]))

    def _grow(self, kind: str, text: str) -> None:
        if not self._parts or self._parts[-1][0]["type"] != kind:
            self._parts.append(({"type": kind}, "content", []))
        self._parts[-1][2].append(text)

    def arguments(self, call_id: str) -> str:
        """Return the arguments of a call that the server ran."""
        pieces = [pieces for part, key, pieces in self._parts if part.get("id") == call_id and key == "arguments"]
        return "".join(pieces[0]) if pieces else ""

    def as_json(self) -> Json:
        parts = [{**part, key: "".join(pieces)} for part, key, pieces in self._parts]
        return {"role": "assistant", "parts": parts, "finish_reason": self.finish_reason}
