"""POST /v1/responses: body -> ChatRequest, and what the answer repeats of the request."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag

from apis.rules.constraints import ConstraintFields, constrained, schema_format
from apis.rules.fields import Shape, Size, by, read, tag, unfit
from apis.rules.reasoning import Effort, SwitchFields, ignored_switches, reasoning
from apis.rules.requests import Metadata, header_names, ignored, unsupported
from apis.rules.response_format import JsonObjectFormat, NamedSchema, TextFormat, asks_for_json, named_format
from apis.rules.response_items import (
    AdditionalToolsItem,
    AnyItem,
    Find,
    Input,
    ItemList,
    ReferenceItem,
    kept_items,
    new_response_id,
    resolved,
)
from apis.rules.response_messages import fold_items
from apis.rules.response_tools import DeclaredTool, ResponseCallingFields, response_tools
from apis.rules.sampling import SamplingFields, TokenLimit, sampling_params
from apis.rules.server_tools import ServerToolFields, ServerTools, asked_tools
from apis.rules.tool_names import with_aliases
from core.conversation import ChatRequest, Message, ResponseFormat
from core.errors import RequestError

Json = dict[str, Any]

UNSUPPORTED = ("conversation", "prompt", "moderation")
LOGPROBS = "message.output_text.logprobs"
_WEATHER_TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
EXAMPLES: dict[str, Json] = {
    "A question": {"model": "functionary", "input": "Hello", "max_output_tokens": 16},
    "A call": {
        "model": "functionary",
        "input": "What is the weather in Istanbul?",
        "tools": [_WEATHER_TOOL],
        "tool_choice": "required",
        "max_output_tokens": 64,
    },
    "An answer to a call, streamed": {
        "model": "functionary",
        "input": [
            {"role": "user", "content": "What is the weather in Istanbul?"},
            {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Istanbul"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "14 degrees, rain"},
        ],
        "tools": [_WEATHER_TOOL],
        "max_output_tokens": 32,
        "stream": True,
    },
    "JSON by a schema": {
        "model": "functionary",
        "input": "Name a city.",
        "text": {
            "format": {
                "type": "json_schema",
                "name": "city",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"name": {"enum": ["Istanbul", "Paris"]}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            }
        },
        "max_output_tokens": 32,
    },
}


class FlatSchemaFormat(NamedSchema):
    """The answer is JSON that follows a schema."""

    type: Literal["json_schema"] = Field(description="Always json_schema.")


class TextOptions(Shape):
    """Options of the answer's text."""

    format: (
        Annotated[
            Annotated[JsonObjectFormat, Tag(tag("json_object"))]
            | Annotated[FlatSchemaFormat, Tag(tag("json_schema"))]
            | Annotated[TextFormat, Tag(tag("text"))],
            by("type", "json_object", "json_schema", "text"),
        ]
        | None
    ) = Field(None, description="The format of the text. Default: any text.")
    verbosity: Literal["low", "medium", "high"] | None = Field(None, description="Ignored.")


class ReasoningOptions(Shape):
    """Options of the model's reasoning."""

    unread = frozenset(("generate_summary", "context", "mode"))

    effort: Effort | None = Field(
        None,
        description="How much the model reasons before it answers; none: not at all. Ignored if the model's template "
        "has no place for it.",
    )
    summary: Literal["auto", "concise", "detailed"] | None = Field(
        None, description="Ignored: the answer has the reasoning itself."
    )


class ResponseStreamOptions(Shape):
    """Options of a streamed answer."""

    include_obfuscation: bool | None = Field(False, description="Ignored.")


def _refuse_background(value: object) -> object:
    if value is True:
        raise unfit(
            "Unsupported parameter: '{path}' is not supported by this server. Leave it out.", "unsupported_parameter"
        )
    return value


