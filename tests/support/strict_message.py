"""Add up the stream events of Anthropic's Messages API like a strict client."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

_USAGE = {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"}
_EMPTY: Json = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
_DELTAS = {"text": {"text_delta"}, "tool_use": {"input_json_delta"}, "thinking": {"thinking_delta", "signature_delta"}}


def named_events(body: str) -> list[Json]:
    """Return the events of a stream's body. Each has its type as a name."""
    *blocks, rest = body.split("\n\n")
    assert rest == ""
    events = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return [event for event in events if event["type"] != "ping"]


def strict_message(events: list[Json]) -> Json:
    """Return the message to which the events of a complete stream add up; a call has its arguments as text."""
    start, *middle, end, stop = events
    assert start.keys() == {"type", "message"} and start["type"] == "message_start"
    message: Json = start["message"]
    check_message(message)
    assert (message["content"], message["stop_reason"], message["stop_sequence"]) == ([], None, None)
    assert message["usage"]["output_tokens"] == 0
    blocks = _blocks(middle)
    assert end.keys() == {"type", "delta", "usage"} and end["type"] == "message_delta"
    assert end["delta"].keys() == {"stop_reason", "stop_sequence"}
    assert _prompt(end["usage"]) == _prompt(message["usage"])
    assert stop == {"type": "message_stop"}
    whole = {**message, "content": blocks, **end["delta"], "usage": end["usage"]}
    check_message({**whole, "content": [{**block, "input": {}} if "input" in block else block for block in blocks]})
    return whole


def check_message(message: Json) -> None:
    """Check the fields and types of a message."""
    keys = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
    assert message.keys() == keys, message.keys() ^ keys
    assert message["id"].startswith("msg_") and (message["type"], message["role"]) == ("message", "assistant")
    assert message["stop_reason"] in (None, "end_turn", "max_tokens", "stop_sequence", "tool_use")
    assert (message["stop_sequence"] is not None) == (message["stop_reason"] == "stop_sequence")
    assert message["usage"].keys() == _USAGE
    assert all(type(count) is int and count >= 0 for count in message["usage"].values())
    for block in message["content"]:
        match block["type"]:
            case "text":
                assert block.keys() == {"type", "text"} and block["text"]
            case "thinking":
                assert block.keys() == {"type", "thinking", "signature"}
                assert block["thinking"] and block["signature"]
            case "tool_use":
                assert block.keys() == {"type", "id", "name", "input"}
                assert block["id"].startswith("toolu_") and block["name"] and isinstance(block["input"], dict)
            case _:
                raise AssertionError(block)


def without_ids(message: Json) -> Json:
    """Return a whole message without what differs between two answers to one request."""
    content = [{key: value for key, value in block.items() if key != "id"} for block in message["content"]]
    return {key: value for key, value in {**message, "content": content}.items() if key not in ("id", "usage")}


def _prompt(usage: Json) -> int:
    return sum(count for name, count in usage.items() if name != "output_tokens")


def _blocks(events: list[Json]) -> list[Json]:
    blocks: list[Json] = []
    is_open = False
    for event in events:
        kind = event["type"]
        if kind == "content_block_start":
            assert event.keys() == {"type", "index", "content_block"}
            block = event["content_block"]
            assert not is_open and event["index"] == len(blocks)
            assert block["type"] == "tool_use" or block == _EMPTY[block["type"]]
            assert block["type"] != "tool_use" or block["input"] == {}
            blocks.append({**block, "input": ""} if block["type"] == "tool_use" else dict(block))
            is_open = True
            continue
        assert is_open and event["index"] == len(blocks) - 1
        if kind == "content_block_stop":
            assert event.keys() == {"type", "index"}
            is_open = False
            continue
        assert kind == "content_block_delta" and event.keys() == {"type", "index", "delta"}
        _add(blocks[-1], event["delta"])
    assert not is_open
    return blocks


def _add(block: Json, delta: Json) -> None:
    kind = delta["type"]
    assert kind in _DELTAS[block["type"]] and len(delta) == 2
    if kind == "input_json_delta":
        block["input"] += delta["partial_json"]
        return
    field = kind.removesuffix("_delta")
    assert delta[field]
    block[field] += delta[field]
