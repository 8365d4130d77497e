"""The loop: the model answers, its calls are run, it reads the results, until it answers without a call."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from agent.calls import Confirm, Confirmation, not_run, run_call
from agent.events import AgentEnd, AgentEvent, EndReason, ToolCallArguments, ToolCallStart, ToolResult
from agent.results import ERROR
from agent.tools import Tool, by_name
from core.conversation import Call, Message
from core.conversation import Tool as Declaration
from core.errors import RequestError
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta, TokenReport

Choose = Callable[[Sequence[Declaration], Sequence[Message]], Sequence[Declaration]]


@dataclass(frozen=True)
class Limits:
    """When an agent stops.

    max_rounds: answers of the model. max_calls: calls that are run, in all rounds together. seconds: the time for all.
    max_result: characters of one result; what is longer is cut.
    """

    max_rounds: int = 8
    max_calls: int = 32
    seconds: float = 300.0
    max_result: int = 65_536


USUAL_LIMITS = Limits()
CONTEXT_EXCEEDED = "context_length_exceeded"  # OpenAI's error code


class ChatModel(Protocol):
    """A model that answers conversations.

    max_context: the tokens of prompt and answer together, or None if it is not known.
    """

    @property
    def max_context(self) -> int | None: ...

    def answer(
        self, messages: Sequence[Message], tools: Sequence[Declaration], *, is_followup: bool
    ) -> AsyncGenerator[Event | TokenReport | Finish]:
        """Yield the events of one answer; the last is Finish. Raises RequestError with the code CONTEXT_EXCEEDED for a
        conversation that does not fit into the context.

        is_followup: the answer follows results of calls, so that a call that the request forces has been made.
        """
        ...


async def answer(
    model: ChatModel,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    *,
    others: Sequence[Declaration] = (),
    limits: Limits = USUAL_LIMITS,
    confirm: Confirm | None = None,
    choose: Choose | None = None,
) -> AsyncGenerator[AgentEvent]:
    """Yield the events of the answer to `messages`. The calls of a round run at the same time.

    others: functions that the model may call too and that the caller runs: a round with such a call is the last one.
    confirm: asked before a tool that needs a confirmation runs; without it such a tool does not run.
    choose: chooses the functions that the model sees in a round.
    Closing the iterator stops the model and the calls; a function in a thread ends later, without effect on the answer.
    Raises what the model raises, also after calls have run: nothing is asked or run again. A failure of a tool is its
    result.
    """
    run = _Run(model, list(messages), by_name(tools), tuple(others), limits, confirm, choose)
    num_given = len(messages)
    for number in range(limits.max_rounds):
        async with aclosing(run.round(is_followup=number > 0)) as events:
            async for event in events:
                yield event
        if run.reason:
            break
    else:
        run.stop(f"{limits.max_rounds} rounds")
    yield AgentEnd(run.reason or "stop", tuple(run.messages[num_given:]), tuple(run.finishes), run.limit)


@dataclass
class _Run:
    """One answer while it is made.

    reason: why it is over, or None if it goes on. limit: which limit ended it, or "".
    """

    model: ChatModel
    messages: list[Message]
    tools: dict[str, Tool]
    others: tuple[Declaration, ...]
    limits: Limits
    confirm: Confirm | None
    choose: Choose | None
    finishes: list[Finish] = field(default_factory=list)
    num_calls: int = 0
    reason: EndReason | None = None
    limit: str = ""

    def __post_init__(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self.limits.seconds
        self._max_result = min(self.limits.max_result, self.model.max_context or self.limits.max_result)
        self._their_names = {one.name for one in self.others}
        self._confirmation = Confirmation(self.confirm)

    def stop(self, limit: str) -> None:
        """End the answer because of a limit."""
        self.reason, self.limit = "length", limit

    async def round(self, *, is_followup: bool) -> AsyncGenerator[AgentEvent]:
        """Yield the events of one answer of the model and of its calls, and add both to the messages."""
        turn = _Turn(self._their_names)
        try:
            async with aclosing(self._answered(is_followup)) as events:
                async for event in events:
                    for one in turn.read(event):
                        yield one
        except _DeadlineError:
            self.stop(f"{self.limits.seconds:g} s")
        except RequestError as error:
            if not is_followup or error.code != CONTEXT_EXCEEDED:
                raise
            self.stop("context")  # the results of calls fill it
            return
        self.messages.append(turn.message())
        if turn.finish:
            self.finishes.append(turn.finish)
            if turn.finish.reason == "length":
                self.stop("max_tokens")
        results: dict[str, ToolResult] = {}
        async with aclosing(self._results([call for call in turn.calls if call.name not in self._their_names])) as ends:
            async for result in ends:
                results[result.call_id] = result
                yield result
        ours = [call for call in turn.calls if call.id in results]
        self.messages += [Message("tool", results[call.id].text, name=call.name, call_id=call.id) for call in ours]
        if not self.reason and len(ours) < len(turn.calls):
            self.reason = "calls"
        elif not self.reason and not turn.calls:
            self.reason = "stop"

    async def _answered(self, is_followup: bool) -> AsyncGenerator[Event | TokenReport | Finish]:
        """Yield the events of one answer of the model. Raises _DeadlineError at the deadline."""
        declared: Sequence[Declaration] = [*self.others, *(tool.function for tool in self.tools.values())]
        shown = self.choose(declared, self.messages) if self.choose else declared
        async with aclosing(self.model.answer(self.messages, shown, is_followup=is_followup)) as events:
            while True:
                deadline = asyncio.timeout_at(self._deadline)  # no task for each event, which would cost more
                try:
                    async with deadline:
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if deadline.expired():
                        raise _DeadlineError from None
                    raise
                yield event

    async def _results(self, calls: Sequence[Call]) -> AsyncGenerator[ToolResult]:
        """Run calls at the same time, and yield each result when it is there. After the end of the answer none runs."""
        running: dict[asyncio.Task[ToolResult], Call] = {}
        ended: asyncio.Queue[asyncio.Task[ToolResult]] = asyncio.Queue()  # in the order of their end
        try:
            for call in calls:
                if self.reason:
                    yield not_run(call, f"the answer ended at its limit ({self.limit})")
                elif self.num_calls == self.limits.max_calls:
                    yield not_run(call, f"the limit of {self.limits.max_calls} calls is reached")
                else:
                    self.num_calls += 1
                    task = asyncio.create_task(run_call(self.tools, call, self._confirmation, self._max_result))
                    task.add_done_callback(ended.put_nowait)
                    running[task] = call
            if len(running) < len(calls) and not self.reason:
                self.stop(f"{self.limits.max_calls} calls")
            while running:
                try:
                    async with asyncio.timeout_at(self._deadline):
                        task = await ended.get()
                except TimeoutError:
                    self.stop(f"{self.limits.seconds:g} s")
                    break
                running.pop(task)
                yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)  # calls.GRACE_S at most
        for call in running.values():
            text = f"{ERROR}stopped, since the answer may take {self.limits.seconds:g} s"
            yield ToolResult(call.id, call.name, text, is_error=True)


class _DeadlineError(Exception):
    """The time for the whole answer is over."""


class _Turn:
    """What the model says in one round: its text, its reasoning and its calls, as events and as a message."""

    def __init__(self, their_names: set[str]) -> None:
        self._their_names = their_names
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._heads: list[tuple[str, str, list[str]]] = []  # id, name and pieces of the arguments of each call
        self.finish: Finish | None = None

    def read(self, event: Event | TokenReport | Finish) -> Iterator[AgentEvent]:
        """Yield the agent's events for one of the model's."""
        match event:
            case CallStart(name):
                call_id = "call_" + secrets.token_hex(12)
                self._heads.append((call_id, name, []))
                yield ToolCallStart(call_id, name, is_run=name not in self._their_names)
                return
            case ArgsDelta(text):
                call_id, _, pieces = self._heads[-1]
                pieces.append(text)
                yield ToolCallArguments(call_id, text)
                return
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case Finish():
                self.finish = event
        yield event

    @property
    def calls(self) -> list[Call]:
        return [Call(name, "".join(pieces), call_id) for call_id, name, pieces in self._heads]

    def message(self) -> Message:
        """Return the answer as a message of the conversation."""
        text = "".join(self._text)
        content = text if text or not self._heads else None
        return Message("assistant", content, tuple(self.calls), reasoning="".join(self._reasoning))