class ResponseRequest(ResponseCallingFields, ServerToolFields, SamplingFields, ConstraintFields, SwitchFields):
    """The body of POST /v1/responses. In an optional field, null means the same as leaving it out."""

    refuses_unknown = "never"  # `ignored` has OpenAI's text for the fields of a body
    beyond_openai = frozenset(("seed", "stop", "presence_penalty", "frequency_penalty", "logit_bias"))

    model: str = Field(description="One of the names in /v1/models.", examples=["functionary"])
    input: Input | None = Field(
        None,
        description="What the model continues: a text of the user, or items. Needed without previous_response_id.",
        examples=["Hello"],
    )
    instructions: str | None = Field(
        None, description="A system message before the input. Those of the previous response do not apply."
    )
    previous_response_id: str | None = Field(
        None, description="The id of a kept response, whose input and output come before this input."
    )
    store: bool | None = Field(
        True, description="Whether the response is kept, so that later requests can continue and read it."
    )
    stream: bool | None = Field(False, description="true: send the answer as server-sent events.")
    stream_options: ResponseStreamOptions | None = Field(None, description="Options of the stream.")
    max_output_tokens: TokenLimit | None = Field(
        None,
        description="The maximum number of generated tokens. Default: as many as fit into the context.",
        examples=[256],
    )
    text: TextOptions | None = Field(None, description="Options of the answer's text.")
    reasoning: ReasoningOptions | None = Field(None, description="Options of the model's reasoning.")
    include: Annotated[list[str], Size(64)] | None = Field(
        None, description=f"{LOGPROBS}: return the log probability of each token of the text. Others are ignored."
    )
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(
        None, description="How many of the most likely tokens to return for each token of the text."
    )
    metadata: Metadata | None = Field(None, description="Returned unchanged.", examples=[{"purpose": "test"}])
    background: (
        Annotated[bool, BeforeValidator(_refuse_background), Field(json_schema_extra={"const": False})] | None
    ) = Field(False, description="true is not supported.")
    truncation: Literal["auto", "disabled"] | None = Field("disabled", description="Ignored: nothing is truncated.")
    max_tool_calls: int | None = Field(
        None, description="The maximum number of calls that the server runs. Ignored without server_tools."
    )
    context_management: list[Any] | None = Field(None, description="Ignored.")
    user: str | None = Field(None, description="Ignored.")
    safety_identifier: str | None = Field(None, description="Ignored.")
    prompt_cache_key: str | None = Field(None, description="Ignored.")
    prompt_cache_retention: str | None = Field(None, description="Ignored.")
    prompt_cache_options: dict[str, Any] | None = Field(None, description="Ignored.")
    client_metadata: dict[str, Any] | None = Field(None, description="Ignored.")
    service_tier: str | None = Field(None, description="Ignored: the answer's tier is always default.")


@dataclass(frozen=True)
class AskedResponse:
    """A checked request.

    head: the answer before anything is generated. tools: full name -> tool. is_stored: whether the answer is kept.
    previous_items: those of the previous responses. input_items: those of this request, each with an id.
    """

    chat: ChatRequest
    head: Json
    tools: dict[str, DeclaredTool]
    is_stored: bool
    previous_items: tuple[Json, ...]
    input_items: tuple[Json, ...]


def response_request(
    body: dict[str, Any],
    *,
    find: Find,
    server_tools: ServerTools = MappingProxyType({}),
    strict_openai: bool = False,
) -> AskedResponse:
    """Check the body of POST /v1/responses and convert it.

    Raises RequestError for the first problem. The model's name and the length of the prompt are not checked here.
    find: returns all items of a kept response, or None if there is none of this id. It may raise StoreError.
    server_tools: those that the field of this name can ask for.
    strict_openai: raise RequestError for what only OpenAI refuses too, and for tools that OpenAI's servers run.
    """
    asked = read(ResponseRequest, body, strict_openai=strict_openai)
    _check_unsupported(asked, body)
    response_id = new_response_id(secrets.token_hex(12))
    previous = _previous(asked, find)
    kept = resolved(kept_items(() if asked.input is None else body["input"], response_id), previous, find)
    items = [*_items(previous), *_own_items(asked, kept)]
    messages = _messages(asked, items)
    served = asked_tools(asked.server_tools, server_tools)
    tools = response_tools(asked, _added_tools(items, len(previous)), served, strict_openai=strict_openai)
    effort = asked.reasoning.effort if asked.reasoning else None
    wish, switch_fields, effort_fields = reasoning(asked, effort, field="reasoning.effort")
    num_logprobs = _num_logprobs(asked)
    request = ChatRequest(
        model=asked.model,
        messages=messages,
        tools=tools.calling.tools,
        choice=tools.calling.choice,
        max_calls=tools.calling.max_calls,
        response_format=constrained(asked, _text_format(asked, messages, strict_openai)),
        reasoning=wish,
        switch_fields=switch_fields,
        effort_fields=effort_fields,
        sampling=sampling_params(asked, max_tokens=asked.max_output_tokens, logprobs=num_logprobs),
        stream=asked.stream or False,
        metadata=asked.metadata,
        reasoning_param="input.reasoning",
        server_tools=tuple(function.name for function in served),
        ignored=(*_ignored(asked, body, strict_openai), *tools.ignored),
    )
    head = _head(asked, body, response_id, tools.echo)
    return AskedResponse(with_aliases(request), head, tools.declared, head["store"], previous, kept)


def _check_unsupported(asked: ResponseRequest, body: Json) -> None:
    for key in UNSUPPORTED:
        if body.get(key) is not None:
            raise unsupported(key)
    if asked.input is None and asked.previous_response_id is None:
        message = "One of 'input' and 'previous_response_id' must be provided."
        raise RequestError(message, "input", "missing_required_parameter")


