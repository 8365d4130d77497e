"""Reads the chunks of a streamed chat completion as the events of an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from client.endpoints import NoAnswer
from client.json_lines import Json
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta


async def events(chunks: AsyncGenerator[Json]) -> AsyncGenerator[Event | Finish]:
    """Yield the events of the first choice; the last is Finish. Raises NoAnswer for anything but chunks.

    The arguments of a call come whole before the next call begins, also from a server that interleaves calls: an event
    belongs to the last call, so that arguments of an earlier one would be lost.
    """
    calls: list[_Call] = []
    reason, usage = "", Json()
    async with aclosing(chunks):
        async for chunk in chunks:
            try:
                usage = chunk.get("usage") or usage
                choices = [choice for choice in chunk.get("choices") or () if not choice.get("index")]
                reason = next((str(one["finish_reason"]) for one in choices if one.get("finish_reason")), reason)
                read = [event for choice in choices for event in _read(choice.get("delta") or {}, calls)]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise NoAnswer(f"the server sent an unusable chunk: {type(error).__name__} at {error}") from None
            for event in read:
                yield event
    for event in _rest(calls):
        yield event
    try:
        finish = _finish(reason, usage)
    except (TypeError, ValueError, AttributeError):
        raise NoAnswer(f"the server sent unusable token counts: {str(usage)[:80]}") from None
    yield finish


@dataclass
class _Call:
    """A call of a stream. `held` are the arguments that are not told yet."""

    index: int
    call_id: str
    name: str = ""
    held: list[str] = field(default_factory=list)
    is_started: bool = False


def _read(delta: Json, calls: list[_Call]) -> Iterator[Event]:
    if reasoning := _text(delta.get("reasoning_content") or delta.get("reasoning")):
        yield ReasoningDelta(reasoning)
    if text := _text(delta.get("content")):
        yield TextDelta(text)
    for part in delta.get("tool_calls") or ():
        function = part.get("function") or {}
        name = _text(function.get("name"))
        call = _call(calls, int(part.get("index") or 0), _text(part.get("id")), name)
        call.name = call.name or name
        call.held.append(_text(function.get("arguments")))
        if call is calls[0] and call.name:
            yield from _told(call)


def _call(calls: list[_Call], index: int, call_id: str, name: str) -> _Call:
    """Return the call that a part belongs to, a new one if need be.

    Some servers number every call 0, and only the ids tell calls apart. Others send another id with each part; only the
    first part of a call has its name.
    """
    call = next((one for one in reversed(calls) if one.index == index), None)
    if call is None or (name and call.name and call_id not in ("", call.call_id)):
        call = _Call(index, call_id)
        calls.append(call)
    return call


def _told(call: _Call) -> Iterator[Event]:
    if not call.is_started:
        yield CallStart(call.name)
    call.is_started = True
    if text := "".join(call.held):
        yield ArgsDelta(text)
    call.held.clear()


def _rest(calls: list[_Call]) -> Iterator[Event]:
    """Yield the calls after the first, whose arguments were held back."""
    if any(not call.name for call in calls):
        raise NoAnswer("the server sent a call without a name")
    for call in calls[1:]:
        yield from _told(call)


def _text(value: object) -> str:
    """Return a text of a chunk. Raises TypeError for anything else but null."""
    if not isinstance(value, str | None):
        raise TypeError(f"{str(value)[:60]}, which should be text")
    return value or ""


def _finish(reason: str, usage: Json) -> Finish:
    details = usage.get("prompt_tokens_details") or {}
    return Finish(
        "length" if reason == "length" else "stop",
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )
