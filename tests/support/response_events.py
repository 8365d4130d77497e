"""Read streamed responses the way a strict client does, and check them against the official client's types."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, Field, TypeAdapter

Json = dict[str, Any]

_EVENT: TypeAdapter[Any] = TypeAdapter(Annotated[ResponseStreamEvent, Field(discriminator="type")])
# Fields that OpenAI's answers have and its client's types do not.
_UNTYPED = {"presence_penalty", "frequency_penalty", "store", "status", "name", "bytes"}


def numbered(body: bytes) -> list[Json]:
    """Return the events of a stream, after checking their names and numbers."""
    *blocks, end = body.decode().split("\n\n")
    assert end == ""
    events = []
    for block in (block for block in blocks if block != ": ping"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def check_types(events: Iterable[Json]) -> None:
    """Check each event strictly by the type that the official client has for it."""
    for number, event in enumerate(events):
        typed = _EVENT.validate_python({"sequence_number": number, **event}, strict=True)
        assert typed.type == event["type"]
        assert not _unknown(typed), event


def check_response(response: Json) -> Response:
    """Check a whole response strictly by the type of the official client."""
    typed = Response.model_validate(response, strict=True)
    assert not _unknown(typed)
    return typed


def _unknown(value: object) -> set[str]:
    if isinstance(value, list):
        return {name for item in value for name in _unknown(item)}
    if not isinstance(value, BaseModel):
        return set()
    inner = {name for key in type(value).model_fields for name in _unknown(getattr(value, key))}
    return inner | set(value.model_extra or ()) - _UNTYPED


def folded(events: list[Json]) -> Json:
    """Return the response that the deltas add up to, after checking that it equals the response of the last event."""
    created, in_progress, *between, last = events
    assert [created["type"], in_progress["type"]] == ["response.created", "response.in_progress"]
    assert created["response"] == in_progress["response"]
    assert (created["response"]["status"], created["response"]["usage"]) == ("in_progress", None)
    output: list[Json] = []
    for event in between:
        _apply(event, output)
    response: Json = last["response"]
    assert last["type"] == f"response.{response['status']}"
    assert output == response["output"]
    changed = {key for key in response if response[key] != created["response"][key]}
    assert changed <= {"status", "completed_at", "incomplete_details", "output", "usage"}
    return response


def _apply(event: Json, output: list[Json]) -> None:
    kind, index = event["type"], event["output_index"]
    if kind == "response.output_item.added":
        assert index == len(output)
        output.append(event["item"])
        return
    item = output[index]
    assert index == len(output) - 1 or item["type"] == "mcp_call", "an item is over when the next one begins"
    if kind == "response.output_item.done":
        if item["type"] == "mcp_call":
            assert item.pop("ended") == event["item"]["status"]
            item = {**item, **{key: event["item"][key] for key in ("output", "error")}}
        assert {**item, "status": None} == {**event["item"], "status": None}
        output[index] = event["item"]
        return
    assert event["item_id"] == item["id"]
    match kind:
        case "response.content_part.added":
            item["content"].append(dict(event["part"]))
        case "response.content_part.done":
            assert item["content"][event["content_index"]] == event["part"]
        case "response.output_text.delta":
            item["content"][0]["text"] += event["delta"]
            item["content"][0]["logprobs"] = [*item["content"][0]["logprobs"], *event["logprobs"]]
        case "response.output_text.done":
            assert item["content"][0]["text"] == event["text"]
            assert item["content"][0]["logprobs"] == event["logprobs"]
        case "response.reasoning_text.delta":
            item["content"] = [{"type": "reasoning_text", "text": _text_of(item) + event["delta"]}]
        case "response.reasoning_text.done":
            assert _text_of(item) == event["text"]
        case "response.function_call_arguments.delta":
            item["arguments"] += event["delta"]
        case "response.function_call_arguments.done":
            assert (item["name"], item["arguments"]) == (event["name"], event["arguments"])
        case "response.mcp_call.in_progress":
            assert (item["arguments"], item["output"], item["error"]) == ("", None, None)
        case "response.mcp_call_arguments.delta":
            item["arguments"] += event["delta"]
        case "response.mcp_call_arguments.done":
            assert item["arguments"] == event["arguments"]
        case "response.mcp_call.completed" | "response.mcp_call.failed":
            item["ended"] = kind.removeprefix("response.mcp_call.")
        case "response.custom_tool_call_input.delta":
            item["input"] += event["delta"]
        case "response.custom_tool_call_input.done":
            assert item["input"] == event["input"]
        case _:
            raise AssertionError(kind)
    if kind.endswith(".delta"):
        assert event["delta"]


def _text_of(item: Json) -> str:
    return item["content"][0]["text"] if item["content"] else ""
