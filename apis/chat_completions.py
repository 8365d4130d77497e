"""POST /v1/chat/completions: body -> ChatRequest, events -> chunks, chunks -> whole answer."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from apis.rules.answers import reported
from apis.rules.constraints import ConstraintFields, constrained
from apis.rules.custom_tools import InputReader, custom_names
from apis.rules.fields import Shape, Size, read, unfit
from apis.rules.messages import MessageFields, Text, fold_messages, joined
from apis.rules.reasoning import ReasoningFields, ignored_switches, reasoning
from apis.rules.requests import (
    MAX_CHOICES,
    Metadata,
    StreamFields,
    header_names,
    ignored,
    include_usage,
    unsupported,
)
from apis.rules.response_format import AnyResponseFormat, folded_format
from apis.rules.sampling import SamplingFields, TokenLimit, sampling_params
from apis.rules.server_tools import ServerToolFields, ServerTools, asked_tools, check_server_tools
from apis.rules.tool_names import with_aliases
from apis.rules.tools import CallingFields, calling, check_combinations
from core.conversation import ChatRequest
from core.errors import RequestError
from core.turn_format import ArgsDelta, CallStart, Event, Finish, ReasoningDelta, TextDelta, TokenReport

Json = dict[str, Any]

UNSUPPORTED = ("audio", "web_search_options", "moderation")
_WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
EXAMPLES = {
    "A question": {"model": "functionary", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16},
    "A call": {
        "model": "functionary",
        "messages": [{"role": "user", "content": "What is the weather in Istanbul?"}],
        "tools": [_WEATHER_TOOL],
        "tool_choice": "required",
        "max_tokens": 64,
    },
    "An answer to a call, streamed": {
        "model": "functionary",
        "messages": [
            {"role": "user", "content": "What is the weather in Istanbul?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city": "Istanbul"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "14 degrees, rain"},
        ],
        "tools": [_WEATHER_TOOL],
        "max_tokens": 32,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "JSON by a schema": {
        "model": "functionary",
        "messages": [{"role": "user", "content": "Name a city."}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "city",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"name": {"enum": ["Istanbul", "Paris"]}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            },
        },
        "max_tokens": 32,
    },
}


# The request


class Prediction(Shape):
    """A text that the client expects in the answer. If the answer repeats it, the answer is generated faster."""

    type: Literal["content"] = Field(description="Always content.")
    content: Text = Field(description="The expected text, as a string or as parts.")


def _check_modalities(value: object) -> object:
    if value not in (None, ["text"]):
        message = "Invalid value for '{path}': this server answers in text only. Expected ['text']."
        raise unfit(message, "unsupported_value")
    return value


class ChatCompletionRequest(
    StreamFields, SamplingFields, ConstraintFields, ReasoningFields, ServerToolFields, CallingFields, MessageFields
):
    """The body of POST /v1/chat/completions. In an optional field, null means the same as leaving it out."""

    refuses_unknown = "never"  # `ignored` has OpenAI's text for the fields of a body

    response_format: AnyResponseFormat | None = Field(
        None, description="The format of the answer's text. Default: any text."
    )
    max_completion_tokens: TokenLimit | None = Field(
        None,
        description="The maximum number of generated tokens. Default: as many as fit into the context.",
        examples=[256],
    )
    max_tokens: TokenLimit | None = Field(
        None,
        description="The older name of max_completion_tokens. If both are given, the smaller counts.",
        json_schema_extra={"deprecated": True},
    )
    logprobs: bool | None = Field(False, description="true: return the log probability of each token of the text.")
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(
        None, description="How many of the most likely tokens to return for each token. Needs logprobs."
    )
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(1, description="The number of choices.")
    metadata: Metadata | None = Field(
        None, description="Returned unchanged with an answer that is not streamed.", examples=[{"purpose": "test"}]
    )
    prediction: Prediction | None = Field(
        None, description="A text that is expected in the answer. It can speed up generation and never changes it."
    )
    modalities: Annotated[list[Literal["text"]], Size(1, 1), BeforeValidator(_check_modalities)] | None = Field(
        None, description="The kinds of output. Only text is supported."
    )
    verbosity: Literal["low", "medium", "high"] | None = Field(None, description="Ignored.")
    store: bool | None = Field(False, description="Ignored: nothing is stored.")
    user: str | None = Field(None, description="Ignored.")
    safety_identifier: str | None = Field(None, description="Ignored.")
    prompt_cache_key: str | None = Field(None, description="Ignored.")
    prompt_cache_retention: str | None = Field(None, description="Ignored.")
    prompt_cache_options: dict[str, Any] | None = Field(None, description="Ignored.")
    service_tier: str | None = Field(None, description="Ignored: the answer's tier is always default.")


def chat_request(
    body: dict[str, Any], *, server_tools: ServerTools = MappingProxyType({}), strict_openai: bool = False
) -> ChatRequest:
    """Check the body of POST /v1/chat/completions and convert it to a ChatRequest.

    Raises RequestError for the first problem, and no other exception for any JSON. The model's name and the length of
    the prompt are not checked here.
    server_tools: those that the field of this name can ask for.
    strict_openai: raise it for what only OpenAI refuses too (docs/api.md lists the rules).
    """
    if isinstance(body, dict):
        check_combinations(body, strict_openai=strict_openai)
    asked = read(ChatCompletionRequest, body, strict_openai=strict_openai)
    messages = fold_messages(asked.messages, strict_openai=strict_openai)
    served = asked_tools(asked.server_tools, server_tools)
    if served:
        check_server_tools(body)
    calls = calling(asked, served, strict_openai=strict_openai)
    response_format = folded_format(asked.response_format, messages, strict_openai=strict_openai)
    for key in UNSUPPORTED:
        if body.get(key) is not None:
            raise unsupported(key)
    wish, switch_fields, effort_fields = reasoning(asked, asked.reasoning_effort, asked.tools or ())
    unknown = ignored(body, ChatCompletionRequest, UNSUPPORTED, strict_openai=strict_openai)
    request = ChatRequest(
        model=asked.model,
        messages=messages,
        tools=calls.tools,
        choice=calls.choice,
        max_calls=calls.max_calls,
        legacy=calls.legacy,
        response_format=constrained(asked, response_format),
        reasoning=wish,
        switch_fields=switch_fields,
        effort_fields=effort_fields,
        sampling=sampling_params(asked, max_tokens=_token_limit(asked, strict_openai), logprobs=_num_logprobs(asked)),
        n=asked.n or 1,
        stream=asked.stream or False,
        include_usage=include_usage(asked),
        metadata=asked.metadata,
        prediction=joined(asked.prediction.content) if asked.prediction else "",
        server_tools=tuple(function.name for function in served),
        ignored=(*unknown, *header_names(ignored_switches(body))),
    )
    return with_aliases(request)


def _token_limit(asked: ChatCompletionRequest, strict_openai: bool) -> int | None:
    """Return the token limit. Of both fields the smaller counts; with strict_openai, giving both is an error."""
    limits = [limit for limit in (asked.max_tokens, asked.max_completion_tokens) if limit is not None]
    if len(limits) > 1 and strict_openai:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise RequestError(message, None, "invalid_parameter_combination")
    return min(limits, default=None)


def _num_logprobs(asked: ChatCompletionRequest) -> int | None:
    """Return how many alternatives to report for each token; None means no logprobs."""
    if asked.top_logprobs is not None and not asked.logprobs:
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise RequestError(message, "top_logprobs")
    return (asked.top_logprobs or 0) if asked.logprobs else None


# The answer


class Choice:
    """Turns the events of one choice into its chunks: {index, delta, logprobs, finish_reason}.

    `reasoning_fields` are the fields that hold the reasoning; without any, the reasoning is left out.
    """

    def __init__(
        self, request: ChatRequest, index: int = 0, *, reasoning_fields: Sequence[str] = ("reasoning_content",)
    ) -> None:
        self._request = request
        self._reasoning_fields = reasoning_fields
        self._index = index
        self._has_begun = False
        self._only_reasoned = False  # nothing but reasoning and parts of the trace came so far
        self._num_calls = 0
        self._custom_names = custom_names(request.tools)
        self._reader: InputReader | None = None  # of the last call, if it is one of a custom tool
        self._reports: list[TokenReport] = []

    def chunks(self, event: Event | TokenReport | Finish) -> Iterator[Json]:
        """Yield the chunks of one event.

        The first chunk of the choice has the role. Each chunk has only one of reasoning, text, calls and trace.
        """
        match event:
            case TokenReport():
                self._reports.append(event)
            case TextDelta(text):
                yield from self._opening()
                self._only_reasoned = False
                yield self._chunk({"content": text}, logprobs=True)
            case ReasoningDelta(text):
                self._only_reasoned = self._only_reasoned or not self._has_begun
                yield from self._opening(content=None)
                if self._reasoning_fields:
                    yield self._chunk(dict.fromkeys(self._reasoning_fields, text))
            case CallStart(name):
                self._reader = InputReader() if name in self._custom_names else None
                yield self._chunk(self._call_start(self._request.own_name(name)))
            case ArgsDelta(text):
                if self._reader is None:
                    yield self._chunk(self._arguments(text))
                elif read := self._reader.feed(text):
                    yield self._chunk({"tool_calls": [{"index": self._num_calls - 1, "custom": {"input": read}}]})
            case Finish(reason):
                yield from self._opening()
                if self._only_reasoned and reason == "stop":
                    yield self._chunk({"content": ""})  # an answer that ended has a text, if it has no calls
                yield self._chunk({}, finish_reason=self._finish_reason(reason))

    def trace(self, part: Json) -> Iterator[Json]:
        """Yield the chunks of a part of the trace, which has the calls that the server ran and their results."""
        self._only_reasoned = self._only_reasoned or not self._has_begun
        yield from self._opening(content=None)
        yield self._chunk({"trace": [part]})

    def _opening(self, content: str | None = "") -> Iterator[Json]:
        if not self._has_begun:
            self._has_begun = True
            yield self._chunk({"role": "assistant", "content": content, "refusal": None})

    def _call_start(self, name: str) -> Json:
        role = {} if self._has_begun else {"role": "assistant", "content": None}
        self._has_begun = True
        self._only_reasoned = False
        self._num_calls += 1
        function = {"name": name, "arguments": ""}
        if self._request.legacy:
            return {**role, "function_call": function}
        call_id = "call_" + secrets.token_hex(12)
        call = {"type": "custom", "custom": {"name": name, "input": ""}}
        call = call if self._reader else {"type": "function", "function": function}
        return {**role, "tool_calls": [{"index": self._num_calls - 1, "id": call_id, **call}]}

    def _arguments(self, text: str) -> Json:
        if self._request.legacy:
            return {"function_call": {"arguments": text}}
        return {"tool_calls": [{"index": self._num_calls - 1, "function": {"arguments": text}}]}

    def _finish_reason(self, reason: str) -> str:
        """Return OpenAI's finish reason. As in OpenAI's API, a call by a named tool_choice ends with "stop"."""
        if reason == "length" or not self._num_calls or self._request.choice.mode == "named":
            return reason
        return "function_call" if self._request.legacy else "tool_calls"

    def _chunk(self, delta: Json, *, finish_reason: str | None = None, logprobs: bool = False) -> Json:
        reports, self._reports = (self._reports, []) if logprobs else ([], self._reports)
        shown = {"content": [reported(report) for report in reports], "refusal": None} if reports else None
        return {"index": self._index, "delta": delta, "logprobs": shown, "finish_reason": finish_reason}


def fold(chunks: Iterable[Json]) -> Json:
    """Combine the chunks of one choice into the whole choice {index, message, logprobs, finish_reason}."""
    message: Json = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    logprobs: Json | None = None
    index, finish_reason = 0, None
    for chunk in chunks:
        index, finish_reason = chunk["index"], chunk["finish_reason"] or finish_reason
        if chunk["logprobs"]:
            logprobs = logprobs or {"content": [], "refusal": None}
            logprobs["content"] += chunk["logprobs"]["content"]
        _add(message, chunk["delta"])
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason}


def _add(message: Json, delta: Json) -> None:
    if delta.get("content") is not None:
        message["content"] = (message["content"] or "") + delta["content"]
    for field in delta.keys() & {"reasoning_content", "reasoning"}:
        message[field] = message.get(field, "") + delta[field]
    if call := delta.get("function_call"):
        function = message.setdefault("function_call", {"name": "", "arguments": ""})
        function["name"] += call.get("name", "")
        function["arguments"] += call["arguments"]
    for part in delta.get("trace", ()):
        trace = message.setdefault("trace", [])
        if part["index"] == len(trace):
            trace.append({key: value for key, value in part.items() if key not in ("index", "tool_calls")})
        _add_calls(trace[part["index"]], part)
    _add_calls(message, delta)


def _add_calls(message: Json, delta: Json) -> None:
    for call in delta.get("tool_calls", ()):
        calls = message.setdefault("tool_calls", [])
        if call["index"] == len(calls):
            kind = call["type"]
            calls.append({"id": call["id"], "type": kind, kind: dict(call[kind])})
            continue
        kind = calls[call["index"]]["type"]
        for field, text in call[kind].items():
            calls[call["index"]][kind][field] += text
