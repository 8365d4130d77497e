"""Reads the chunks of a streamed chat completion as the events of an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from client.json_lines import Json
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta


async def events(chunks: AsyncGenerator[Json]) -> AsyncGenerator[Event | Finish]:
    """Yield the events of the first choice; the last is Finish.

    The arguments of a call come whole before the next call begins, also from a server that interleaves calls: an event
    belongs to the last call, so that arguments of an earlier one would be lost. Raises KeyError, TypeError or
    AttributeError for anything but chunks.
    """
    calls: dict[int, _Call] = {}
    reason, usage = "", Json()
    async with aclosing(chunks):
        async for chunk in chunks:
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices") or ():
                reason = choice.get("finish_reason") or reason
                for event in _read(choice.get("delta") or {}, calls):
                    yield event
    for event in _rest(calls):
        yield event
    details = usage.get("prompt_tokens_details") or {}
    yield Finish(
        "length" if reason == "length" else "stop",
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )


@dataclass
class _Call:
    """A call of a stream. `held` are the arguments that came while an earlier call was open."""

    name: str
    held: list[str] = field(default_factory=list)


def _read(delta: Json, calls: dict[int, _Call]) -> Iterator[Event]:
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if reasoning:
        yield ReasoningDelta(reasoning)
    if delta.get("content"):
        yield TextDelta(delta["content"])
    for call in delta.get("tool_calls") or ():
        index, function = int(call.get("index") or 0), call.get("function") or {}
        if index not in calls:
            calls[index] = _Call(str(function["name"]))
            if len(calls) == 1:
                yield CallStart(calls[index].name)
        if text := function.get("arguments"):
            if index == next(iter(calls)):
                yield ArgsDelta(text)
            else:
                calls[index].held.append(text)


def _rest(calls: dict[int, _Call]) -> Iterator[Event]:
    """Yield the calls after the first, whose arguments were held back."""
    for call in list(calls.values())[1:]:
        yield CallStart(call.name)
        if call.held:
            yield ArgsDelta("".join(call.held))
