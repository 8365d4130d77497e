"""What the log and the trace tell about a request: its model, parameters, counts and times; contents only if wanted.

The attributes of spans are those of OpenTelemetry's semantic conventions for generative AI. Without a tracer, a span
records nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from typing import TypeVar

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from agent.events import AgentEnd, AgentEvent, ToolCallStart, ToolResult
from apis.rules.answers import usage
from core.conversation import ChatRequest, CompletionRequest
from core.turn_format import CallStart, Event, Finish, TokenReport
from web.dialects import MESSAGES_PATH
from web.errors import describe
from web.trace_contents import OutputMessage, as_text, input_messages

PROVIDER = "functionary"
OPERATIONS: Mapping[str, str] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/responses": "chat",
    MESSAGES_PATH: "chat",
}
CLIENT_LEFT = 499  # nginx's status for the log: the client closed the connection before the end of the answer
Item = TypeVar("Item", bound=Event | TokenReport | Finish | AgentEvent)


class Observation:
    """One request, while it is served. `current()` returns it in all tasks of the request."""

    def __init__(self, request_id: str = "", tracer: Tracer | None = None, *, has_contents: bool = False) -> None:
        self.request_id = request_id
        self.model = ""
        self._tracer = tracer or trace.NoOpTracer()
        self._has_contents = has_contents
        self._span: Span = trace.INVALID_SPAN
        self._operation = ""
        self._started_at = time.monotonic()
        self._num_choices = 1
        self._is_stream = False
        self._own_name: Callable[[str], str] = str
        self._finishes: list[Finish] = []
        self._outputs: dict[int, OutputMessage] = {}  # by the number of the choice
        self._has_begun = False

    def begin(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Make this the current observation, and begin a span if the request is for one of the model's routes.

        Each request runs in a task of its own, with whose context this ends.
        """
        _CURRENT.set(self)
        self._operation = OPERATIONS.get(scope["path"], "") if scope["method"] == "POST" else ""
        if self._operation:
            self._span = self._tracer.start_span(
                self._operation,
                TraceContextTextMapPropagator().extract(headers),
                SpanKind.SERVER,
                {
                    "gen_ai.operation.name": self._operation,
                    "gen_ai.provider.name": PROVIDER,
                    "http.request.method": "POST",
                    "http.route": scope["path"],
                },
            )
            context.attach(trace.set_span_in_context(self._span))

    def asked(self, asked: ChatRequest | CompletionRequest) -> None:
        """Note what is asked, once the name of the model is known to be served."""
        self.model, self._num_choices, self._is_stream = asked.model, asked.n, asked.stream
        if isinstance(asked, ChatRequest):
            self._own_name = asked.own_name
        if not self._span.is_recording():
            return
        self._span.update_name(f"{self._operation} {asked.model}")
        self._span.set_attributes(_request_attributes(asked))
        if self._has_contents:
            self._span.set_attribute("gen_ai.input.messages", as_text(input_messages(asked)))
            self._span.set_attribute("gen_ai.request.stop_sequences", asked.sampling.stop)

    async def read(self, events: AsyncGenerator[Item], index: int = 0) -> AsyncGenerator[Item]:
        """Yield the events of choice `index`, and note what is told of them."""
        output = self._outputs.setdefault(index, OutputMessage())
        try:
            async with aclosing(events):
                async for event in events:
                    self._note(event, output)
                    yield event
        except Exception as error:
            self.failed(error)
            raise

    def _note(self, event: object, output: OutputMessage) -> None:
        if not self._has_begun:
            self._has_begun = True
            if self._is_stream:
                waited_s = time.monotonic() - self._started_at
                self._span.set_attribute("gen_ai.response.time_to_first_chunk", waited_s)
        match event:
            case Finish():
                self._finishes.append(event)
                output.finish_reason = "tool_calls" if output.has_call and event.reason == "stop" else event.reason
            case AgentEnd():
                output.finish_reason = {"calls": "tool_calls"}.get(event.reason, event.reason)
            case CallStart() | ToolCallStart(is_run=False):
                output.has_call = True
            case ToolResult(has_run=True):
                self._note_tool(event, output)
        if self._has_contents:
            output.keep(event, self._own_name)

    def _note_tool(self, result: ToolResult, output: OutputMessage) -> None:
        """Record a span for a call that the server ran and that has just ended."""
        if not self._span.is_recording():
            return
        ended_at = time.time_ns()
        span = self._tracer.start_span(
            f"execute_tool {result.name}",
            trace.set_span_in_context(self._span),
            SpanKind.INTERNAL,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": result.name,
                "gen_ai.tool.call.id": result.call_id,
                "gen_ai.tool.type": "function",
            },
            start_time=ended_at - int(result.seconds * 1e9),
        )
        if result.is_error:
            span.set_attribute("error.type", "tool_error")
            span.set_status(StatusCode.ERROR)
        if self._has_contents:
            span.set_attribute("gen_ai.tool.call.arguments", output.arguments(result.call_id))
            span.set_attribute("gen_ai.tool.call.result", result.text)
        span.end(ended_at)

    def failed(self, error: Exception) -> None:
        """Note why the request failed: the code of the error that the client gets, never its message."""
        status, body, _ = describe(error)
        self._span.set_attribute("error.type", body["error"]["code"] or body["error"]["type"])
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)

    def end(self, status: int) -> None:
        """Note the end of the answer. Status 499: the client left before it."""
        span, self._span = self._span, trace.INVALID_SPAN  # an answer that is kept for repetitions may go on
        if not span.is_recording():
            return
        span.set_attribute("http.response.status_code", status)
        if status == CLIENT_LEFT:
            span.set_attribute("error.type", str(status))
        outputs = [output for _, output in sorted(self._outputs.items())]
        if counts := self._counts():
            span.set_attributes(
                {
                    "gen_ai.response.model": self.model,
                    "gen_ai.response.finish_reasons": [one.finish_reason for one in outputs if one.finish_reason],
                    "gen_ai.usage.input_tokens": counts["prompt_tokens"],
                    "gen_ai.usage.cache_read.input_tokens": counts["cached_tokens"],
                    "gen_ai.usage.output_tokens": counts["completion_tokens"],
                }
            )
        if self._has_contents:
            span.set_attribute("gen_ai.output.messages", as_text([output.as_json() for output in outputs]))
        span.end()

    def answered(self, response_id: str) -> None:
        """Note the id of the answer."""
        self._span.set_attribute("gen_ai.response.id", response_id)

    def log_fields(self) -> dict[str, str | int]:
        """Return the fields of the log line: the model and the counts of tokens, as far as they are known."""
        return {**({"model": self.model} if self.model else {}), **self._counts()}

    def _counts(self) -> dict[str, int]:
        if not self._finishes:
            return {}
        counts = usage(self._finishes, self._num_choices)
        return {
            "prompt_tokens": counts["prompt_tokens"],
            "cached_tokens": counts["prompt_tokens_details"]["cached_tokens"],
            "completion_tokens": counts["completion_tokens"],
        }


_CURRENT: ContextVar[Observation] = ContextVar("observation")


def current() -> Observation:
    """Return the observation of the request that this task serves."""
    return _CURRENT.get(None) or Observation()


def _request_attributes(asked: ChatRequest | CompletionRequest) -> dict[str, str | int | float]:
    """Return the parameters that the request states, as attributes."""
    sampling = asked.sampling
    stated = {
        "model": asked.model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or None,
        "max_tokens": sampling.max_tokens,
        "frequency_penalty": sampling.frequency_penalty or None,
        "presence_penalty": sampling.presence_penalty or None,
        "seed": sampling.seed,
        "choice.count": asked.n if asked.n > 1 else None,
        "stream": asked.stream or None,
    }
    return {f"gen_ai.request.{name}": value for name, value in stated.items() if value is not None}
