"""The tools that the server runs: checked at start, and run by the agent's loop for requests with `server_tools`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram

from agent.events import AgentEnd, AgentEvent, ToolCallArguments, ToolCallStart, ToolResult
from agent.loop import USUAL_LIMITS, answer
from agent.models import LocalModel
from agent.tools import Tool, ToolSourceError, by_name
from apis.rules.fields import LEGAL_NAME, MAX_NAME
from core.conversation import ChatRequest
from core.errors import RequestError
from core.turn_format import ArgsDelta, CallStart, Finish
from inference import Model
from json_schema.check import check_parameters
from web.choices import AnswerWriter
from web.observation import current
from web.tool_errors import guarded

Json = dict[str, Any]

_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class ServedWriter(AnswerWriter, Protocol):
    """Turns the events of an answer, and of the calls that the server runs for it, into the events of an API."""

    def call(self, call_id: str, name: str, source: str) -> Iterator[Json]:
        """Yield the API's events for the start of a call."""

    def call_arguments(self, call_id: str, text: str) -> Iterator[Json]:
        """Yield the API's events for more arguments."""

    def call_result(self, call_id: str, name: str, text: str, *, is_error: bool) -> Iterator[Json]:
        """Yield the API's events for the end of a call."""


class ServedTools(Mapping[str, Tool]):
    """The server's tools by name, and the metrics of their calls."""

    def __init__(self, tools: Iterable[Tool] = (), registry: CollectorRegistry | None = None) -> None:
        """Raises ToolSourceError for two tools of one name, and for one that a model cannot be shown."""
        self._tools = {name: guarded(_labelled(_checked(tool))) for name, tool in by_name(tools).items()}
        self._num_calls = Counter(
            "functionary:tool_calls", "Calls of the server's tools by outcome.", ("tool", "outcome"), registry=registry
        )
        self._seconds = Histogram(
            "functionary:tool_call_seconds",
            *("The time that a call of a tool takes.", ("tool",)),
            buckets=_BUCKETS,
            registry=registry,
        )

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    async def answer(
        self,
        model: Model,
        chat: ChatRequest,
        writer: ServedWriter,
        *,
        on_run: Callable[[], None],
        max_calls: int | None = None,
    ) -> AsyncGenerator[Json | Finish]:
        """Yield the events of an API for the answer to `chat`, whose `server_tools` are run. Its last is a Finish.

        on_run: called before a tool runs, after which the request must not be repeated.
        max_calls: the number of calls that are run, if it is below the usual limit.
        Raises what `inference.stream` raises.
        """
        shown = {tool.name for tool in chat.tools}
        most = USUAL_LIMITS.max_calls if max_calls is None else max(0, min(max_calls, USUAL_LIMITS.max_calls))
        events = answer(
            LocalModel(model, replace(chat, own_names={})),  # the writer restores the names
            chat.messages,
            [_announced(self[name], on_run) for name in chat.server_tools if name in shown],
            others=[tool for tool in chat.tools if tool.name not in chat.server_tools],
            limits=replace(USUAL_LIMITS, max_calls=most),
        )
        ours: set[str] = set()  # the ids of calls that the server runs
        async with aclosing(current().read(events)) as events:
            async for event in events:
                if isinstance(event, ToolResult):
                    self._count(event)
                for item in self._items(event, writer, ours):
                    yield item
                if isinstance(event, AgentEnd):
                    yield _total(event)

    def _items(self, event: AgentEvent, writer: ServedWriter, ours: set[str]) -> Iterator[Json]:
        match event:
            case ToolCallStart(call_id, name, is_run=True):
                ours.add(call_id)
                yield from writer.call(call_id, name, self[name].source if name in self else "")
            case ToolCallStart(name=name):
                yield from writer.items(CallStart(name))
            case ToolCallArguments(call_id, text) if call_id in ours:
                yield from writer.call_arguments(call_id, text)
            case ToolCallArguments(text=text):
                yield from writer.items(ArgsDelta(text))
            case ToolResult(call_id, name, text, is_error):
                yield from writer.call_result(call_id, name, text, is_error=is_error)
            case Finish():
                pass  # the one at the end has the counts of all rounds
            case AgentEnd():
                yield from writer.items(_total(event))
            case _:
                yield from writer.items(event)

    def _count(self, result: ToolResult) -> None:
        if result.name not in self:
            return
        outcome = "not_run" if not result.has_run else "error" if result.is_error else "ok"
        self._num_calls.labels(result.name, outcome).inc()
        if result.has_run:
            self._seconds.labels(result.name).observe(result.seconds)


def _checked(tool: Tool) -> Tool:
    """Return the tool. Raises ToolSourceError for a tool with a name or parameters that no request could have."""
    about = f"the tool {tool.name!r}" + (f" of {tool.source}" if tool.source else "")
    if len(tool.name) > MAX_NAME or not LEGAL_NAME.fullmatch(tool.name):
        raise ToolSourceError(f"{about}: a name has at most {MAX_NAME} letters, digits, _ and -; rename it")
    try:
        check_parameters(tool.function.parameters or {}, owner=f"function '{tool.name}'", param="parameters")
    except RequestError as error:
        raise ToolSourceError(f"{about} cannot be used: {error.message}") from None
    return tool


def _labelled(tool: Tool) -> Tool:
    """Return the tool with a source that may be shown to clients: a file's name without its folders."""
    return replace(tool, source=Path(tool.source).name) if Path(tool.source).is_file() else tool


def _announced(tool: Tool, on_run: Callable[[], None]) -> Tool:
    """Return the tool as one that calls `on_run` first, since its answer may fail before it ends."""

    async def run(arguments: Json) -> object:
        on_run()
        return await tool.run(arguments)

    return replace(tool, run=run)


def _total(end: AgentEnd) -> Finish:
    """Return the end of all rounds together."""

    def total(key: str) -> int:
        return sum(getattr(finish, key) for finish in end.finishes)

    return Finish(
        "length" if end.reason == "length" else "stop",
        total("prompt_tokens"),
        total("completion_tokens"),
        total("cached_tokens"),
        total("accepted_tokens"),
        total("rejected_tokens"),
        total("reasoning_tokens"),
        stop_string=end.finishes[-1].stop_string if end.finishes else None,
    )