def _previous(asked: ResponseRequest, find: Find) -> tuple[Json, ...]:
    if asked.previous_response_id is None:
        return ()
    items = find(asked.previous_response_id)
    if items is None:
        message = f"Previous response with id '{asked.previous_response_id[:100]}' not found."
        raise RequestError(message, "previous_response_id", "previous_response_not_found")
    return tuple(items)


def _items(kept: Sequence[Json]) -> list[AnyItem]:
    return read(ItemList, {"items": list(kept)}).items if kept else []


def _own_items(asked: ResponseRequest, kept: Sequence[Json]) -> list[AnyItem]:
    """Return the items of the request itself. They are read again only if they changed on the way."""
    if isinstance(asked.input, list) and not any(isinstance(item, ReferenceItem) for item in asked.input):
        return asked.input
    return _items(kept)


def _messages(asked: ResponseRequest, items: Sequence[AnyItem]) -> tuple[Message, ...]:
    instructions = [Message("system", asked.instructions)] if asked.instructions else []
    messages = (*instructions, *fold_items(items))
    if not messages:
        message = (
            "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise RequestError(message, "input", "empty_array")
    return messages


def _added_tools(items: Sequence[AnyItem], num_previous: int) -> list[tuple[str, Any]]:
    """Return the tools of items, each with its path in the request."""
    added: list[tuple[str, Any]] = []
    for position, item in enumerate(items):
        if isinstance(item, AdditionalToolsItem):
            place = position - num_previous
            path = f"input[{place}]" if place >= 0 else "previous_response_id"
            added += [(f"{path}.tools[{index}]", tool) for index, tool in enumerate(item.tools)]
    return added


def _text_format(asked: ResponseRequest, messages: Sequence[Message], strict_openai: bool) -> ResponseFormat:
    text_format = asked.text.format if asked.text else None
    match text_format:
        case FlatSchemaFormat():
            return named_format(text_format, "text.format.schema", "invalid_json_schema", strict_openai=strict_openai)
        case JsonObjectFormat():
            if strict_openai and not asks_for_json(messages):
                message = "Response input messages must contain the word 'json' in some form to use 'text.format' of "
                raise RequestError(f"{message}type 'json_object'.", "input")
            if text_format.schema_ is not None:
                return schema_format({"type": "object", **text_format.schema_}, "text.format.schema")
            return ResponseFormat("json_object", param="text.format")
    return ResponseFormat(param="text.format")


def _num_logprobs(asked: ResponseRequest) -> int | None:
    """Return how many alternatives to report for each token; None means no logprobs."""
    if asked.top_logprobs or LOGPROBS in (asked.include or ()):
        return asked.top_logprobs or 0
    return None


def _ignored(asked: ResponseRequest, body: Json, strict_openai: bool) -> tuple[str, ...]:
    """Return the fields of the body that change nothing, except those that never change an answer."""
    unknown = ignored(body, ResponseRequest, UNSUPPORTED, strict_openai=strict_openai)
    unheeded = ["max_tool_calls"] if asked.max_tool_calls is not None and not asked.server_tools else []
    unheeded += ["context_management"] if asked.context_management is not None else []
    unheeded += ["truncation"] if asked.truncation == "auto" else []
    unheeded += ["reasoning.summary"] if asked.reasoning and asked.reasoning.summary else []
    return (*unknown, *unheeded, *header_names(ignored_switches(body)))


def _head(asked: ResponseRequest, body: Json, response_id: str, tools: list[Json]) -> Json:
    """Return the answer before anything is generated: its id and what it repeats of the request."""
    text_format = asked.text.format if asked.text else None
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "presence_penalty": asked.presence_penalty or 0.0,
        "frequency_penalty": asked.frequency_penalty or 0.0,
        "previous_response_id": asked.previous_response_id,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {
            "effort": asked.reasoning.effort if asked.reasoning else None,
            "summary": asked.reasoning.summary if asked.reasoning else None,
        },
        "safety_identifier": asked.safety_identifier,
        "service_tier": "default",
        "store": asked.store is not False,
        "temperature": asked.temperature,
        "text": {
            "format": _shown_format(text_format),
            "verbosity": (asked.text.verbosity if asked.text else None) or "medium",
        },
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": tools,
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": asked.top_p,
        "truncation": asked.truncation or "disabled",
        "usage": None,
        "user": asked.user,
        "metadata": asked.metadata or {},
    }


def _shown_format(text_format: FlatSchemaFormat | JsonObjectFormat | TextFormat | None) -> Json:
    if not isinstance(text_format, FlatSchemaFormat):
        return {"type": text_format.type if text_format else "text"}
    return {
        "type": "json_schema",
        "name": text_format.name,
        "description": text_format.description,
        "schema": text_format.schema_,
        "strict": text_format.strict or False,
    }
