"""The answer of Anthropic's Messages API: events of the model -> Anthropic's stream events -> the whole message."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from apis.rules.json_text import JsonError, read_json
from core.conversation import ChatRequest
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta, TokenReport

Json = dict[str, Any]

# Thinking is not signed here. The text is not empty, because some clients send back only thinking with a signature.
SIGNATURE = "unsigned"


class MessageWriter:
    """Turns the events of one answer into Anthropic's stream events.

    The message begins with the first event. Text, reasoning and each call are blocks, whose indices count from 0.
    """

    def __init__(self, request: ChatRequest, message_id: str, num_prompt_tokens: int) -> None:
        self._request = request
        self._id = message_id
        self._num_prompt_tokens = num_prompt_tokens
        self._has_begun = False
        self._index = -1  # of the last block
        self._open = ""  # the type of the open block
        self._has_calls = False

    def items(self, event: Event | TokenReport | Finish) -> Iterator[Json]:
        """Yield the stream events for one event of the answer."""
        if not self._has_begun:
            self._has_begun = True
            yield self._message_start()
        match event:
            case TextDelta(text):
                yield from self._in_block("text", {"text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case ReasoningDelta(text):
                yield from self._in_block("thinking", {"thinking": "", "signature": ""})
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case CallStart(name):
                self._has_calls = True
                call = {"id": "toolu_" + secrets.token_hex(12), "name": self._request.own_name(name), "input": {}}
                yield from self._close()
                yield from self._in_block("tool_use", call)
            case ArgsDelta(text):
                yield self._delta({"type": "input_json_delta", "partial_json": text})
            case Finish():
                yield from self._close()
                yield self._message_delta(event)
                yield {"type": "message_stop"}

    def _message_start(self) -> Json:
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(self._num_prompt_tokens, 0, 0),
        }
        return {"type": "message_start", "message": message}

    def _in_block(self, kind: str, fields: Json) -> Iterator[Json]:
        """Yield the start of a block with these fields, unless a block of this type is open."""
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": {"type": kind, **fields}}

    def _close(self) -> Iterator[Json]:
        if not self._open:
            return
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": SIGNATURE})
        self._open = ""
        yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, delta: Json) -> Json:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _message_delta(self, finish: Finish) -> Json:
        """Return the end of the message. Its token counts are those of the whole answer and replace the first ones."""
        reason = self._stop_reason(finish)
        return {
            "type": "message_delta",
            "delta": {
                "stop_reason": reason,
                "stop_sequence": finish.stop_string if reason == "stop_sequence" else None,
            },
            "usage": _usage(finish.prompt_tokens, finish.cached_tokens, finish.completion_tokens),
        }

    def _stop_reason(self, finish: Finish) -> str:
        """Return Anthropic's stop reason. After a call it is tool_use, since clients then run the calls."""
        if finish.reason == "length":
            return "max_tokens"
        if self._has_calls:
            return "tool_use"
        return "end_turn" if finish.stop_string is None else "stop_sequence"


def _usage(num_prompt: int, num_cached: int, num_generated: int) -> Json:
    """Build the token counts. As in Anthropic's API, the cached tokens of the prompt are not part of input_tokens."""
    return {
        "input_tokens": num_prompt - num_cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": num_cached,
        "output_tokens": num_generated,
    }


def fold_message(events: Iterable[Json]) -> Json:
    """Combine the stream events of one answer into the whole message.

    The input of a call is {} if its arguments are no JSON object, as after a token limit.
    """
    message: Json = {}
    arguments: dict[int, str] = {}  # index of a block -> the arguments so far
    for event in events:
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                index, delta = event["index"], event["delta"]
                if delta["type"] == "input_json_delta":
                    arguments[index] = arguments.get(index, "") + delta["partial_json"]
                else:
                    field = delta["type"].removesuffix("_delta")
                    message["content"][index][field] += delta[field]
            case "message_delta":
                message |= {**event["delta"], "usage": event["usage"]}
    for index, text in arguments.items():
        message["content"][index]["input"] = _input(text)
    return message


def _input(arguments: str) -> Json:
    try:
        return read_json(arguments.encode())
    except JsonError:
        return {}
