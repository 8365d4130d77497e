"""The events of a streamed response. The last event has the whole response, which is the answer without a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from apis.rules.answers import reported
from apis.rules.custom_tools import InputReader
from apis.rules.response_items import item_id
from apis.rules.response_tools import DeclaredTool
from core.conversation import ChatRequest
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta, TokenReport

Json = dict[str, Any]
Kind = Literal["message", "reasoning", "function_call", "custom_tool_call", "mcp_call"]
# The kind of an item -> the stem of its events, and the field that holds its text.
_TEXTS: dict[Kind, tuple[str, str]] = {
    "message": ("response.output_text", "text"),
    "reasoning": ("response.reasoning_text", "text"),
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
    "mcp_call": ("response.mcp_call_arguments", "arguments"),
}


@dataclass
class _OpenItem:
    """An item that is being written. `fields` are those that do not change."""

    kind: Kind
    index: int
    fields: Json
    reader: InputReader | None = None  # of the text of a custom tool's call
    texts: list[str] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    result: Json = field(default_factory=dict)  # of a call that the server runs

    def opening(self) -> Iterator[Json]:
        """Yield the events before the first text."""
        yield self._item_event("added", self.shown("in_progress", is_open=True))
        if self.kind == "message":
            yield self._event("response.content_part.added", content_index=0, part=self._part("", []))
        if self.kind == "mcp_call":
            yield self._event("response.mcp_call.in_progress")

    def delta(self, text: str, logprobs: list[Json]) -> Iterator[Json]:
        """Yield the event of new text."""
        if self.reader:
            text = self.reader.feed(text)
            if not text:
                return
        self.texts.append(text)
        self.logprobs += logprobs
        yield self._event(f"{_TEXTS[self.kind][0]}.delta", **self._place(logprobs), delta=text)

    def text_end(self) -> Iterator[Json]:
        """Yield the events after the last text."""
        stem, key = _TEXTS[self.kind]
        text = "".join(self.texts)
        name = {"name": self.fields["name"]} if self.kind == "function_call" else {}
        yield self._event(f"{stem}.done", **self._place(self.logprobs), **name, **{key: text})
        if self.kind == "message":
            yield self._event("response.content_part.done", content_index=0, part=self._part(text, self.logprobs))

    def end(self, status: str) -> Iterator[Json]:
        """Yield the events at the end of the item."""
        if self.kind == "mcp_call":
            yield self._event(f"response.mcp_call.{status}")
        yield self._item_event("done", self.shown(status))

    def shown(self, status: str, *, is_open: bool = False) -> Json:
        """Return the item as an event or the answer has it."""
        text = "".join(self.texts)
        match self.kind:
            case "message":
                return {
                    **self.fields,
                    "status": status,
                    "content": [] if is_open else [self._part(text, self.logprobs)],
                }
            case "reasoning":
                return {**self.fields, "content": [] if is_open else [{"type": "reasoning_text", "text": text}]}
            case _:
                return {**self.fields, "status": status, _TEXTS[self.kind][1]: text, **self.result}

    def _place(self, logprobs: list[Json]) -> Json:
        match self.kind:
            case "message":
                return {"content_index": 0, "logprobs": logprobs}
            case "reasoning":
                return {"content_index": 0}
        return {}

    def _part(self, text: str, logprobs: list[Json]) -> Json:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def _event(self, kind: str, **fields: Any) -> Json:
        return {"type": kind, "item_id": self.fields["id"], "output_index": self.index, **fields}

    def _item_event(self, kind: str, item: Json) -> Json:
        return {"type": f"response.output_item.{kind}", "output_index": self.index, "item": item}


class ResponseWriter:
    """Turns the events of one answer into the events of a stream, without their numbers.

    head: the answer before anything is generated. tools: full name -> the tool of the request.
    """

    def __init__(self, head: Json, request: ChatRequest, tools: Mapping[str, DeclaredTool]) -> None:
        self._head = head
        self._request = request
        self._tools = tools
        self._has_begun = False
        self._item: _OpenItem | None = None  # the last item, while its text is written
        self._running: dict[str, _OpenItem] = {}  # call id -> the item of a call that the server runs
        self._output: list[Json] = []  # an item that is not over is as it began
        self._reports: list[TokenReport] = []

    def items(self, event: Event | TokenReport | Finish) -> Iterator[Json]:
        """Yield the events of the API for one event of the answer."""
        yield from self._beginning()
        match event:
            case TokenReport():
                self._reports.append(event)
            case TextDelta(text):
                yield from self._continued("message")
                reports, self._reports = self._reports, []
                yield from self._added(text, [reported(report) for report in reports])
            case ReasoningDelta(text):
                yield from self._continued("reasoning")
                yield from self._added(text)
            case CallStart(name):
                yield from self._call(self._tools[self._request.own_name(name)])
            case ArgsDelta(text):
                yield from self._added(text)
            case Finish():
                yield from self._end(event)

    def call(self, call_id: str, name: str, source: str) -> Iterator[Json]:
        """Yield the events of the start of a call that the server runs."""
        yield from self._beginning()
        fields = {"server_label": source, "name": name, "approval_request_id": None}
        yield from self._opened("mcp_call", fields, {"output": None, "error": None})
        if self._item:
            self._running[call_id] = self._item

    def call_arguments(self, call_id: str, text: str) -> Iterator[Json]:
        """Yield the events of more arguments."""
        yield from self._running[call_id].delta(text, [])

    def call_result(self, call_id: str, name: str, text: str, *, is_error: bool) -> Iterator[Json]:
        """Yield the events of the end of a call. The results may come in any order."""
        item = self._running.pop(call_id)
        if item is self._item:
            yield from self._closed("")
        error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}
        item.result = {"output": None, "error": error} if is_error else {"output": text, "error": None}
        yield from self._ended(item, "failed" if is_error else "completed")

    def _beginning(self) -> Iterator[Json]:
        if not self._has_begun:
            self._has_begun = True
            yield {"type": "response.created", "response": self._head}
            yield {"type": "response.in_progress", "response": self._head}

    def _continued(self, kind: Literal["message", "reasoning"]) -> Iterator[Json]:
        """Open an item of this kind unless one is open."""
        if self._item and self._item.kind == kind:
            return
        fields: Json = {"role": "assistant"} if kind == "message" else {"summary": []}
        yield from self._opened(kind, fields)

    def _call(self, tool: DeclaredTool) -> Iterator[Json]:
        kind: Kind = "custom_tool_call" if tool.is_custom else "function_call"
        namespace = {"namespace": tool.namespace} if tool.namespace else {}
        yield from self._opened(kind, {"call_id": "call_" + secrets.token_hex(12), "name": tool.name, **namespace})

    def _opened(self, kind: Kind, fields: Json, result: Json | None = None) -> Iterator[Json]:
        yield from self._closed("completed")
        index = len(self._output)
        identity = {"type": kind, "id": item_id(kind, self._head["id"], str(index))}
        reader = InputReader() if kind == "custom_tool_call" else None
        self._item = _OpenItem(kind, index, {**identity, **fields}, reader, result=result or {})
        self._output.append(self._item.shown("in_progress", is_open=True))
        yield from self._item.opening()

    def _added(self, text: str, logprobs: list[Json] | None = None) -> Iterator[Json]:
        if self._item:
            yield from self._item.delta(text, logprobs or [])

    def _closed(self, status: str) -> Iterator[Json]:
        """End the text of the last item, if it is open, and the item, unless it is a call that the server runs."""
        item, self._item = self._item, None
        if item:
            yield from item.text_end()
            if item.kind != "mcp_call":
                yield from self._ended(item, status)

    def _ended(self, item: _OpenItem, status: str) -> Iterator[Json]:
        self._output[item.index] = item.shown(status)
        yield from item.end(status)

    def _end(self, finish: Finish) -> Iterator[Json]:
        has_only_reasoned = all(item["type"] in ("reasoning", "mcp_call") for item in self._output)
        if has_only_reasoned and (finish.reason == "stop" or not self._output):
            yield from self._continued("message")  # an answer that ended has a text, if it has no calls
        status = "completed" if finish.reason == "stop" else "incomplete"
        yield from self._closed(status)
        response = {
            **self._head,
            "status": status,
            "completed_at": int(time.time()) if status == "completed" else None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "output": self._output,
            "usage": response_usage(finish),
        }
        yield {"type": f"response.{status}", "response": response}


def response_usage(finish: Finish) -> Json:
    """Build the token counts of a response."""
    return {
        "input_tokens": finish.prompt_tokens,
        "input_tokens_details": {"cached_tokens": finish.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": finish.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": finish.reasoning_tokens},
        "total_tokens": finish.prompt_tokens + finish.completion_tokens,
    }
