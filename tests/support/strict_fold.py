"""Add up the chunks of a stream like a strict client, which fails on anything that some client cannot process."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
TEXTS = {"function": "arguments", "custom": "input"}  # the streamed text of each type of tool call
KINDS = ("content", "tool_calls", "function_call")


def events(body: str) -> list[Json]:
    """Return the chunks in a stream's body. The body must have only data lines, and [DONE] at the end."""
    *blocks, done, rest = body.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block != ": ping"]


def strict_fold(chunks: list[Json], *, include_usage: bool = False) -> Json:
    """Return the whole answer, {choices, usage}, to which the chunks add up."""
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert not any("error" in chunk for chunk in chunks), "openai 0.28 takes the bare key for an error"
    usage = None
    if include_usage:
        *chunks, last = chunks
        assert last["choices"] == []
        usage = last["usage"]
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        assert not any("usage" in chunk for chunk in chunks)
    parts = [part for chunk in chunks for part in chunk["choices"]]
    indices = sorted({part["index"] for part in parts})
    choices = [_choice([part for part in parts if part["index"] == index]) for index in indices]
    return {"choices": choices, "usage": usage}


def _choice(parts: list[Json]) -> Json:
    *body, last = parts
    assert last["delta"] == {}
    assert isinstance(last["finish_reason"], str)
    message: Json = {"role": "assistant", "content": None}
    for number, part in enumerate(body):
        delta = part["delta"]
        assert part["finish_reason"] is None
        assert "logprobs" in part
        assert ("role" in delta) == (number == 0)
        assert sum(delta.get(kind) is not None for kind in KINDS) == 1, delta
        assert all(delta[kind] is not None for kind in KINDS[1:] if kind in delta)
        if delta.get("content") is not None:
            assert number == 0 or delta["content"], "only the opening may be empty"
            message["content"] = (message["content"] or "") + delta["content"]
        if "function_call" in delta:
            _add_call(message, delta["function_call"])
        if "tool_calls" in delta:
            _add_tool_call(message.setdefault("tool_calls", []), delta["tool_calls"])
    return {"index": last["index"], "message": message, "finish_reason": last["finish_reason"]}


def _add_call(message: Json, call: Json) -> None:
    if "function_call" not in message:
        assert set(call) == {"name", "arguments"}
        assert call["arguments"] == ""
        message["function_call"] = dict(call)
        return
    assert set(call) == {"arguments"}, "a repeated name would be doubled by the client"
    assert call["arguments"]
    message["function_call"]["arguments"] += call["arguments"]


def _add_tool_call(calls: list[Json], deltas: list[Json]) -> None:
    (delta,) = deltas
    if delta["index"] == len(calls):
        kind = delta["type"]
        assert set(delta) == {"index", "id", "type", kind}
        assert set(delta[kind]) == {"name", TEXTS[kind]}
        assert delta[kind][TEXTS[kind]] == ""
        calls.append({"id": delta["id"], "type": kind, kind: dict(delta[kind])})
        return
    assert delta["index"] == len(calls) - 1
    kind = calls[-1]["type"]
    assert set(delta) == {"index", kind}, "a repeated id would be doubled by the client"
    assert set(delta[kind]) == {TEXTS[kind]}
    assert delta[kind][TEXTS[kind]]
    calls[-1][kind][TEXTS[kind]] += delta[kind][TEXTS[kind]]
